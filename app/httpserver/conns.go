package httpserver

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// maxUnread bounds the header bytes of all connections whose header is not complete. net/http keeps up to 24 bytes
// for each of them (fields of few bytes), so this is some 12 MiB; an honest header has a KiB, for milliseconds.
const maxUnread = 512 << 10

// phase is a state of a connection.
type phase int

const (
	reading  phase = iota // opened, or the header of a request is being read
	idle                  // between requests
	handling              // a request is being answered
)

// conns are the open connections of a server. When they are at their limit, a new one replaces the one that has been
// idle longest, or else the one that has been sending its header longest, or else the one that has been silent longest
// in the middle of a body, if that is longer than silence. Other connections whose request is being answered are never
// cut for another.
type conns struct {
	limit int
	stall time.Duration // WriteStall; tests shorten it, and the next
	quiet time.Duration // silence

	mu     sync.Mutex
	open   map[*conn]struct{}
	unread int           // header bytes of connections in phase reading
	closed chan struct{} // closed and replaced when there is one connection less, or one to replace more
}

func newConns(limit int) *conns {
	return &conns{limit: limit, stall: WriteStall, quiet: silence, open: map[*conn]struct{}{}, closed: make(chan struct{})}
}

// silence bounds the pause that a client may make in a body while all connections are taken.
const silence = 5 * time.Second

// conn is one connection. Its phase, since, unread, sending and heard are guarded by conns.mu.
type conn struct {
	net.Conn
	conns *conns

	phase  phase
	since  time.Time // when the phase began
	unread int       // header bytes, while the phase is reading

	sending bool      // the body of the request that is being answered has not ended
	heard   time.Time // when the last bytes came

	mu      sync.Mutex
	writeBy time.Time // the deadline that the handler set
}

// add makes room for one more connection, waiting if all have a request being answered, until done is closed.
func (cs *conns) add(c *conn, done <-chan struct{}) bool {
	for {
		cs.mu.Lock()
		if len(cs.open) < cs.limit || cs.replace() {
			c.since = time.Now()
			cs.open[c] = struct{}{}
			cs.mu.Unlock()
			return true
		}
		closed := cs.closed
		cs.mu.Unlock()
		select {
		case <-closed:
		case <-time.After(cs.quiet / 5): // one may have fallen silent
		case <-done:
			return false
		}
	}
}

// replace closes one connection that may be replaced, and reports whether there was one. The caller holds the lock.
func (cs *conns) replace() bool {
	older := func(c, than *conn) bool { return c.since.Before(than.since) }
	for _, p := range []phase{idle, reading} {
		if c := cs.first(func(c *conn) bool { return c.phase == p }, older); c != nil {
			cs.cut(c)
			return true
		}
	}
	silent := cs.first(func(c *conn) bool { return c.sending && time.Since(c.heard) > cs.quiet },
		func(c, than *conn) bool { return c.heard.Before(than.heard) })
	if silent == nil {
		return false
	}
	cs.cut(silent)
	return true
}

// first returns the connection that comes before all others of those that are meant. The caller holds the lock.
func (cs *conns) first(meant func(*conn) bool, before func(c, than *conn) bool) (best *conn) {
	for c := range cs.open {
		if meant(c) && (best == nil || before(c, best)) {
			best = c
		}
	}
	return best
}

// cut closes a connection for another one's sake. The caller holds the lock.
func (cs *conns) cut(c *conn) {
	cs.forget(c)
	_ = c.Conn.Close() // its reader, in net/http, sees the end
}

// forget takes a connection off the list. The caller holds the lock.
func (cs *conns) forget(c *conn) {
	if _, ok := cs.open[c]; !ok {
		return
	}
	delete(cs.open, c)
	cs.enter(c, idle)
}

// enter changes the phase of a connection. The caller holds the lock.
func (cs *conns) enter(c *conn, p phase) {
	cs.unread -= c.unread
	c.unread, c.phase, c.since, c.sending = 0, p, time.Now(), false
	if p == idle {
		close(cs.closed)
		cs.closed = make(chan struct{})
	}
}

// handling notes that a connection's header is complete, and whether a body follows.
func (cs *conns) handling(c *conn, body bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.enter(c, handling)
	c.sending, c.heard = body, time.Now()
}

// ended notes that the body has ended.
func (cs *conns) ended(c *conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c.sending = false
}

// state follows net/http's view of a connection.
func (cs *conns) state(nc net.Conn, s http.ConnState) {
	c, ok := nc.(*conn)
	if !ok {
		return
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	switch s {
	case http.StateIdle:
		cs.enter(c, idle)
	case http.StateClosed, http.StateHijacked:
		cs.forget(c)
	}
}

// arrived counts bytes that were read while no request was being answered. When all such bytes are too many, the
// connection that has sent most of them is cut.
func (cs *conns) arrived(c *conn, n int) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c.heard = time.Now()
	if _, ok := cs.open[c]; !ok || c.phase == handling {
		return
	}
	if c.phase == idle {
		cs.enter(c, reading)
	}
	c.unread += n
	cs.unread += n
	for cs.unread > maxUnread {
		cs.cut(cs.first(func(*conn) bool { return true }, func(c, than *conn) bool { return c.unread > than.unread }))
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

// Write implements net.Conn. A write that makes no progress fails after WriteStall, or at the handler's deadline.
func (c *conn) Write(p []byte) (int, error) {
	by := time.Now().Add(c.conns.stall)
	c.mu.Lock()
	if !c.writeBy.IsZero() && c.writeBy.Before(by) {
		by = c.writeBy
	}
	err := c.Conn.SetWriteDeadline(by)
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// SetWriteDeadline implements net.Conn: it bounds all writes from now on together.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writeBy = t
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// CloseWrite lets net/http send an answer's end before it stops reading.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// warnEvery bounds how often a failing listener is logged.
const warnEvery = 10 * time.Second

// listener accepts connections into conns.
type listener struct {
	net.Listener
	conns *conns
	log   *slog.Logger

	done   chan struct{} // closed by Close
	once   sync.Once
	warned time.Time // of Accept, which net/http calls from one goroutine
}

// Accept implements net.Listener. Out of file descriptors net/http tries again by itself; the log says so.
func (l *listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) && time.Since(l.warned) > warnEvery {
				l.warned = time.Now()
				l.log.Warn("no connection can be accepted", "address", l.Addr().String(), "error", err)
			}
			return nil, err
		}
		if tcp, ok := nc.(*net.TCPConn); ok { // without the bounds it works as well
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

// Close implements net.Listener. An Accept that waits for a connection to end returns.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}
