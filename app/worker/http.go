package worker

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"imagery/app/deploy/settings"
	"imagery/app/httpserver"
	"imagery/app/imagery"
	"imagery/app/observe"
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

// readyz answers 200 while the dependencies answer, from the first successful receive until the worker stops.
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
	case !w.Consume && !w.repairing.Load():
		// Photos are processed, so the daemon must go on.
		plain(rw, "ready, but lost messages may not be sent again: the reconciler failed, see the log")
	default:
		plain(rw, "ready")
	}
}

// readyTimeout keeps the answer of /readyz within the timeouts of health checks.
const readyTimeout = 8 * time.Second

// maxSQSBody limits the body of POST /sqs, in bytes. A hint is much smaller; SQS itself allows 1 MiB.
const maxSQSBody = 16 << 10

// daemonOnly rejects requests that the Elastic Beanstalk daemon of this machine cannot have sent. The daemon posts to
// localhost, directly or through the nginx of the machine, so the peer, the last hop in X-Forwarded-For and the Host
// header must be loopback. A request with a Forwarded header, or from a web page in a local browser, is rejected too.
func daemonOnly(next http.HandlerFunc) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		if forwarded := r.Header.Values("X-Forwarded-For"); !loopback(r.RemoteAddr) || !loopback(r.Host) || fromWebPage(r) ||
			len(forwarded) > 0 && !loopback(lastHop(forwarded)) || len(r.Header.Values("Forwarded")) > 0 {
			problem(rw, http.StatusForbidden, "Only the message daemon on this machine may post here.")
			return
		}
		next(rw, r)
	}
}

// fromWebPage reports whether the headers say that a web page in a browser sent the request.
func fromWebPage(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return r.Header.Get("Origin") != "" || site != "" && site != "none"
}

func lastHop(forwarded []string) string {
	hops := strings.Split(strings.Join(forwarded, ","), ",")
	return strings.TrimSpace(hops[len(hops)-1])
}

// loopback reports whether a host, with or without a port, is localhost or a loopback address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// sqs runs the job of a message that the Elastic Beanstalk daemon posts, and answers when it has ended. 200 makes the
// daemon delete the message; after 400, for a malformed message, and 503, for a transient error, it delivers it again.
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
	ctx, cancel := context.WithTimeout(r.Context(), settings.JobTimeout)
	defer cancel()
	if w.slots.acquire(ctx, 1) == 0 {
		problem(rw, http.StatusServiceUnavailable, "no core became free")
		return
	}
	defer w.slots.release(1)
	report, err := w.run(ctx, w.sqsJob(ctx, hint, r.Header), origin{
		message: r.Header.Get("X-Aws-Sqsd-Msgid"), receivedAt: time.Now(),
		// The daemon sends message attributes as headers.
		trace: cmp.Or(r.Header.Get("X-Aws-Sqsd-Attr-"+observe.TraceparentHeader), r.Header.Get(observe.AmznTraceHeader))})
	if err != nil {
		problem(rw, http.StatusServiceUnavailable, "not done, deliver it again")
		return
	}
	w.Service.Hit(imagery.BeforeAck, report.Image.ID)
	writeJSON(rw, http.StatusOK, map[string]string{"imageId": hint.ImageID, "outcome": string(report.Outcome)})
}

// sqsJob makes a job from the headers of the daemon. It never marks a delivery as the last one: the receive count is a
// header that can be forged, and a transient error would then fail a good photo. When the queue moves the message to
// the dead-letter queue, the reconciler records the failure on the image.
func (w *Worker) sqsJob(ctx context.Context, hint imagery.Hint, h http.Header) imagery.Job {
	receives, err := strconv.Atoi(h.Get("X-Aws-Sqsd-Receive-Count"))
	if err != nil || receives < 1 {
		receives = 1
	}
	return imagery.Job{
		Hint: hint, Receives: receives,
		Owned: func() bool { return ctx.Err() == nil }, // the daemon keeps the message while it waits for the answer
		Admit: func(ctx context.Context, c imagery.Cost) (func(), error) { return w.admit(ctx, c, neverDefer) },
	}
}
