package imagery

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Hint is the message body: it says that an image may have work to do. It never chooses the work; RawKey only
// decides whether a last failed receive, or a dead letter, speaks of the present upload.
type Hint struct {
	ImageID      string `json:"imageId"`
	DesiredState State  `json:"desiredState"`
	RawKey       string `json:"rawS3Key,omitempty"`
}

// ErrBadHint: the message is not a hint, and no retry makes it one.
var ErrBadHint = errors.New("not a hint")

// ParseHint reads a message body. Unknown members are ignored; what is no hint is an ErrBadHint.
func ParseHint(body []byte) (Hint, error) {
	var h Hint
	if err := json.Unmarshal(body, &h); err != nil {
		return Hint{}, fmt.Errorf("%w: %v", ErrBadHint, err)
	}
	id, err := ParseID(h.ImageID)
	if err != nil {
		return Hint{}, fmt.Errorf("%w: imageId %q: %v", ErrBadHint, h.ImageID, err)
	}
	if h.DesiredState != Processed {
		return Hint{}, fmt.Errorf("%w: desiredState %q is not %q", ErrBadHint, h.DesiredState, Processed)
	}
	h.ImageID = id
	return h, nil
}

// hintFor is the message that asks for the image's processing.
func hintFor(img Image) []byte {
	b, err := json.Marshal(Hint{ImageID: img.ID, DesiredState: Processed, RawKey: img.RawKey})
	if err != nil {
		panic(err) // three strings always marshal
	}
	return b
}

// speaksOf reports whether a hint that was sent at that time (zero: unknown) is about the upload that the
// image holds now. An older hint, or one without a key, must not fail a newer upload; and a hint from before
// the last transition belongs to an earlier try of the same bytes. A clock that runs late only hides the
// match until the reconciler sends the next hint.
func (h Hint) speaksOf(img Image, sent time.Time) bool {
	if h.RawKey == "" && !img.ownKey() {
		return true // the book's messages have no key, and its images take no other upload
	}
	return h.RawKey != "" && h.RawKey == img.RawKey && (sent.IsZero() || !sent.Before(img.Updated))
}
