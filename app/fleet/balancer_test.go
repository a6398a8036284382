package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"imagery/app/testing/short"
)

// balance starts a balancer over the given servers, all of them ready.
func balance(t *testing.T, servers ...http.HandlerFunc) (b *balancer, addr string) {
	t.Helper()
	b = newBalancer(newPool(), Options{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	for _, handler := range servers {
		s := httptest.NewServer(handler)
		t.Cleanup(s.Close)
		b.join(s.Listener.Addr().String(), true)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go b.serve(l)
	t.Cleanup(b.close)
	return b, l.Addr().String()
}

func (b *balancer) join(addr string, ready bool) *target {
	t := b.pool.add(true)
	b.pool.setAddress(t, addr)
	b.pool.setProbed(t, addr, true, ready)
	return t
}

// refusedAddr returns an address without a listener.
func refusedAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func ok(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }

// isProblem checks an error response of the balancer.
func isProblem(t *testing.T, res *http.Response, status int) {
	t.Helper()
	defer res.Body.Close()
	var p struct {
		Type, Title, Detail, RequestID string
		Status                         int
	}
	if err := json.NewDecoder(res.Body).Decode(&p); err != nil {
		t.Fatalf("%s: %v", res.Status, err)
	}
	if res.StatusCode != status || p.Status != status || res.Header.Get("Content-Type") != "application/problem+json" ||
		p.Type == "" || p.Title == "" || p.Detail == "" || p.RequestID == "" ||
		p.RequestID != res.Header.Get("X-Request-Id") {
		t.Errorf("want %d, got %s %v %+v", status, res.Status, res.Header, p)
	}
	if status >= 500 && res.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestRequestWaitsWhileNoServerIsUp(t *testing.T) {
	short.Skip(t, "requests that wait for a server")
	t.Parallel()
	b, addr := balance(t)
	began := time.Now()
	res, err := http.Post("http://"+addr+"/", "text/plain", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	isProblem(t, res, http.StatusServiceUnavailable)
	if d := time.Since(began); d < noServerTimeout || d > noServerTimeout+3*time.Second {
		t.Errorf("held for %s", d)
	}
	s := httptest.NewServer(http.HandlerFunc(ok))
	t.Cleanup(s.Close)
	time.AfterFunc(200*time.Millisecond, func() {
		b.pool.mu.Lock()
		target := b.pool.add(true)
		b.pool.mu.Unlock()
		b.pool.setAddress(target, s.Listener.Addr().String())
	})
	res, err = http.Post("http://"+addr+"/", "text/plain", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || string(body) != "body" {
		t.Errorf("a held request got %s %q", res.Status, body)
	}
}

// TestWaitingEndsWithTheRequest: a client that leaves while no server is up does not occupy the next one.
func TestWaitingEndsWithTheRequest(t *testing.T) {
	b, _ := balance(t)
	ctx, leave := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, leave)
	func() {
		defer func() {
			if err := recover(); err != http.ErrAbortHandler {
				t.Errorf("the request ended with %v", err)
			}
		}()
		b.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
	}()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b.join(l.Addr().String(), true)
	if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if conn, err := l.Accept(); err == nil {
		conn.Close()
		t.Error("the balancer connected to a server for a client that has left")
	}
}

func TestWaitingRequestsEndWithTheBalancer(t *testing.T) {
	b, addr := balance(t)
	time.AfterFunc(200*time.Millisecond, func() { b.drain() })
	began := time.Now()
	res, err := http.Get("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	isProblem(t, res, http.StatusServiceUnavailable)
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("held for %s", d)
	}
}

func TestRouting(t *testing.T) {
	var hits [3]atomic.Int64
	var handlers []http.HandlerFunc
	for i := range hits {
		handlers = append(handlers, func(w http.ResponseWriter, r *http.Request) { hits[i].Add(1) })
	}
	b, addr := balance(t, handlers...)
	for _, c := range []struct {
		name      string
		up, ready [3]bool
		want      [3]int64
	}{
		{"equal", [3]bool{true, true, true}, [3]bool{true, true, true}, [3]int64{4, 4, 4}},
		{"only to ready ones", [3]bool{true, true, true}, [3]bool{true, false, true}, [3]int64{6, 0, 6}},
		{"none is ready: to the live ones", [3]bool{true, true, false}, [3]bool{}, [3]int64{6, 6, 0}},
	} {
		for i, target := range b.pool.servers {
			hits[i].Store(0)
			b.pool.setProbed(target, target.addr, c.up[i], c.ready[i])
		}
		for range 12 {
			res, err := http.Get("http://" + addr)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			for _, s := range b.pool.servers { // a connection may end after its response
				eventually(t, time.Second, "the request has ended", func() bool {
					var now Status
					b.pool.describe(s, &now)
					return now.InFlight == 0
				})
			}
		}
		for i := range hits {
			if got := hits[i].Load(); got != c.want[i] {
				t.Errorf("%s: server %d got %d requests, want %d", c.name, i, got, c.want[i])
			}
		}
	}
}

// TestRoutesAroundBusyServers: the server with the fewest open requests gets the next one.
func TestRoutesAroundBusyServers(t *testing.T) {
	release := make(chan struct{})
	busy := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			w.(http.Flusher).Flush()
			<-release
		}
	}
	var quick atomic.Int64
	b, addr := balance(t, busy, func(w http.ResponseWriter, r *http.Request) { quick.Add(1) })
	defer close(release)
	b.pool.setProbed(b.pool.servers[1], b.pool.servers[1].addr, true, false)
	if res, err := http.Get("http://" + addr + "/slow"); err != nil {
		t.Fatal(err)
	} else {
		defer res.Body.Close()
	}
	b.pool.setProbed(b.pool.servers[1], b.pool.servers[1].addr, true, true)
	for range 10 {
		res, err := http.Get("http://" + addr)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		eventually(t, time.Second, "the request has ended", func() bool {
			var now Status
			b.pool.describe(b.pool.servers[1], &now)
			return now.InFlight == 0
		})
	}
	if quick.Load() != 10 {
		t.Errorf("the idle server got %d of 10 requests", quick.Load())
	}
}

// TestDialErrorIsRepeated: when a server refuses the connection, another one gets the whole request once.
func TestDialErrorIsRepeated(t *testing.T) {
	var hits atomic.Int64
	b, addr := balance(t, func(w http.ResponseWriter, r *http.Request) { hits.Add(1); ok(w, r) })
	refuses := b.join(refusedAddr(t), true)
	for range 20 {
		b.pool.setProbed(refuses, refuses.addr, true, true)
		res, err := http.Post("http://"+addr, "text/plain", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || string(body) != "body" {
			t.Errorf("%s %q", res.Status, body)
		}
	}
	if hits.Load() != 20 {
		t.Errorf("%d requests arrived, want 20", hits.Load())
	}
}

// TestSentRequestIsNotRepeated: a request of which a byte was sent is not repeated, but answered with 502.
func TestSentRequestIsNotRepeated(t *testing.T) {
	var hits atomic.Int64
	dies := func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		io.ReadAll(r.Body)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conn.Close()
	}
	_, addr := balance(t, dies, dies)
	sent := int64(0)
	for range 5 {
		for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodPut} {
			req, _ := http.NewRequest(method, "http://"+addr, strings.NewReader(strings.Repeat("x", 100_000)))
			if method == http.MethodGet {
				req.Body, req.ContentLength = nil, 0
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			isProblem(t, res, http.StatusBadGateway)
			sent++
		}
	}
	if hits.Load() != sent {
		t.Errorf("%d requests arrived, %d were sent", hits.Load(), sent)
	}
}

func TestHangingServer(t *testing.T) {
	release := make(chan struct{})
	b, addr := balance(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	b.responseTimeout = 200 * time.Millisecond
	// More than fits into the buffers of two sockets.
	res, err := http.Post("http://"+addr, "text/plain", bytes.NewReader(make([]byte, 20<<20)))
	if err != nil {
		t.Fatal(err)
	}
	isProblem(t, res, http.StatusGatewayTimeout)
}
