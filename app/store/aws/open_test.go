package aws_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"imagery/app/imagery"
	awsstore "imagery/app/store/aws"
	"imagery/app/testing/fakeaws"
)

// answering returns an endpoint that gives the same response to every request.
func answering(t *testing.T, body string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// inEnvironment sets environment variables given as NAME=value.
func inEnvironment(t *testing.T, env []string) {
	t.Helper()
	for _, line := range env {
		name, value, _ := strings.Cut(line, "=")
		t.Setenv(name, value)
	}
}

func TestOpenFromTheEnvironment(t *testing.T) {
	at, stack := fakeaws.Start(t, someLimits)
	inEnvironment(t, at.Env("server"))
	b, err := awsstore.Open(t.Context(),
		awsstore.Options{Table: stack.Table, Bucket: stack.Bucket, QueueURL: stack.QueueURL})
	must(t, err)
	must(t, b.Catalog().Ping(t.Context()))
	must(t, b.Blobs().Ping(t.Context()))
	must(t, b.Queue().Send(t.Context(), []byte("hint"), ""))
	if b.ObjectOrigin() != at.Endpoint {
		t.Errorf("origin %s, want %s", b.ObjectOrigin(), at.Endpoint)
	}
	for _, c := range at.Proxy.Calls() {
		if c.Caller != "test" && c.Caller != "server" {
			t.Errorf("the call %+v was made with other credentials", c)
		}
	}
}

func TestOpenNeedsARegion(t *testing.T) {
	inEnvironment(t, (&fakeaws.Cloud{}).Env("server"))
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	if _, err := awsstore.Open(t.Context(), awsstore.Options{}); err == nil ||
		!strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("got %v, want an error that names AWS_REGION", err)
	}
}

// Open makes no calls, so that a process starts during an outage of AWS.
func TestOpenDuringAnOutage(t *testing.T) {
	at, stack := fakeaws.Start(t, someLimits)
	at.Proxy.Clear()
	at.Proxy.Inject(always(fakeaws.NoResponse))
	start := time.Now()
	b := open(t, at, stack)
	if took := time.Since(start); took > time.Second {
		t.Errorf("opening took %s", took)
	}
	if calls := at.Proxy.Calls(); len(calls) != 0 {
		t.Errorf("opening made the calls %+v", calls)
	}
	at.Proxy.Inject(nil)
	must(t, b.Catalog().Ping(t.Context()))
}

// Retries are logged at level debug.
func TestRetriesAreLogged(t *testing.T) {
	at, stack := fakeaws.Start(t, someLimits)
	var log lines
	b, err := awsstore.Open(t.Context(), awsstore.Options{Table: stack.Table, AWS: at.Config("test"),
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	must(t, err)
	at.Proxy.Inject(first(fakeaws.ServerError, "GetItem"))
	_, err = b.Catalog().Get(t.Context(), imagery.NewID())
	if !named(err) || !strings.Contains(log.String(), "GetItem, attempt 2") {
		t.Errorf("%v, logged: %s", err, log.String())
	}
}

// lines is a log that is safe for concurrent use.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
