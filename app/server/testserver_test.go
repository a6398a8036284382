package server

import (
	"bytes"
	"context"
	"flag"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMain runs more tests at the same time than there are cores, because most of them wait.
func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "6")
	os.Exit(m.Run())
}

// testTimeouts returns the default timeouts, without the lame duck period.
func testTimeouts() timeouts {
	b := defaultTimeouts
	b.lameDuck = 0
	return b
}

// shortTimeouts returns timeouts for tests of slow clients.
func shortTimeouts() timeouts {
	b := testTimeouts()
	b.block, b.stall = 200*time.Millisecond, 100*time.Millisecond
	b.oversized, b.discardFirst = 300*time.Millisecond, 100*time.Millisecond
	return b
}

// testServer is a server that listens on a free port.
type testServer struct {
	t    *testing.T
	w    *fakes
	srv  *Server
	url  string
	addr string
	log  *syncBuffer
	stop func() // ends Run's context
	done <-chan error
}

func options(w *fakes, log io.Writer) Options {
	return Options{Service: w.service(), Sniff: sniff, Inspect: inspect, Budget: 64 << 20,
		Release: strings.Repeat("ab", 32),
		Log:     slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
}

func start(t *testing.T, w *fakes, limits timeouts, change ...func(*Options)) *testServer {
	t.Helper()
	log := &syncBuffer{}
	o := options(w, log)
	for _, f := range change {
		f(&o)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	srv := newServer(o, limits)
	go func() {
		done <- srv.Run(ctx, l)
		close(done)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if t.Failed() {
			l := log.String()
			t.Log(l[max(0, len(l)-4000):])
		}
	})
	return &testServer{t, w, srv, "http://" + l.Addr().String(), l.Addr().String(), log, stop, done}
}

// inUse returns the number of blocks that are reserved.
func (s *Server) inUse() int {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	return int(s.Budget/blockSize) - s.pool.free
}

// syncBuffer is a log that can be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// eventually polls until f returns true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}
