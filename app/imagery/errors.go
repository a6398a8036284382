package imagery

import "errors"

// The answers that callers tell apart with errors.Is. An error that is none of these, and no *BadPhoto,
// is a bad moment of a dependency: transient, to be tried again later.
var (
	// ErrInvalidID: the id is not a UUID in its 36 character form.
	ErrInvalidID = errors.New("the id is not a UUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")
	// ErrNotFound: there is no such image, or no such object.
	ErrNotFound = errors.New("not found")
	// ErrDenied: the object may exist, but may not be read. S3 answers so for a missing key when the
	// caller has no right to list the bucket.
	ErrDenied = errors.New("access denied")
	// ErrExists: Catalog.Create found a living image under that id.
	ErrExists = errors.New("exists already")
	// ErrConflict: a conditional write lost to another one; read again before deciding what to do.
	ErrConflict = errors.New("changed by somebody else")
	// ErrAlreadyUploaded: the image already has other bytes and takes no more.
	ErrAlreadyUploaded = errors.New("this image already has another photo; make a new image for this one")
)

// BadKind says which refusal a bad photo gets.
type BadKind int

// The kinds of bad photos.
const (
	Unsupported BadKind = iota + 1 // the bytes are none of the accepted formats
	Unreadable                     // an accepted format that cannot be read, is too large in pixels, or takes too long
)

// BadPhoto is a permanent error: the photo itself is the reason and no retry helps.
// Reason is one sentence for the person who uploaded it. Err, if set, is the cause for the log;
// it wraps io.ErrUnexpectedEOF when more bytes might have made the photo readable.
type BadPhoto struct {
	Kind   BadKind
	Reason string
	Err    error
}

// Error returns the sentence for the user and the cause behind it.
func (e *BadPhoto) Error() string {
	if e.Err == nil {
		return e.Reason
	}
	return e.Reason + " (" + e.Err.Error() + ")"
}

// Unwrap returns the cause.
func (e *BadPhoto) Unwrap() error { return e.Err }
