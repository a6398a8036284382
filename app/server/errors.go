package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/labstack/echo/v4"

	"imagery/app/imagery"
)

// refusal is an answer that says no. Handlers return one, perhaps wrapped with its cause, which only the log sees.
type refusal struct {
	status int
	detail string // for a person
	retry  bool   // the same request may succeed in a moment: Retry-After
}

// Error implements error.
func (r *refusal) Error() string { return r.detail }

// because wraps the refusal with its cause.
func (r *refusal) because(err error) error { return fmt.Errorf("%w: %w", r, err) }

// The refusals of the edge itself.
var (
	errBadCreate = &refusal{http.StatusBadRequest, `Send no body, or a JSON object such as {"id":"<uuid>"}.`, false}
	errBadWait   = &refusal{http.StatusBadRequest, "wait is a duration such as 20s and version a whole number; neither may be negative.", false}
	errNotForm   = &refusal{http.StatusBadRequest, "Send the photo as multipart/form-data.", false}
	errNoFile    = &refusal{http.StatusBadRequest, "The form has no file in it.", false}
	errFields    = &refusal{http.StatusBadRequest, "The form has more than 64 KiB before its file.", false}
	errCut       = &refusal{http.StatusBadRequest, "The body ended before it was complete.", false}
	errSlow      = &refusal{http.StatusRequestTimeout, "The body did not arrive in time.", false}
	errTooLarge  = &refusal{http.StatusRequestEntityTooLarge, "The photo is larger than 20 MiB.", false}
	errNoResult  = &refusal{http.StatusNotFound, "This image has no result, or not yet.", false}
	errNoRoom    = &refusal{http.StatusServiceUnavailable, "Too many uploads at once; try again in a few seconds.", true}

	errNotMethod = &refusal{http.StatusMethodNotAllowed, "This address does not take that method.", false}
	errNoRoute   = &refusal{http.StatusNotFound, "There is nothing at this address.", false}
	// The log has to tell it from a fault of ours; nobody else sees it. 499 is nginx's number for it.
	errGone      = &refusal{499, "The client went away.", false}
	errPanic     = &refusal{http.StatusInternalServerError, "Something broke on our side; the request id helps us to find it.", false}
	errBadMoment = &refusal{http.StatusServiceUnavailable, "A part of the service does not answer; try again in a few seconds.", true}
)

// refusals maps the errors of the domain, and of those below us, to answers. The first match counts; what
// matches nothing is a dependency's bad moment.
var refusals = []struct {
	err    error
	answer *refusal
}{
	{imagery.ErrInvalidID, &refusal{http.StatusBadRequest, "The image id is not a UUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx.", false}},
	{imagery.ErrNotFound, &refusal{http.StatusNotFound, "There is no such image; an image without a photo expires after a day.", false}},
	{imagery.ErrAlreadyUploaded, &refusal{http.StatusConflict, "This image already has another photo; make a new image for this one.", false}},
	{echo.ErrNotFound, errNoRoute},
	{echo.ErrMethodNotAllowed, errNotMethod},
	{context.Canceled, errGone},
}

// badPhotos are the answers to the kinds of bad photos; the detail is the photo's own.
var badPhotos = map[imagery.BadKind]int{
	imagery.Unsupported: http.StatusUnsupportedMediaType,
	imagery.Unreadable:  http.StatusUnprocessableEntity,
}

// answerTo decides what a client is told about an error, whatever it wraps. A refusal wins over its cause, so
// that a handler can say better than the table what an error meant there. What nobody knows is never shown:
// the client gets the request id and the log the text.
func answerTo(err error) *refusal {
	if r := (*refusal)(nil); errors.As(err, &r) {
		return r
	}
	if bad := (*imagery.BadPhoto)(nil); errors.As(err, &bad) {
		return &refusal{status: badPhotos[bad.Kind], detail: bad.Reason}
	}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return r.answer
		}
	}
	return errBadMoment
}

// bodyError classifies a failed read of a request body: our own limits as they are, the deadline as too slow,
// and the rest, be it a closed connection or bytes that are no form, as cut short. To tell the last two apart
// would help nobody, for both are 400.
func bodyError(err error) error {
	if r := (*refusal)(nil); errors.As(err, &r) {
		return err
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errSlow.because(err)
	}
	return errCut.because(err)
}
