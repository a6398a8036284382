package server

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"
)

// problem is the body of every error response (RFC 9457). Its type is always about:blank: the status is enough for
// programs, and the detail is for people.
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	RequestID string `json:"requestId"`
}

// retryAfter is the Retry-After of errors that may be over soon, in seconds.
const retryAfter = "2"

// writeError responds to a request that failed; it is Echo's error handler.
//
// The client may still be sending its body, and would lose the response if the connection were closed now. If the end
// of the body is near it is read first: then the connection stays usable, and proxies in between notice nothing.
// Otherwise the response is written before the rest is discarded, so that a client that reads while it sends can stop.
//
// If the response has been started already it cannot be changed any more; the cause is still logged.
func (s *Server) writeError(err error, c echo.Context) {
	rs := stateOf(c)
	rs.cause, rs.httpErr = err, toHTTPError(err)
	if c.Response().Committed {
		return
	}
	h := c.Response().Header()
	if rs.httpErr.retry {
		h.Set("Retry-After", retryAfter)
	}
	unread := rs.body.pending()
	if unread && !rs.body.failed {
		unread = !rs.discardBody(s.timeouts.discardFirst)
	}
	if unread {
		h.Set("Connection", "close")
	}
	writeProblem(c, rs)
	if unread {
		_ = rs.control.Flush() // fails only if the client is gone
		rs.discardBody(s.timeouts.discardTotal - s.timeouts.discardFirst)
	}
}

// writeProblem writes rs.httpErr as a problem document.
func writeProblem(c echo.Context, rs *requestState) {
	e := rs.httpErr
	body, err := json.Marshal(problem{"about:blank", http.StatusText(e.status), e.status, e.detail, rs.id})
	if err != nil {
		panic(err) // strings and a number always marshal
	}
	h := c.Response().Header()
	for _, name := range []string{"Content-Disposition", "Content-Security-Policy", "ETag", "Content-Type"} {
		h.Del(name) // a handler may have set it for a successful response
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body))) // so that a client need not wait for the end of the connection
	_ = c.Blob(e.status, "application/problem+json", body)
}
