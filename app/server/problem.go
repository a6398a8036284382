package server

import (
	"github.com/labstack/echo/v4"

	"imagery/app/httpserver"
)

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
	for _, name := range []string{"Content-Disposition", "Content-Security-Policy", "ETag"} {
		h.Del(name) // a handler may have set it for a successful response
	}
	h.Set("Cache-Control", "no-store")
	httpserver.WriteProblem(c.Response(), rs.httpErr.status, rs.httpErr.detail)
	if unread {
		_ = rs.control.Flush() // fails only if the client is gone
		rs.discardBody(s.timeouts.discardTotal - s.timeouts.discardFirst)
	}
}
