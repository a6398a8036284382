package httpserver

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"imagery/app/deploy/settings"
)

// start serves handler on a free port until the test ends, and returns the address.
func start(t *testing.T, handler http.Handler, connections int, change ...func(*Server)) (*Server, string) {
	t.Helper()
	s := New(handler, connections, slog.New(slog.DiscardHandler), slog.LevelDebug)
	for _, f := range change {
		f(s)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return s, l.Addr().String()
}

// client is one connection.
type client struct {
	net.Conn
	t  *testing.T
	in *bufio.Reader
}

func dial(t *testing.T, addr string) *client {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return &client{c, t, bufio.NewReader(c)}
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// status reads the next response and returns its status; 0 if the connection was closed instead.
func (c *client) status() int {
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	return res.StatusCode
}

var ok = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		w.WriteHeader(http.StatusRequestTimeout)
	}
})

const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

// await waits until n connections are in a phase.
func (s *Server) await(t *testing.T, p phase, n int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		s.conns.mu.Lock()
		got := 0
		for c := range s.conns.open {
			if c.phase == p {
				got++
			}
		}
		s.conns.mu.Unlock()
		if got == n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are in phase %d, want %d", got, p, n)
		}
	}
}

// TestConnectionsAtTheLimit: a new connection replaces an idle one, the longest idle first, then one that is sending
// its header, but never one whose request is being handled.
func TestConnectionsAtTheLimit(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	entered := make(chan struct{}, 10)
	s, addr := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			entered <- struct{}{}
			<-release
		}
	}), 4)
	busy := dial(t, addr)
	busy.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	var resting []*client
	for range 2 {
		c := dial(t, addr)
		c.send(get)
		if got := c.status(); got != 200 {
			t.Fatal(got)
		}
		resting = append(resting, c)
	}
	s.await(t, idle, 2) // a client may have a response before its connection is idle
	slow := dial(t, addr)
	slow.send("GET / HTTP/1.1\r\nHo")
	s.await(t, reading, 1)
	var fresh []*client
	replace := func() {
		c := dial(t, addr)
		c.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
		<-entered
		fresh = append(fresh, c)
	}
	replace()
	replace() // together both idle ones, but not the slow one
	slow.send("st: x\r\n\r\n")
	if got := slow.status(); got != 200 {
		t.Errorf("a slow header while others are idle: %d", got)
	}
	s.await(t, idle, 1)
	slow.send("GET / HTTP/1.1\r\nHo")
	s.await(t, reading, 1)
	replace()
	for i, c := range append(resting, slow) {
		if got := c.status(); got != 0 {
			t.Errorf("connection %d was not replaced: %d", i, got)
		}
	}
	late := dial(t, addr) // waits, since all connections have a request
	late.send(get)
	close(release)
	for i, c := range append(fresh, busy, late) {
		if got := c.status(); got != 200 {
			t.Errorf("request %d: %d", i, got)
		}
	}
}

// TestStalledBodiesAreReplaced: at the limit, a connection that has stalled in the middle of its body is replaced, one
// that waits for its response is not.
func TestStalledBodiesAreReplaced(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	entered := make(chan struct{}, 10)
	_, addr := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path == "/wait" {
			entered <- struct{}{}
			<-release
		}
		entered <- struct{}{}
		ok(w, r)
	}), 3, func(s *Server) { s.conns.bodyStall, s.body = 200*time.Millisecond, time.Hour })
	for range 2 {
		dial(t, addr).send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nx")
	}
	dial(t, addr).send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
	for range 3 {
		<-entered
	}
	for range 2 {
		c := dial(t, addr)
		c.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
		<-entered // replaced a stalled one
	}
}

