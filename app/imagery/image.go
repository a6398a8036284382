package imagery

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// State is where an image stands. The strings are stored and answered as they are.
type State string

// The states of an image. See transitions for the legal moves between them.
const (
	Created   State = "created"   // has an id, waits for its bytes
	Uploaded  State = "uploaded"  // its original is stored; a worker will process it
	Processed State = "processed" // its result is stored
	Failed    State = "failed"    // it cannot be processed; Error says why
)

// transitions is the whole state machine: what may follow each state.
//
// Failed is left by a new upload, a redrive or a requeue (to Uploaded), and by a slower worker of the same
// upload that succeeds after all (to Processed).
var transitions = map[State][]State{
	Created:   {Uploaded},
	Uploaded:  {Processed, Failed},
	Failed:    {Uploaded, Processed},
	Processed: {},
}

// CanMove reports whether an image may go from one state to the other.
func CanMove(from, to State) bool { return slices.Contains(transitions[from], to) }

// Final reports whether waiting for the image makes no more sense.
func (s State) Final() bool { return s == Processed || s == Failed }

// createdLife is how long an id without bytes lives; the catalog may delete it any time after that.
const createdLife = 24 * time.Hour

// historyCap bounds the history kept in the item: DynamoDB bills by item size, and on-call reads one page.
const historyCap = 16

// Image is one row of the catalog. Times have the resolution in which they are stored: milliseconds, Expires seconds.
type Image struct {
	ID           string
	Version      int64 // 0 at create; grows by one with every transition
	State        State
	Created      time.Time
	Updated      time.Time // time of the last transition
	Hinted       time.Time // when a hint was last sent; zero before the upload
	Expires      time.Time // only while Created, else zero; past it the image does not exist
	RawKey       string    // object of the uploaded bytes; empty while Created
	ProcessedKey string    // object of the result; only in Processed
	Error        string    // one sentence for the user; only in Failed
	History      []Event   // the newest transitions, oldest first; for operators only
}

// Event is one transition as operators see it.
type Event struct {
	At       time.Time `json:"at"`
	State    State     `json:"state"`
	Version  int64     `json:"version"`
	Release  string    `json:"release,omitempty"`  // first 12 hex digits of the binary's sha256
	Instance string    `json:"instance,omitempty"` // which process did it
	Receives int       `json:"receives,omitempty"` // receive count of the hint that led to it
	Cause    string    `json:"cause,omitempty"`    // what the log would say, for Failed
}

// Expired reports whether the image is past its expiry and so counts as absent, deleted or not.
func (i Image) Expired(now time.Time) bool { return !i.Expires.IsZero() && !now.Before(i.Expires) }

// PendingShard is the partition of the pending index that lists the image: the first hex digit of its id
// while it is Uploaded, else empty.
func (i Image) PendingShard() string {
	if i.State != Uploaded {
		return ""
	}
	return i.ID[:1]
}

// move returns the image after a legal transition; what must not outlive a state is cleared.
// An illegal move is a bug of the caller and panics: no input leads there.
func (i Image) move(to State, now time.Time, e Event) Image {
	if !CanMove(i.State, to) {
		panic(fmt.Sprintf("imagery: illegal move of %s from %s to %s", i.ID, i.State, to))
	}
	i.State, i.Version, i.Updated = to, i.Version+1, now.Truncate(time.Millisecond)
	i.Expires, i.ProcessedKey, i.Error = time.Time{}, "", ""
	e.At, e.State, e.Version = i.Updated, to, i.Version
	i.History = append(slices.Clone(i.History), e)
	if n := len(i.History) - historyCap; n > 0 {
		i.History = i.History[n:]
	}
	return i
}

// NewID returns a random (version 4) UUID.
func NewID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails since Go 1.24
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// ParseID accepts a UUID of any version in the form 8-4-4-4-12, in any case, and returns it in lower case.
// Every other form is an ErrInvalidID.
func ParseID(s string) (string, error) {
	if len(s) != 36 {
		return "", ErrInvalidID
	}
	for i, c := range []byte(s) {
		hyphen := i == 8 || i == 13 || i == 18 || i == 23
		hexDigit := '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
		if hyphen != (c == '-') || !hyphen && !hexDigit {
			return "", ErrInvalidID
		}
	}
	return strings.ToLower(s), nil
}

// RawKey is the object name of an upload; hash is the lower-case hex SHA-256 of its bytes.
func RawKey(id, hash string) string { return "upload/" + id + "/" + hash }

// ownKey reports whether the image's original has a name of ours, and not of the book's app.
func (i Image) ownKey() bool { return strings.HasPrefix(i.RawKey, RawKey(i.ID, "")) }

// ProcessedKey is the object name of the result of an upload; ext is "jpg" or "png".
func ProcessedKey(id, hash, ext string) string { return "processed/" + id + "/" + hash + "." + ext }
