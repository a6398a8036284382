package worker

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"time"
)

// routes is the HTTP side of a worker: health for its machine, and POST /sqs for the Elastic Beanstalk daemon.
func (w *Worker) routes() http.Handler {
	mux := http.NewServeMux()
	route := func(method, path string, handler http.HandlerFunc) {
		mux.HandleFunc(method+" "+path, handler)
		mux.HandleFunc(path, func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Allow", method)
			problem(rw, http.StatusMethodNotAllowed, "This address does not take that method.")
		})
	}
	route("GET", "/{$}", func(rw http.ResponseWriter, _ *http.Request) { writeJSON(rw, http.StatusOK, struct{}{}) })
	route("GET", "/healthz", func(rw http.ResponseWriter, _ *http.Request) { plain(rw, "ok") })
	route("GET", "/version", func(rw http.ResponseWriter, _ *http.Request) { plain(rw, w.Release) })
	route("GET", "/readyz", w.readyz)
	route("GET", "/stats", func(rw http.ResponseWriter, _ *http.Request) {
		writeJSON(rw, http.StatusOK, Stats{Done: w.done.Load(), Running: w.running.Load()})
	})
	route("POST", "/sqs", fromDaemon(w.sqs))
	mux.HandleFunc("/", func(rw http.ResponseWriter, _ *http.Request) {
		problem(rw, http.StatusNotFound, "There is nothing at this address.")
	})
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set(requestID, rand.Text())
		mux.ServeHTTP(rw, r)
	})
}

// Stats are the jobs of this process, as GET /stats answers them.
type Stats struct {
	Done    int64 `json:"done"` // ended, in whichever way
	Running int64 `json:"running"`
}

func plain(rw http.ResponseWriter, line string) {
	rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(rw, line+"\n")
}

func writeJSON(rw http.ResponseWriter, status int, v any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(v) // the client is gone if this fails
}

// requestID is the header that names an answer in the log, as the server role sends it.
const requestID = "X-Request-Id"

// problem answers in the form of RFC 9457, as the server role does.
func problem(rw http.ResponseWriter, status int, detail string) {
	rw.Header().Set("Content-Type", "application/problem+json")
	if status == http.StatusServiceUnavailable {
		rw.Header().Set("Retry-After", "2")
	}
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(struct {
		Type      string `json:"type"`
		Title     string `json:"title"`
		Status    int    `json:"status"`
		Detail    string `json:"detail"`
		RequestID string `json:"requestId"`
	}{"about:blank", http.StatusText(status), status, detail, rw.Header().Get(requestID)})
}

// readyz says whether this worker does its job: its dependencies answer, and it has received once.
func (w *Worker) readyz(rw http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyBound)
	defer cancel()
	switch err := w.probe.check(ctx); {
	case w.stopping.Load():
		problem(rw, http.StatusServiceUnavailable, "stopping")
	case err != nil:
		problem(rw, http.StatusServiceUnavailable, "the table or the bucket does not answer")
	case w.Consume && !w.received.Load():
		problem(rw, http.StatusServiceUnavailable, "no receive has succeeded yet")
	default:
		plain(rw, "ready")
	}
}

// readyBound keeps /readyz below the timeouts of those who ask.
const readyBound = 8 * time.Second
