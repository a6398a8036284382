package worker

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"imagery/app/deploy/settings"
	"imagery/app/imagery"
	"imagery/app/observe"
)

// maxSQSBody is much more than a hint has, in bytes; SQS itself would allow a MiB.
const maxSQSBody = 16 << 10

// fromDaemon lets only the Elastic Beanstalk daemon of this machine through, which posts to localhost, past or through
// the machine's own nginx: the peer, the last hop before it and the host that was asked for must be this machine. What
// a browser sends from a page is refused, although it comes from this machine, too.
func fromDaemon(next http.HandlerFunc) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		if forwarded := r.Header.Values("X-Forwarded-For"); !loopback(r.RemoteAddr) || !loopback(r.Host) || fromPage(r) ||
			len(forwarded) > 0 && !loopback(lastHop(forwarded)) || len(r.Header.Values("Forwarded")) > 0 {
			problem(rw, http.StatusForbidden, "Only the message daemon on this machine may post here.")
			return
		}
		next(rw, r)
	}
}

// fromPage reports whether a browser says that a page sent the request.
func fromPage(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return r.Header.Get("Origin") != "" || site != "" && site != "none"
}

func lastHop(forwarded []string) string {
	hops := strings.Split(strings.Join(forwarded, ","), ",")
	return strings.TrimSpace(hops[len(hops)-1])
}

// loopback reports whether an address or name, with a port or without, is of this machine.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// sqs does the job of one message that the Elastic Beanstalk daemon received, and answers when it is done: 200 to have
// it deleted, 400 when it never will be a job, 5xx to have it delivered again.
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
	w.Service.Hit(imagery.BeforeAck, report.Image.ID)
	writeJSON(rw, http.StatusOK, map[string]string{"imageId": hint.ImageID, "outcome": string(report.Outcome)})
}

// sqsJob reads the daemon's headers. No delivery is the last one here: a header is no proof, and a forged count would
// fail a good photo in a bad moment. When the queue gives the message up, the reconciler finds it among the dead
// letters and says on the image why.
func (w *Worker) sqsJob(ctx context.Context, hint imagery.Hint, h http.Header) imagery.Job {
	receives, err := strconv.Atoi(h.Get("X-Aws-Sqsd-Receive-Count"))
	if err != nil || receives < 1 {
		receives = 1
	}
	return imagery.Job{
		Hint: hint, Receives: receives,
		Owned: func() bool { return ctx.Err() == nil }, // the daemon holds the message while it waits for us
		Admit: func(ctx context.Context, c imagery.Cost) (func(), error) { return w.admitInTurn(ctx, c, anyWait) },
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
