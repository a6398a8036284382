package fleet

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

const (
	// holdFor is how long a request waits for a server while none is up: longer than a restart takes.
	holdFor = 5 * time.Second
	// dialTimeout on the loopback is only reached by a server that stopped accepting long ago.
	dialTimeout = time.Second
)

// errNoServer is the answer to a request that was held as long as is sensible.
var errNoServer = errors.New("no server is up")

// target is where one child can be reached now. Its counters outlive the processes of the child.
type target struct {
	addr   string // host:port, empty while no process listens
	up     bool   // accepts connections, as far as we know
	ready  bool   // its /readyz answers 200; not so while it drains
	open   int    // connections; each carries one request
	served int64
}

// pool knows the state of every child and opens connections to servers.
type pool struct {
	dialer net.Dialer
	closed chan struct{} // when closed, nothing is held any more

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

// listening says where a new process of the child listens.
func (p *pool) listening(t *target, addr string) { p.set(t, addr, true, false) }

// gone says that no process of the child runs.
func (p *pool) gone(t *target) { p.set(t, "", false, false) }

// probed says what was found out about addr, unless another process has taken over meanwhile.
func (p *pool) probed(t *target, addr string, up, ready bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.addr == addr {
		p.setLocked(t, addr, up, ready)
	}
}

func (p *pool) set(t *target, addr string, up, ready bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.setLocked(t, addr, up, ready)
}

// setLocked wakes those that are held when a server becomes usable.
func (p *pool) setLocked(t *target, addr string, up, ready bool) {
	if up && !t.up {
		close(p.changed)
		p.changed = make(chan struct{})
	}
	t.addr, t.up, t.ready = addr, up, ready
}

// connect opens a connection to the best server. Nothing of a request has been sent by then, so a server that
// refuses costs nothing: the next one is tried, and while none is up the caller is held.
func (p *pool) connect(ctx context.Context) (net.Conn, error) {
	held, cancel := context.WithTimeout(ctx, holdFor)
	defer cancel()
	for held.Err() == nil {
		t, addr, changed := p.pick()
		if t == nil {
			select {
			case <-changed:
			case <-held.Done():
			case <-p.closed:
				return nil, errNoServer
			}
			continue
		}
		conn, err := p.dialer.DialContext(held, "tcp", addr)
		if err == nil {
			return &connection{Conn: conn, release: sync.OnceFunc(func() { p.release(t, 1) })}, nil
		}
		p.release(t, 0)
		// Not asked again until a probe finds it accepting, so this loop turns once per server and probe.
		p.probed(t, addr, false, false)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, errNoServer
}

// pick reserves the server with the fewest open requests, in turn among equals. It prefers ready servers; when
// none is, those that accept connections are better than none. Without any it returns what to wait for.
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

// connection counts as one request in flight until it is closed.
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
