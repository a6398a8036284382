package server

import (
	"crypto/rand"
	"fmt"
	"io"
	"math"
	"net/http"
	"regexp"
	"runtime/debug"
	"time"

	"github.com/labstack/echo/v4"

	"imagery/app/observe"
)

// exchange is one request with its answer: what the handlers share with the error handler and the log line.
type exchange struct {
	id      string // of the request, see X-Request-Id
	trace   string
	began   time.Time // the end of the headers
	control *http.ResponseController
	body    *body

	waited   bool     // the request asked to wait
	accepted bool     // an upload was accepted
	warning  error    // a success with a flaw
	cause    error    // of the refusal
	refusal  *refusal // nil for a success
	broken   bool     // the handler panicked
}

const exchangeKey = "exchange"

func exchangeOf(c echo.Context) *exchange { return c.Get(exchangeKey).(*exchange) }

// requestID is what we accept from others as a request id: harmless in a log line and in a header.
var requestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// exchange is the outermost middleware, around routing: it identifies the request, bounds its body in time,
// turns errors and panics into answers, and logs the request.
func (s *Server) exchange(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		x := s.begin(c)
		if err := x.shielded(next, c); err != nil {
			s.refuse(err, c)
		}
		s.logRequest(c, x)
		if x.broken && c.Response().Committed && x.refusal.status != c.Response().Status {
			panic(http.ErrAbortHandler) // half an answer must not look like a whole one
		}
		return nil
	}
}

// begin sets what every answer carries, refusals and panics included, and bounds the body in time. An upload
// then sets its own, longer bound.
func (s *Server) begin(c echo.Context) *exchange {
	r := c.Request()
	x := &exchange{
		id: r.Header.Get(echo.HeaderXRequestID), trace: observe.TraceOf(r.Header), began: time.Now(),
		control: http.NewResponseController(c.Response().Writer), body: &body{ReadCloser: http.NoBody, ended: true},
	}
	if !requestID.MatchString(x.id) {
		x.id = rand.Text()
	}
	h := c.Response().Header()
	h.Set(echo.HeaderXRequestID, x.id)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if s.isStopping() {
		h.Set("Connection", "close") // so that the next request of this client goes to another server
	}
	if r.ContentLength != 0 {
		// Never on a request without a body: net/http reads ahead there, and a deadline would cancel the request.
		x.bodyBy(x.began.Add(s.bounds.smallBody))
		x.body = &body{ReadCloser: r.Body, expects: r.Header.Get("Expect") != ""}
		// On a copy, because net/http looks at the type of the body of its own request.
		r = r.WithContext(r.Context())
		r.Body = x.body
		c.SetRequest(r)
	}
	c.Set(exchangeKey, x)
	return x
}

// shielded calls the handler and turns a panic into an error with its stack. Without it net/http would close
// the connection: the client would learn nothing, and a load balancer would count a dead server.
func (x *exchange) shielded(next echo.HandlerFunc, c echo.Context) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			panic(p)
		default:
			x.broken = true
			err = errPanic.because(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	return next(c)
}

// bodyBy sets the time at which reads of the body fail, a blocked one included; net/http lifts it when the body
// has ended. After such a failure the connection is of no more use than to answer and to drop the rest. It
// has no effect where there is no connection, as in tests with a recorder.
func (x *exchange) bodyBy(t time.Time) { _ = x.control.SetReadDeadline(t) }

// dropRest reads what the client still sends for at most d and reports whether that was all.
func (x *exchange) dropRest(d time.Duration) bool {
	x.bodyBy(time.Now().Add(d))
	x.body.limit(math.MaxInt64, nil)
	_, _ = io.Copy(io.Discard, x.body) // its error is remembered by the body
	return x.body.ended
}

// body is a request body that knows how much of it was read, and how much may be.
type body struct {
	io.ReadCloser
	expects bool  // the client sends it only when we begin to read: Expect: 100-continue
	read    int64 // bytes so far
	most    int64 // bytes that may be read; more is an error
	over    error
	ended   bool // the client sent all of it, and we read it
	failed  bool // a read failed
}

// limit allows n bytes from the beginning of the body, and says what more of them mean.
func (b *body) limit(n int64, over error) { b.most, b.over = n, over }

// Read implements io.Reader. What it reads beyond the limit is lost.
func (b *body) Read(p []byte) (int, error) {
	left := b.most - b.read
	if left < 0 {
		return 0, b.over
	}
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	b.ended = b.ended || err == io.EOF
	b.failed = b.failed || err != nil && err != io.EOF
	if int64(n) > left {
		return int(left), b.over
	}
	return n, err
}

// pending reports whether the client may still be sending. A client that waits for 100 Continue is not: it gets
// its answer instead, and must not be invited to send what nobody wants.
func (b *body) pending() bool { return !b.ended && !(b.expects && b.read == 0) }
