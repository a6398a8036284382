package imagery

import "errors"

// Errors of Service and of the ports; hints, jobs and Requeue have a few more. Any other error, except a *BadPhoto, is
// a transient error of a dependency: the caller should retry later.
var (
	// ErrInvalidID is returned for an id that is not a UUID in its 36 character form.
	ErrInvalidID = errors.New("the id is not a UUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")
	// ErrNotFound is returned when the image or the object does not exist.
	ErrNotFound = errors.New("not found")
	// ErrDenied is returned when access to an object is denied; the object may or may not exist. S3 also answers
	// "access denied" for a missing key when the caller has no permission to list the bucket.
	ErrDenied = errors.New("access denied")
	// ErrExists is returned by Catalog.Create when an unexpired image already has the id.
	ErrExists = errors.New("already exists")
	// ErrConflict is returned when the condition of a write does not hold; read the item again before retrying.
	ErrConflict = errors.New("changed by another process")
	// ErrAlreadyUploaded is returned when the image already has other bytes and accepts no more.
	ErrAlreadyUploaded = errors.New("this image already has another photo; make a new image for this one")
)

// BadKind classifies a bad photo; the server derives the HTTP status from it.
type BadKind int

// The kinds of bad photos.
const (
	Unsupported BadKind = iota + 1 // the bytes are none of the accepted formats
	Unreadable                     // an accepted format that cannot be read, is too large in pixels, or takes too long
)

// BadPhoto is a permanent error caused by the photo itself; a retry cannot succeed.
// Reason is one sentence for the user. Err, if set, is the cause for the log; it wraps io.ErrUnexpectedEOF when
// more bytes might have made the photo readable.
type BadPhoto struct {
	Kind   BadKind
	Reason string
	Err    error
}

// Error returns the reason, followed by the cause in parentheses if there is one.
func (e *BadPhoto) Error() string {
	if e.Err == nil {
		return e.Reason
	}
	return e.Reason + " (" + e.Err.Error() + ")"
}

// Unwrap returns the cause.
func (e *BadPhoto) Unwrap() error { return e.Err }
