package imagery

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Hint is the body of a queue message: the image may need processing. The item, not the hint, decides what is done.
// RawKey only decides whether a failed last delivery, or a dead letter, refers to the current upload.
type Hint struct {
	ImageID      string `json:"imageId"`
	DesiredState State  `json:"desiredState"`
	RawKey       string `json:"rawS3Key,omitempty"`
}

// ErrBadHint is returned for a message that is not a hint. It is permanent.
var ErrBadHint = errors.New("not a hint")

// ParseHint decodes a message body, ignoring unknown members. It returns ErrBadHint if the body is not a hint.
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

// hintFor returns the message body that requests processing of the image.
func hintFor(img Image) []byte {
	b, err := json.Marshal(Hint{ImageID: img.ID, DesiredState: Processed, RawKey: img.RawKey})
	if err != nil {
		panic(err) // three strings always marshal
	}
	return b
}

// refersTo reports whether a hint queued at sent (zero if unknown) belongs to the current upload of the image.
// An older hint must not fail a newer upload, and a hint sent before the last transition belongs to an earlier attempt
// with the same bytes. Without a key, as the original application sends it, only the time can show that. If the queue's
// clock is behind, a hint of this attempt may look older than the upload, until the reconciler sends a later one.
func (h Hint) refersTo(img Image, sent time.Time) bool {
	switch {
	case h.RawKey != "":
		return h.RawKey == img.RawKey && (sent.IsZero() || !sent.Before(img.Updated))
	case img.hasOwnKey():
		return !sent.IsZero() && !sent.Before(img.Updated)
	default:
		return true // an image of the original application accepts no second upload
	}
}