// TestPartialHeaderLimit: the bytes of all incomplete headers together are limited, without effect on other requests.
func TestPartialHeaderLimit(t *testing.T) {
	t.Parallel()
	s, addr := start(t, ok, 200)
	half := "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 30<<10)
	for range 100 {
		c := dial(t, addr)
		_, _ = io.WriteString(c, half) // fails if the connection was closed already
	}
	c := dial(t, addr)
	c.send(get)
	if got := c.status(); got != 200 {
		t.Errorf("a normal request: %d", got)
	}
	s.conns.mu.Lock()
	defer s.conns.mu.Unlock()
	if s.conns.partial > maxPartial {
		t.Errorf("%d header bytes are kept, the limit is %d", s.conns.partial, maxPartial)
	}
	sum := 0
	for c := range s.conns.open {
		sum += c.partial
	}
	if sum != s.conns.partial {
		t.Errorf("%d bytes are counted, want %d", s.conns.partial, sum)
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	_, addr := start(t, ok, 10)
	for name, c := range map[string]struct {
		header string
		want   int
	}{
		"some fields":     {strings.Repeat("A: b\r\n", 100), 200},
		"too many fields": {strings.Repeat("A: b\r\n", 200), 431},
		"20 KiB":          {"A: " + strings.Repeat("x", 20<<10) + "\r\n", 200},
		"a long query":    {"", 414},
		"40 KiB":          {"A: " + strings.Repeat("x", 40<<10) + "\r\n", 431},
	} {
		conn := dial(t, addr)
		path := "/"
		if name == "a long query" {
			path += "?" + strings.Repeat("a&", maxQuery)
		}
		conn.send("GET " + path + " HTTP/1.1\r\nHost: x\r\n" + c.header + "\r\n")
		if got := conn.status(); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// deadlineRecorder is a connection that records its write deadlines.
type deadlineRecorder struct {
	net.Conn
	deadlines []time.Time
}

func (r *deadlineRecorder) SetWriteDeadline(t time.Time) error {
	r.deadlines = append(r.deadlines, t)
	return nil
}
func (r *deadlineRecorder) Write(p []byte) (int, error) { return len(p), nil }

// TestWriteDeadlines: each write has its own deadline, but not after the one that the handler set.
func TestWriteDeadlines(t *testing.T) {
	t.Parallel()
	inner := &deadlineRecorder{}
	c := &conn{Conn: inner, conns: newConns(1)}
	last := func() time.Duration { return time.Until(inner.deadlines[len(inner.deadlines)-1]) }
	c.Write([]byte("x"))
	if d := last(); d > WriteStallTimeout || d < WriteStallTimeout-10*time.Second {
		t.Errorf("a write may take %s", d)
	}
	c.SetWriteDeadline(time.Now().Add(time.Hour))
	c.Write([]byte("x"))
	if d := last(); d > WriteStallTimeout {
		t.Errorf("a write before a late deadline may take %s", d)
	}
	c.SetWriteDeadline(time.Now().Add(time.Second))
	c.Write([]byte("x"))
	if d := last(); d > time.Second {
		t.Errorf("a write before an early deadline may take %s", d)
	}
}

// TestStalledClients: a client that does not finish its body, or does not read, loses its connection.
func TestStalledClients(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	large := bytes.Repeat([]byte("x"), 32<<20)
	_, addr := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			ok(w, r)
			return
		}
		_, err := io.Copy(w, bytes.NewReader(large))
		ended <- err
	}), 10, func(s *Server) { s.body, s.conns.writeStall = 100*time.Millisecond, 100*time.Millisecond })
	c := dial(t, addr)
	c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nx")
	if got := c.status(); got != http.StatusRequestTimeout {
		t.Errorf("a body that does not end: %d", got)
	}
	reader := dial(t, addr)
	reader.send(get)
	select {
	case err := <-ended:
		if err == nil {
			t.Error("32 MiB were sent to a client that reads nothing")
		}
	case <-time.After(20 * time.Second):
		t.Error("the write to a client that reads nothing did not end")
	}
}

// TestSlowHeadersAndIdleConnections: connections with an incomplete header, and idle ones, are closed.
func TestSlowHeadersAndIdleConnections(t *testing.T) {
	t.Parallel()
	s, addr := start(t, ok, 10, func(s *Server) {
		if s.ReadHeaderTimeout != settings.ReadHeaderTimeout || s.IdleTimeout != settings.IdleTimeout {
			t.Errorf("header %s, idle %s", s.ReadHeaderTimeout, s.IdleTimeout)
		}
		s.ReadHeaderTimeout, s.IdleTimeout = 100*time.Millisecond, 100*time.Millisecond
	})
	slow := dial(t, addr)
	slow.send("GET / HTTP/1.1\r\nHo")
	rested := dial(t, addr)
	rested.send(get)
	if got := rested.status(); got != 200 {
		t.Error(got)
	}
	for name, c := range map[string]*client{"slow": slow, "idle": rested} {
		if _, err := io.Copy(io.Discard, c.in); err != nil { // until it is closed, before the client's own deadline
			t.Errorf("the %s connection: %v", name, err)
		}
	}
	s.await(t, reading, 0)
	s.await(t, idle, 0)
}

// failingListener fails as if file descriptors were exhausted, then works.
type failingListener struct {
	net.Listener
	left int
}

func (b *failingListener) Accept() (net.Conn, error) {
	if b.left--; b.left >= 0 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return b.Listener.Accept()
}

// TestAcceptErrorsAreLogged: repeated accept errors cause one warning, and the server continues after them.
func TestAcceptErrorsAreLogged(t *testing.T) {
	t.Parallel()
	var log syncBuffer
	s := New(ok, 10, slog.New(slog.NewTextHandler(&log, nil)), slog.LevelDebug)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(&failingListener{l, 3})
	defer s.Close()
	c := dial(t, l.Addr().String())
	c.send(get)
	if got := c.status(); got != 200 {
		t.Errorf("afterwards: %d", got)
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), "too many open files") {
		t.Errorf("%d warnings:\n%s", n, log.String())
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// TestShutdownAtTheLimit: a server at its connection limit can be shut down.
func TestShutdownAtTheLimit(t *testing.T) {
	t.Parallel()
	release, entered := make(chan struct{}), make(chan struct{})
	wait := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(entered); <-release })
	s := New(wait, 1, slog.New(slog.DiscardHandler), slog.LevelDebug)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	busy := dial(t, l.Addr().String())
	busy.send(get)
	<-entered
	dial(t, l.Addr().String())
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(context.Background()) }()
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	close(release)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if got := busy.status(); got != 200 {
		t.Errorf("the request in flight: %d", got)
	}
}

func TestConnections(t *testing.T) {
	for memory, want := range map[int64]int{0: 256, 64 << 20: 256, 200 << 20: 800, 16 << 30: 4096} {
		if got := Connections(memory); got != want {
			t.Errorf("%d MiB: %d connections, want %d", memory>>20, got, want)
		}
	}
}
