package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/labstack/echo/v4"

	"imagery/app/httpserver"
	"imagery/app/imagery"
)

// httpError is an error response. Handlers return one, wrapped with its cause where there is one; only the log shows
// the cause.
type httpError struct {
	status int
	detail string // for people
	retry  bool   // the same request may succeed in a moment: send Retry-After
}

// Error implements error.
func (e *httpError) Error() string { return e.detail }

// withCause returns an error that wraps both e and its cause.
func (e *httpError) withCause(err error) error { return fmt.Errorf("%w: %w", e, err) }

// Errors that the HTTP layer itself detects.
var (
	errBadCreate = &httpError{http.StatusBadRequest,
		`Send no body, or a JSON object such as {"id":"<uuid>"}.`, false}
	errBadWait = &httpError{http.StatusBadRequest,
		"wait is a duration such as 20s and version a whole number; neither may be negative.", false}
	errNotMultipart = &httpError{http.StatusBadRequest, "Send the photo as multipart/form-data.", false}
	errNoFile       = &httpError{http.StatusBadRequest, "The form has no file in it.", false}
	errLongFields   = &httpError{http.StatusBadRequest, "The form has more than 64 KiB before its file.", false}
	errTruncated    = &httpError{http.StatusBadRequest, "The body ended before it was complete.", false}
	errBodyTimeout  = &httpError{http.StatusRequestTimeout, "The body did not arrive in time.", false}
	errTooLarge     = &httpError{http.StatusRequestEntityTooLarge, "The photo is larger than 20 MiB.", false}
	errNoResult     = &httpError{http.StatusNotFound, "This image has no result, or not yet.", false}

	errPoolExhausted = &httpError{http.StatusServiceUnavailable,
		"Too many uploads at once; try again in a few seconds.", true}
	errUnavailable = &httpError{http.StatusServiceUnavailable,
		"A part of the service does not answer; try again in a few seconds.", true}
	errInternal = &httpError{http.StatusInternalServerError,
		"Internal error. Report the request id so that the cause can be found.", false}

	errMethodNotAllowed = &httpError{http.StatusMethodNotAllowed, "This address does not allow this method.", false}
	errRouteNotFound    = &httpError{http.StatusNotFound, "There is nothing at this address.", false}
	// errClientClosed is only logged, where it distinguishes a client that went away from a failure of the service. 499 is
	// nginx's status for it.
	errClientClosed = &httpError{499, "The client closed the connection.", false}
)

// knownErrors maps errors of the domain, the router and the context to responses. The first match counts.
var knownErrors = []struct {
	err      error
	response *httpError
}{
	{imagery.ErrInvalidID, &httpError{http.StatusBadRequest,
		"The image id is not a UUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx.", false}},
	{imagery.ErrNotFound, &httpError{http.StatusNotFound,
		"There is no such image; an image without a photo expires after a day.", false}},
	{imagery.ErrAlreadyUploaded, &httpError{http.StatusConflict,
		"This image already has another photo; make a new image for this one.", false}},
	{echo.ErrNotFound, errRouteNotFound},
	{echo.ErrMethodNotAllowed, errMethodNotAllowed},
	{context.Canceled, errClientClosed},
}

// toHTTPError returns the response for an error. An httpError in its chain wins over its cause, so that a handler can
// be more specific than knownErrors. Every other error counts as a dependency that is temporarily unavailable: its
// text, which may contain internals, is logged and not sent.
func toHTTPError(err error) *httpError {
	if e := (*httpError)(nil); errors.As(err, &e) {
		return e
	}
	if bad := (*imagery.BadPhoto)(nil); errors.As(err, &bad) {
		status := http.StatusUnprocessableEntity
		if bad.Kind == imagery.Unsupported {
			status = http.StatusUnsupportedMediaType
		}
		return &httpError{status: status, detail: bad.Reason}
	}
	for _, known := range knownErrors {
		if errors.Is(err, known.err) {
			return known.response
		}
	}
	return errUnavailable
}

// bodyError classifies the error of a read of a request body: it returns an httpError unchanged, errBodyTimeout for
// an exceeded deadline, and errTruncated for everything else, be it a closed connection or a malformed form: both are
// status 400.
func bodyError(err error) error {
	if e := (*httpError)(nil); errors.As(err, &e) {
		return err
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errBodyTimeout.withCause(err)
	}
	return errTruncated.withCause(err)
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
