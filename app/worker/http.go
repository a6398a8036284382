package worker

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"imagery/app/httpserver"
)

// routes returns the HTTP handler of a worker: health checks, and POST /sqs for the Elastic Beanstalk daemon.
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
	route("POST", "/sqs", daemonOnly(w.sqs))
	mux.HandleFunc("/", func(rw http.ResponseWriter, _ *http.Request) {
		problem(rw, http.StatusNotFound, "There is nothing at this address.")
	})
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set(httpserver.RequestID, rand.Text())
		mux.ServeHTTP(rw, r)
	})
}

// Stats counts the jobs of this process. It is the answer to GET /stats.
type Stats struct {
	Done    int64 `json:"done"` // ended, with any outcome
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

// problem writes an error response. A 503 asks the client to retry in 2 seconds.
func problem(rw http.ResponseWriter, status int, detail string) {
	if status == http.StatusServiceUnavailable {
		rw.Header().Set("Retry-After", "2")
	}
	httpserver.WriteProblem(rw, status, detail)
}

// readyz answers 200 once a receive has succeeded, while the dependencies answer.
func (w *Worker) readyz(rw http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	switch err := w.Probe(ctx); {
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

// readyTimeout keeps the answer of /readyz within the timeouts of health checks.
const readyTimeout = 8 * time.Second
