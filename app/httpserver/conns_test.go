package httpserver

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

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
