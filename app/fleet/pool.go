package fleet

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

const (
	// noServerTimeout limits how long a request waits while no server is up. It is longer than a restart takes.
	noServerTimeout = 5 * time.Second
	// dialTimeout is reached on loopback only if a server has not accepted connections for long.
	dialTimeout = time.Second
)

// errNoServer is returned by connect when no server came up within noServerTimeout.
var errNoServer = errors.New("no server is up")

// target is the address and state of one child, with counters over all its processes.
type target struct {
	addr   string // host:port, empty while no process listens
	up     bool   // accepted a connection at the last attempt
	ready  bool   // /readyz answered 200 at the last probe
	open   int    // connections; each carries one request
	served int64
}

// pool knows the state of every child and opens connections to servers.
type pool struct {
	dialer net.Dialer
	closed chan struct{} // closed when waiting requests must give up

	mu      sync.Mutex
	servers []*target
	last    int           // index of the server that was picked last
	changed chan struct{} // closed and replaced when a server may have become usable
}

func newPool() *pool {
	return &pool{dialer: net.Dialer{Timeout: dialTimeout}, closed: make(chan struct{}), changed: make(chan struct{})}
}

// add returns the target of a new child; only servers get connections. It must be called before anything runs.
func (p *pool) add(server bool) *target {
	t := &target{}
	if server {
		p.servers = append(p.servers, t)
	}
	return t
}

// setAddress records the address of a new process of the child, or an empty one when its process has ended.
func (p *pool) setAddress(t *target, addr string) {
	p.mu.Lock()
	t.addr, t.up = addr, false
	p.mu.Unlock()
	p.setProbed(t, addr, addr != "", false)
}

// setProbed records the result of a probe of addr, unless the child has another address by now. It wakes the waiting
// requests when a server becomes usable.
func (p *pool) setProbed(t *target, addr string, up, ready bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.addr != addr {
		return
	}
	if up && !t.up {
		close(p.changed)
		p.changed = make(chan struct{})
	}
	t.up, t.ready = up, ready
}

// connect opens a connection to the best server. Nothing of the request has been sent yet, so if a server refuses the
// connection, connect tries the next one. While none is up it waits, at most noServerTimeout.
func (p *pool) connect(ctx context.Context) (net.Conn, error) {
	waitCtx, cancel := context.WithTimeout(ctx, noServerTimeout)
	defer cancel()
	for waitCtx.Err() == nil {
		t, addr, changed := p.pick()
		if t == nil {
			select {
			case <-changed:
			case <-waitCtx.Done():
			case <-p.closed:
				return nil, errNoServer
			}
			continue
		}
		conn, err := p.dialer.DialContext(waitCtx, "tcp", addr)
		if err == nil {
			return &connection{Conn: conn, release: sync.OnceFunc(func() { p.release(t, 1) })}, nil
		}
		p.release(t, 0)
		// Not picked again until a probe finds it up, so the loop runs at most once per server and probe.
		p.setProbed(t, addr, false, false)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, errNoServer
}

// pick selects the ready server with the fewest open requests, round robin among equals, or one that is only up if none
// is ready. If none is up it returns a channel that is closed when that changes.
func (p *pool) pick() (best *target, addr string, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.last
	for i := range p.servers {
		n := (p.last + 1 + i) % len(p.servers)
		if t := p.servers[n]; t.up && (best == nil || t.better(best)) {
			best, at = t, n
		}
	}
	if best == nil {
		return nil, "", p.changed
	}
	p.last = at
	best.open++
	return best, best.addr, nil
}

func (t *target) better(than *target) bool {
	if t.ready != than.ready {
		return t.ready
	}
	return t.open < than.open
}

func (p *pool) release(t *target, served int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t.open--
	t.served += served
}

func (p *pool) describe(t *target, s *Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Address, s.Ready, s.InFlight, s.Served = t.addr, t.ready, t.open, t.served
}

// connection is one request in flight until it is closed.
type connection struct {
	net.Conn
	release func()
}

// Close may be called more than once.
func (c *connection) Close() error {
	defer c.release()
	return c.Conn.Close()
}

func isDialError(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
