package worker

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"imagery/app/imagery"
	"imagery/app/observe"
	"imagery/app/settings"
)

// maxSQSBody is SQS's largest message.
const maxSQSBody = 1 << 20

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
	route("POST", "/sqs", w.sqs)
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

// sqs does the job of one message that somebody else received, and answers when it is done: 200 to have it
// deleted, 400 when it never will be a job, 5xx to have it delivered again. The headers are those of the
// Elastic Beanstalk daemon; its receive count decides whether this is the last try.
func (w *Worker) sqs(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxSQSBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		problem(rw, http.StatusBadRequest, "the message is larger than a hint can be")
		return
	}
	if err != nil {
		problem(rw, http.StatusBadRequest, "the message could not be read")
		return
	}
	hint, err := imagery.ParseHint(body)
	if err != nil {
		w.Log.Error("message is not a hint", "message", r.Header.Get("X-Aws-Sqsd-Msgid"), "error", err)
		problem(rw, http.StatusBadRequest, err.Error())
		return
	}
	if w.stopping.Load() {
		problem(rw, http.StatusServiceUnavailable, "stopping")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), settings.JobBound)
	defer cancel()
	if w.slots.take(ctx, 1) == 0 {
		problem(rw, http.StatusServiceUnavailable, "no core became free")
		return
	}
	defer w.slots.give(1)
	report, err := w.run(ctx, w.sqsJob(ctx, hint, r.Header), delivery{
		message: r.Header.Get("X-Aws-Sqsd-Msgid"), trace: sqsTrace(r.Header), taken: time.Now()})
	if err != nil {
		problem(rw, http.StatusServiceUnavailable, "not done, deliver it again")
		return
	}
	w.Service.Pass(imagery.BeforeAck, report.Image.ID)
	writeJSON(rw, http.StatusOK, map[string]string{"imageId": hint.ImageID, "outcome": string(report.Outcome)})
}

// sqsJob reads the daemon's headers. Without a receive count this is a first try.
func (w *Worker) sqsJob(ctx context.Context, hint imagery.Hint, h http.Header) imagery.Job {
	receives, err := strconv.Atoi(h.Get("X-Aws-Sqsd-Receive-Count"))
	if err != nil || receives < 1 {
		receives = 1
	}
	last := false
	if l, ok := w.limits.soon(ctx); ok { // else the queue is away, and a further try will know
		last = l.MaxReceives > 0 && receives >= l.MaxReceives
	}
	return imagery.Job{
		Hint: hint, Receives: receives, Last: last,
		Held:  func() bool { return ctx.Err() == nil }, // the daemon holds the message while it waits for us
		Admit: w.admit,
	}
}

// sqsTrace finds the trace among the message attributes, which the daemon passes on as headers.
func sqsTrace(h http.Header) string {
	for name := range h {
		if strings.EqualFold(name, "X-Aws-Sqsd-Attr-"+observe.TraceparentHeader) {
			return h.Get(name)
		}
	}
	return h.Get(observe.AmznTraceHeader)
}
