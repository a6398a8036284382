package browser

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// wire is the network between browser and fleet, for tests that break it: the browser's own emulation spares
// the requests that are on their way.
type wire struct {
	url, to string
	mu      sync.Mutex
	down    bool
	links   []*link
}

type link struct {
	near, far net.Conn
	waiting   atomic.Bool // the last that came through was a request
	deaf      atomic.Bool // takes bytes and delivers none, like the connection of a machine that slept
}

func newWire(t *testing.T, f *fleet) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{url: "http://" + l.Addr().String(), to: strings.TrimPrefix(f.url, "http://")}
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

func (w *wire) join(near net.Conn) {
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
		if k.deaf.Load() {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// cut ends every connection, and every later one until mend.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = true
	for _, k := range w.links {
		k.near.Close()
		k.far.Close()
	}
	w.links = nil
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = false
}

// deafen lets the requests that wait for an answer hang; new ones work. Idle connections end, as the browser
// itself ends them when its machine wakes up.
func (w *wire) deafen() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range w.links {
		if k.waiting.Load() {
			k.deaf.Store(true)
		} else {
			k.near.Close()
		}
	}
}
