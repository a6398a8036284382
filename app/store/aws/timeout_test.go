package aws_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"imagery/app/imagery"
	awsstore "imagery/app/store/aws"
	"imagery/app/testing/short"
)

// contractBound is the time within which a server must answer 503 while a dependency is unavailable.
const contractBound = 10 * time.Second

// storeAt returns a Store whose AWS endpoint is the given address.
func storeAt(t *testing.T, endpoint string) *awsstore.Store {
	t.Helper()
	b, err := awsstore.Open(t.Context(), awsstore.Options{
		Table: "table", Bucket: "bucket", QueueURL: endpoint + "/0/queue",
		AWS: &aws.Config{Region: "us-east-1", BaseEndpoint: &endpoint,
			Credentials: credentials.NewStaticCredentialsProvider("k", "s", "")}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// listening serves each connection with serve until the test ends.
func listening(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			go serve(conn)
		}
	}()
	return "http://" + l.Addr().String()
}

// allCalls makes one call of each kind at the same time, with a photo larger than all buffers, and returns their errors
// and the time that the last one took.
func allCalls(t *testing.T, b *awsstore.Store) (errs map[string]error, took time.Duration) {
	t.Helper()
	photo := make([]byte, 20<<20)
	calls := map[string]func() error{
		"Create": func() error { return b.Catalog().Create(t.Context(), newImage(), time.Now()) },
		"Get":    func() error { _, err := b.Catalog().Get(t.Context(), imagery.NewID()); return err },
		"Move":   func() error { img := newImage(); return b.Catalog().Move(t.Context(), img, uploaded(img)) },
		"Pending": func() error {
			_, _, err := b.Catalog().Pending(t.Context(), "0", time.Time{}, time.Now(), "", 10)
			return err
		},
		"Ping":    func() error { return b.Catalog().Ping(t.Context()) },
		"Put":     func() error { return put(t, b, "upload/x", photo) },
		"Blob":    func() error { _, err := b.Blobs().Get(t.Context(), "upload/x", 1<<20); return err },
		"Head":    func() error { return b.Blobs().Ping(t.Context()) },
		"Send":    func() error { return b.Queue().Send(t.Context(), []byte("hint"), "") },
		"Extend":  func() error { _, err := b.Queue().Extend(t.Context(), 0, imagery.Message{Receipt: "r"}); return err },
		"Delete":  func() error { return b.Queue().Delete(t.Context(), imagery.Message{Receipt: "r"}) },
		"Limits":  func() error { _, err := b.Queue().Limits(t.Context()); return err },
		"Receive": func() error { _, err := b.Queue().Receive(t.Context(), 1, time.Second); return err },
		"Dead":    func() error { _, err := b.DeadLetters().Receive(t.Context(), 1, time.Second); return err },
	}
	type end struct {
		name string
		err  error
	}
	ends, start := make(chan end, len(calls)), time.Now()
	for name, call := range calls {
		go func() { ends <- end{name, call()} }()
	}
	errs = map[string]error{}
	for range calls {
		select {
		case e := <-ends:
			errs[e.name] = e.err
		case <-time.After(time.Minute):
			t.Fatalf("a call hangs; these ended: %v", errs)
		}
	}
	return errs, time.Since(start)
}

func wantTransient(t *testing.T, errs map[string]error, took, bound time.Duration) {
	t.Helper()
	for name, err := range errs {
		if err == nil || named(err) {
			t.Errorf("%s: %v, want a transient error", name, err)
		}
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			t.Errorf("%s looks as if the caller's own context had ended: %v", name, err)
		}
	}
	if took > bound {
		t.Errorf("the last call took %s, want at most %s", took, bound)
	}
}

// The endpoint accepts connections but does not respond, does not read, closes them, or does not listen.
func TestSilence(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"never responds":     func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
		"does not even read": func(net.Conn) {},
		"closes":             func(c net.Conn) { c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			if name != "closes" {
				short.Skip(t, "an endpoint that "+name)
			}
			t.Parallel()
			errs, took := allCalls(t, storeAt(t, listening(t, serve)))
			wantTransient(t, errs, took, contractBound)
		})
	}
	t.Run("does not listen", func(t *testing.T) {
		t.Parallel()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		must(t, l.Close())
		errs, took := allCalls(t, storeAt(t, "http://"+l.Addr().String()))
		wantTransient(t, errs, took, 4*time.Second)
	})
}

// A response that arrives very slowly never hits the idle timeout; the bound of the call ends it.
func TestSlowResponseHitsTheBound(t *testing.T) {
	short.Skip(t, "slow answers")
	t.Parallel()
	endpoint := listening(t, func(c net.Conn) {
		go func() { _, _ = io.Copy(io.Discard, c) }()
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{")
		for tick := time.NewTicker(500 * time.Millisecond); ; <-tick.C {
			if _, err := io.WriteString(c, " "); err != nil {
				return
			}
		}
	})
	errs, took := allCalls(t, storeAt(t, endpoint))
	delete(errs, "Put") // a PutObject is answered by its headers
	delete(errs, "Head")
	wantTransient(t, errs, took, contractBound)
}

// A slow upload or download takes longer than the idle timeout and succeeds, because it makes progress.
func TestSlowTransferSucceeds(t *testing.T) {
	short.Skip(t, "slow transfers")
	t.Parallel()
	const pause = 100 * time.Millisecond
	var requests atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if r.Method == http.MethodPut {
			for buf := make([]byte, 80<<10); ; time.Sleep(pause) {
				if _, err := io.ReadFull(r.Body, buf); err != nil {
					return
				}
			}
		}
		w.Header().Set("Content-Length", "30")
		for range 30 {
			_, _ = w.Write([]byte("x"))
			w.(http.Flusher).Flush()
			time.Sleep(pause)
		}
	}))
	server.Config.ConnState = func(c net.Conn, s http.ConnState) {
		if s == http.StateNew { // a small buffer, as on a network
			_ = c.(*net.TCPConn).SetReadBuffer(64 << 10)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	b, start := storeAt(t, server.URL), time.Now()
	must(t, put(t, b, "upload/x", make([]byte, 5<<20)))
	if took := time.Since(start); took < 4*time.Second {
		t.Fatalf("the line was not slow: %s", took)
	}
	got, err := b.Blobs().Get(t.Context(), "upload/x", 1<<20)
	if err != nil || len(got) != 30 {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests, want one of each", n)
	}
}

// The end of the caller's context ends a call at once and is the returned error.
func TestCallEndsWithItsContext(t *testing.T) {
	t.Parallel()
	b := storeAt(t, listening(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := b.Catalog().Get(ctx, imagery.NewID()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the end of the context", err)
	}
	if took := time.Since(start); took > 1500*time.Millisecond {
		t.Errorf("took %s", took)
	}
}
