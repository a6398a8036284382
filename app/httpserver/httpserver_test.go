package httpserver

import (
	"bufio"
	"bytes"
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

func TestConnections(t *testing.T) {
	for memory, want := range map[int64]int{0: 256, 64 << 20: 256, 200 << 20: 800, 16 << 30: 4096} {
		if got := Connections(memory); got != want {
			t.Errorf("%d MiB: %d connections, want %d", memory>>20, got, want)
		}
	}
}
