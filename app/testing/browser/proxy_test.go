package browser

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// tcpProxy is between browser and fleet, for tests that break connections: the emulation of the browser does not break
// requests in flight.
type tcpProxy struct {
	url, to string
	mu      sync.Mutex
	down    bool
	links   []*link
}

type link struct {
	near, far net.Conn
	waiting   atomic.Bool // the last that came through was a request
	stalled   atomic.Bool // reads and forwards nothing, like the connection of a machine that slept
}

func newTCPProxy(t *testing.T, f *fleet) *tcpProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &tcpProxy{url: "http://" + l.Addr().String(), to: strings.TrimPrefix(f.url, "http://")}
	t.Cleanup(func() {
		l.Close()
		w.cut()
	})
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			w.join(near)
		}
	}()
	return w
}

func (w *tcpProxy) join(near net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		near.Close()
		return
	}
	far, err := net.Dial("tcp", w.to)
	if err != nil {
		near.Close()
		return
	}
	k := &link{near: near, far: far}
	w.links = append(w.links, k)
	go k.carry(far, near)
	go k.carry(near, far)
}

func (k *link) carry(to, from net.Conn) {
	defer k.near.Close()
	defer k.far.Close()
	for buf := make([]byte, 32<<10); ; {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		k.waiting.Store(from == k.near)
		if k.stalled.Load() {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// cut closes every connection, and every new one until restore.
func (w *tcpProxy) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = true
	for _, k := range w.links {
		k.near.Close()
		k.far.Close()
	}
	w.links = nil
}

func (w *tcpProxy) restore() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = false
}

// stall leaves the requests that wait for an answer pending; new ones work. Idle connections are closed, as the browser
// does when its machine wakes up.
func (w *tcpProxy) stall() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range w.links {
		if k.waiting.Load() {
			k.stalled.Store(true)
		} else {
			k.near.Close()
		}
	}
}
