package httpserver

import (
	"cmp"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// maxPartial limits the header bytes of all connections whose header is incomplete. net/http may need 24 bytes of
// memory for each of them (if fields are short), which is 12 MiB together. A usual header has 1 KiB, for a few
// milliseconds.
const maxPartial = 512 << 10

// phase is a state of a connection. Connections of an earlier phase are replaced first.
type phase int

const (
	idle     phase = iota // between requests
	reading               // new, or the header of a request is incomplete
	handling              // a request is being handled
)

// bodyStallTimeout limits how long a client may send nothing in the middle of a body while the limit is reached.
const bodyStallTimeout = 5 * time.Second

// conns tracks the open connections of a server and limits their number. At the limit a new connection replaces, in
// this order: the one that has been idle longest; the one that has been sending its header longest; the one that has
// sent nothing for longest in the middle of a body, if that exceeds bodyStallTimeout. Other connections whose request
// is being handled are never closed for a new one.
type conns struct {
	limit int

	// WriteStallTimeout and bodyStallTimeout, unless a test shortens them.
	writeStall, bodyStall time.Duration

	mu      sync.Mutex
	open    map[*conn]struct{}
	partial int           // header bytes of connections in phase reading
	changed chan struct{} // closed and replaced when a connection is closed or becomes idle
}

func newConns(limit int) *conns {
	return &conns{limit: limit, writeStall: WriteStallTimeout, bodyStall: bodyStallTimeout,
		open: map[*conn]struct{}{}, changed: make(chan struct{})}
}

// conn is one connection. phase, since, partial and inBody are guarded by conns.mu.
type conn struct {
	net.Conn
	conns *conns

	phase   phase
	since   time.Time // when the phase began or, while a request is handled, when the last bytes arrived
	partial int       // header bytes read, while the phase is reading
	inBody  bool      // the body of the request being handled has not ended

	mu            sync.Mutex
	writeDeadline time.Time // set by the handler
}

// add adds a connection. At the limit it replaces another one, or waits until that is possible; it returns false if
// done is closed first.
func (cs *conns) add(c *conn, done <-chan struct{}) bool {
	for {
		cs.mu.Lock()
		if len(cs.open) < cs.limit || cs.closeOne() {
			c.phase, c.since = reading, time.Now()
			cs.open[c] = struct{}{}
			cs.mu.Unlock()
			return true
		}
		changed := cs.changed
		cs.mu.Unlock()
		select {
		case <-changed:
		case <-time.After(cs.bodyStall / 5): // a body may have stalled
		case <-done:
			return false
		}
	}
}

// closeOne closes one connection that may be replaced, and reports whether there was one. The caller holds cs.mu.
func (cs *conns) closeOne() bool {
	var first *conn
	for c := range cs.open {
		if c.phase == handling && !(c.inBody && time.Since(c.since) > cs.bodyStall) {
			continue
		}
		if first == nil || cmp.Or(cmp.Compare(c.phase, first.phase), c.since.Compare(first.since)) < 0 {
			first = c
		}
	}
	if first != nil {
		cs.close(first)
	}
	return first != nil
}

// close closes a connection to free what it occupies. The caller holds cs.mu.
func (cs *conns) close(c *conn) {
	cs.remove(c)
	_ = c.Conn.Close() // net/http notices in its read
}

// remove removes a connection from the open ones. The caller holds cs.mu.
func (cs *conns) remove(c *conn) {
	if _, ok := cs.open[c]; ok {
		delete(cs.open, c)
		cs.setPhase(c, idle)
	}
}

// setPhase changes the phase of a connection. The caller holds cs.mu.
func (cs *conns) setPhase(c *conn, p phase) {
	cs.partial -= c.partial
	c.partial, c.phase, c.since, c.inBody = 0, p, time.Now(), false
	if p == idle {
		close(cs.changed)
		cs.changed = make(chan struct{})
	}
}

// headerComplete records that a request's header was read, and whether a body follows.
func (cs *conns) headerComplete(c *conn, body bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.setPhase(c, handling)
	c.inBody = body
}

// bodyEnded records that the body was read to its end.
func (cs *conns) bodyEnded(c *conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c.inBody = false
}

// state is the http.Server.ConnState hook.
func (cs *conns) state(nc net.Conn, s http.ConnState) {
	c, ok := nc.(*conn)
	if !ok {
		return
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	switch s {
	case http.StateIdle:
		cs.setPhase(c, idle)
	case http.StateClosed, http.StateHijacked:
		cs.remove(c)
	}
}

// arrived counts header bytes. If all incomplete headers together exceed maxPartial, it closes the connection with the
// largest.
func (cs *conns) arrived(c *conn, n int) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if _, ok := cs.open[c]; !ok {
		return
	}
	switch c.phase {
	case handling:
		c.since = time.Now()
		return
	case idle:
		cs.setPhase(c, reading)
	}
	c.partial += n
	cs.partial += n
	for cs.partial > maxPartial {
		largest := c
		for other := range cs.open {
			if other.partial > largest.partial {
				largest = other
			}
		}
		cs.close(largest)
	}
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.conns.arrived(c, n)
	}
	return n, err
}

// Write implements net.Conn. It fails after WriteStallTimeout, or at the handler's deadline if that is earlier.
func (c *conn) Write(p []byte) (int, error) {
	deadline := time.Now().Add(c.conns.writeStall)
	c.mu.Lock()
	if !c.writeDeadline.IsZero() && c.writeDeadline.Before(deadline) {
		deadline = c.writeDeadline
	}
	err := c.Conn.SetWriteDeadline(deadline)
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// SetWriteDeadline implements net.Conn. The deadline is for all later writes together.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writeDeadline = t
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// CloseWrite closes the sending side. net/http uses it to end a response before it stops reading.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// warnInterval is the shortest time between two warnings of a failing listener.
const warnInterval = 10 * time.Second

// listener adds the connections that it accepts to conns.
type listener struct {
	net.Listener
	conns *conns
	log   *slog.Logger

	done   chan struct{} // closed by Close
	once   sync.Once
	warned time.Time // used by Accept only, which net/http calls from one goroutine
}

// Accept implements net.Listener. It logs errors, such as exhausted file descriptors; net/http retries by itself.
func (l *listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) && time.Since(l.warned) > warnInterval {
				l.warned = time.Now()
				l.log.Warn("cannot accept connections", "address", l.Addr().String(), "error", err)
			}
			return nil, err
		}
		if tcp, ok := nc.(*net.TCPConn); ok { // errors are harmless: the kernel's defaults apply
			_ = tcp.SetReadBuffer(socketBuffer)
			_ = tcp.SetWriteBuffer(socketBuffer)
		}
		c := &conn{Conn: nc, conns: l.conns}
		if l.conns.add(c, l.done) {
			return c, nil
		}
		_ = nc.Close()
	}
}

// Close implements net.Listener. It also ends an Accept that waits because of the limit.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}
