package server

import (
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"regexp"
	"runtime/debug"
	"time"

	"github.com/labstack/echo/v4"

	"imagery/app/deploy/settings"
	"imagery/app/imagery"
	"imagery/app/observe"
)

// requestState holds the data of one request that the handlers, the error handler and the request log share.
type requestState struct {
	id      string // of the request, see X-Request-Id
	trace   string
	began   time.Time // the end of the headers
	control *http.ResponseController
	body    *body

	longPoll bool       // the request has the parameter wait
	accepted bool       // an upload was accepted
	warning  error      // of a successful request
	cause    error      // of httpErr, for the log
	httpErr  *httpError // nil for a success
	panicked bool
}

const requestStateKey = "requestState"

func stateOf(c echo.Context) *requestState { return c.Get(requestStateKey).(*requestState) }

// validRequestID matches request ids that are accepted from clients: they are safe in a log line and in a header.
var validRequestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// middleware is the outermost middleware, around routing: it sets up the request's state, turns errors and panics
// into responses, and logs the request.
func (s *Server) middleware(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		rs := s.newRequestState(c)
		if err := rs.recoverPanic(next, c); err != nil {
			s.writeError(err, c)
		}
		s.logRequest(c, rs)
		if rs.panicked && c.Response().Committed && rs.httpErr.status != c.Response().Status {
			panic(http.ErrAbortHandler) // closes the connection, so that a truncated response is not taken for a whole one
		}
		return nil
	}
}

// newRequestState sets the headers that every response has, errors included, and the read deadline of the body. An
// upload sets its own, later deadline.
func (s *Server) newRequestState(c echo.Context) *requestState {
	r := c.Request()
	rs := &requestState{
		id: r.Header.Get(echo.HeaderXRequestID), trace: observe.TraceOf(r.Header), began: time.Now(),
		control: http.NewResponseController(c.Response().Writer), body: &body{ReadCloser: http.NoBody, ended: true},
	}
	if !validRequestID.MatchString(rs.id) {
		rs.id = rand.Text()
	}
	h := c.Response().Header()
	h.Set(echo.HeaderXRequestID, rs.id)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if s.isStopping() {
		h.Set("Connection", "close") // so that the client's next request goes to another server
	}
	if r.ContentLength != 0 {
		// Never on a request without a body: net/http reads ahead there, and a deadline would cancel the request.
		rs.setReadDeadline(rs.began.Add(s.timeouts.smallBody))
		rs.body = &body{ReadCloser: r.Body, expectContinue: r.Header.Get("Expect") != ""}
		// On a copy, because net/http checks the type of the body of its own request.
		r = r.WithContext(r.Context())
		r.Body = rs.body
		c.SetRequest(r)
	}
	c.Set(requestStateKey, rs)
	return rs
}

// recoverPanic calls the handler and returns a panic as an error with its stack. Otherwise net/http would close the
// connection: the client would get no response, and a load balancer would count a failed server.
func (rs *requestState) recoverPanic(next echo.HandlerFunc, c echo.Context) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			panic(p)
		default:
			rs.panicked = true
			err = errInternal.withCause(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	return next(c)
}

// setReadDeadline sets the time at which reads of the body fail, a blocked read included; net/http removes it when
// the body has ended. After such a failure the connection can only be used to respond and to discard the rest of the
// body. It has no effect without a connection, as in tests with a recorder.
func (rs *requestState) setReadDeadline(t time.Time) { _ = rs.control.SetReadDeadline(t) }

// discardBody reads and drops the rest of the body for at most d, and reports whether it reached the end.
func (rs *requestState) discardBody(d time.Duration) bool {
	rs.setReadDeadline(time.Now().Add(d))
	rs.body.limit(math.MaxInt64, nil)
	_, _ = io.Copy(io.Discard, rs.body) // rs.body records the error
	return rs.body.ended
}

// body is a request body that limits and counts the bytes read from it.
type body struct {
	io.ReadCloser
	expectContinue bool  // the client sends the body only after the first read: Expect: 100-continue
	read           int64 // bytes
	max            int64 // bytes that may be read
	errOverMax     error // returned by reads beyond max
	ended          bool  // the whole body was read
	failed         bool  // a read failed
}

// limit allows reads of n bytes, counted from the beginning of the body. Reads beyond that return errOverMax.
func (b *body) limit(n int64, errOverMax error) { b.max, b.errOverMax = n, errOverMax }

// Read implements io.Reader. Bytes read beyond the limit are lost.
func (b *body) Read(p []byte) (int, error) {
	left := b.max - b.read
	if left < 0 {
		return 0, b.errOverMax
	}
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	b.ended = b.ended || err == io.EOF
	b.failed = b.failed || err != nil && err != io.EOF
	if int64(n) > left {
		return int(left), b.errOverMax
	}
	return n, err
}

// pending reports whether the client may still be sending. A client that waits for 100 Continue is not: it gets the
// final response instead, and should not be asked to send a body that would be discarded.
func (b *body) pending() bool { return !b.ended && !(b.expectContinue && b.read == 0) }

// logRequest writes the log line of a request, with its metrics. For privacy it contains no client address, user agent
// or file name.
func (s *Server) logRequest(c echo.Context, rs *requestState) {
	took, r, status := time.Since(rs.began), c.Request(), c.Response().Status
	attrs := []slog.Attr{
		slog.String("method", r.Method), slog.String("route", c.Path()), slog.Int("status", status),
		slog.String("requestId", rs.id), slog.String("trace", rs.trace),
		slog.Int64("received", rs.body.read), slog.Int64("sent", c.Response().Size),
	}
	if c.Path() == "" { // no route matched
		attrs = append(attrs, slog.String("path", r.URL.Path[:min(len(r.URL.Path), 200)]))
	}
	if id, err := imagery.ParseID(c.Param("id")); err == nil {
		attrs = append(attrs, slog.String("imageId", id))
	}
	if rs.cause != nil {
		attrs = append(attrs, slog.String("error", rs.cause.Error()))
	}
	if rs.warning != nil {
		attrs = append(attrs, slog.String("warning", rs.warning.Error()))
	}
	health := c.Path() == healthzPath || c.Path() == readyzPath
	failed := status >= http.StatusInternalServerError
	level := slog.LevelInfo
	switch {
	case health && !failed:
		level = slog.LevelDebug
	case health, rs.httpErr == errPoolExhausted, rs.warning != nil:
		level = slog.LevelWarn
	case failed:
		level = slog.LevelError
	}
	var measures []observe.Measure
	if !health {
		measures = rs.measures(failed, took)
	}
	if rs.longPoll || health {
		attrs = append(attrs, slog.Float64("took_ms", float64(took.Microseconds())/1000))
	}
	observe.Line(r.Context(), s.Log, level, "request", measures, attrs...)
}

// measures returns the metrics of a request. Long polls are slow by design, so they count for neither latency nor
// errors. A 503 because of an exhausted pool is load shedding, not a server error.
func (rs *requestState) measures(failed bool, took time.Duration) (ms []observe.Measure) {
	shed := rs.httpErr == errPoolExhausted
	if !rs.longPoll {
		serverErrors := 0
		if failed && !shed {
			serverErrors = 1
		}
		ms = append(ms, observe.Millis(settings.MetricRequestTime, took), observe.Count(settings.MetricRequests, 1),
			observe.Count(settings.MetricServerErrors, serverErrors))
	}
	if rs.accepted {
		ms = append(ms, observe.Count(settings.MetricUploads, 1))
	}
	if shed {
		ms = append(ms, observe.Count(settings.MetricPlanned503, 1))
	}
	return ms
}
