package server

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"
)

// problem is the body of every answer that says no (RFC 9457). The type is about:blank: the status says it all
// to programs, the detail to people.
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	RequestID string `json:"requestId"`
}

// retryAfter is what Retry-After says, in seconds: room comes free and dependencies come back about that fast.
const retryAfter = "2"

// refuse answers a request that failed; it is Echo's error handler. The client may still be sending: its body
// is read to the end first, if that is near, and else after the answer, for a client that sees a closed
// connection before it has read may lose the answer. First, because then the connection stays of use and a
// proxy in between notices nothing; not for long, because a client that reads while it sends can stop sending.
//
// If the answer has begun already it cannot be changed any more; the log still gets the cause.
func (s *Server) refuse(err error, c echo.Context) {
	x := exchangeOf(c)
	x.cause, x.refusal = err, answerTo(err)
	if c.Response().Committed {
		return
	}
	h := c.Response().Header()
	if x.refusal.retry {
		h.Set("Retry-After", retryAfter)
	}
	rest := x.body.pending()
	if rest && !x.body.failed {
		rest = !x.dropRest(s.bounds.dropFirst)
	}
	if rest {
		h.Set("Connection", "close")
	}
	writeProblem(c, x)
	if rest {
		_ = x.control.Flush() // fails only if the client is gone
		x.dropRest(s.bounds.drop - s.bounds.dropFirst)
	}
}

// writeProblem answers with the refusal of the exchange.
func writeProblem(c echo.Context, x *exchange) {
	r := x.refusal
	body, err := json.Marshal(problem{"about:blank", http.StatusText(r.status), r.status, r.detail, x.id})
	if err != nil {
		panic(err) // strings and a number always marshal
	}
	h := c.Response().Header()
	for _, name := range []string{"Content-Disposition", "Content-Security-Policy", "ETag", "Content-Type"} {
		h.Del(name) // meant for the success that did not come
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body))) // a client need not wait for the end of the connection
	_ = c.Blob(r.status, "application/problem+json", body)
}
