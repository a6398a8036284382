package imagery

import (
	"crypto/rand"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// State is the state of an image. The strings are stored in the catalog and returned by the API unchanged.
type State string

// The states of an image. See transitions for the legal moves between them.
const (
	Created   State = "created"   // has an id but no bytes yet
	Uploaded  State = "uploaded"  // the original is stored; a worker will process it
	Processed State = "processed" // the result is stored
	Failed    State = "failed"    // it cannot be processed; Error says why
)

// transitions lists the states that may follow each state.
//
// Failed goes to Uploaded by a new upload or by Requeue, and to Processed when a slower worker of the same upload
// succeeds.
var transitions = map[State][]State{
	Created:   {Uploaded},
	Uploaded:  {Processed, Failed},
	Failed:    {Uploaded, Processed},
	Processed: {},
}

// CanMove reports whether an image may go from one state to the other.
func CanMove(from, to State) bool { return slices.Contains(transitions[from], to) }

// Final reports whether no more work is pending for the image.
func (s State) Final() bool { return s == Processed || s == Failed }

// createdLife is the lifetime of an image without bytes; the catalog may delete it at any time after that.
const createdLife = 24 * time.Hour

// historyCap limits the transitions in the item, because DynamoDB charges by item size.
const historyCap = 16

// Image is one row of the catalog. Times have the resolution in which they are stored: milliseconds, Expires seconds.
type Image struct {
	ID           string
	Version      int64 // 0 at create; grows by one with every transition
	State        State
	Created      time.Time
	Updated      time.Time // time of the last transition
	Hinted       time.Time // when a hint was last sent, or should have been; zero before the upload
	Expires      time.Time // only while Created, else zero; past it the image does not exist
	RawKey       string    // object of the uploaded bytes; empty while Created
	ProcessedKey string    // object of the result; only in Processed
	Warning      string    // one sentence for the user if the photo was mended; only in Processed
	Error        string    // one sentence for the user; only in Failed
	History      []Event   // the newest transitions, oldest first; for operators only
	// Unlisted is true of an Uploaded image that the pending index does not list, because the original application wrote
	// its item. Catalog.Move lists it.
	Unlisted bool
}

// Event records one transition for operators.
type Event struct {
	At       time.Time `json:"at"`
	State    State     `json:"state"`
	Version  int64     `json:"version"`
	Release  string    `json:"release,omitempty"`  // first 12 hex digits of the binary's sha256
	Instance string    `json:"instance,omitempty"` // process that made the transition
	Receives int       `json:"receives,omitempty"` // receive count of the hint that led to it
	Cause    string    `json:"cause,omitempty"`    // error text for the log; only for Failed
}

// Expired reports whether the image is past its expiry. An expired image counts as absent even before it is deleted.
func (i Image) Expired(now time.Time) bool { return !i.Expires.IsZero() && !now.Before(i.Expires) }

// PendingShard returns the partition of the pending index that lists the image: the first hex digit of its id
// while it is Uploaded, else the empty string.
func (i Image) PendingShard() string {
	if i.State != Uploaded {
		return ""
	}
	return i.ID[:1]
}

// move returns the image after a transition and clears the fields that are not valid in the new state.
// It panics on an illegal transition, which is a bug in the caller.
func (i Image) move(to State, now time.Time, e Event) Image {
	if !CanMove(i.State, to) {
		panic(fmt.Sprintf("imagery: illegal move of %s from %s to %s", i.ID, i.State, to))
	}
	i.State, i.Version, i.Updated = to, i.Version+1, now.Truncate(time.Millisecond)
	i.Expires, i.ProcessedKey, i.Warning, i.Error, i.Unlisted = time.Time{}, "", "", "", false
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
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

var idForm = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// ParseID accepts a UUID of any version in the form 8-4-4-4-12, in any case, and returns it in lower case.
// It returns ErrInvalidID for any other form.
func ParseID(s string) (string, error) {
	if !idForm.MatchString(s) {
		return "", ErrInvalidID
	}
	return strings.ToLower(s), nil
}

// RawKey returns the object key of an upload; hash is the lower-case hex SHA-256 of its bytes.
func RawKey(id, hash string) string { return "upload/" + id + "/" + hash }

// hasOwnKey reports whether RawKey has the form of this service; keys of the original application have another.
func (i Image) hasOwnKey() bool { return strings.HasPrefix(i.RawKey, RawKey(i.ID, "")) }

// ProcessedKey returns the object key of the result of an upload; ext is "jpg" or "png".
func ProcessedKey(id, hash, ext string) string { return "processed/" + id + "/" + hash + "." + ext }

// Item holds the attributes of an Image as catalogs store them, under the names in its tags. An absent attribute means
// zero, and only version is stored as zero: an index key must not be empty, and a table deletes items at their expiry.
type Item struct {
	ID           string  `json:"id"`
	Version      int64   `json:"version"`
	State        State   `json:"state"`
	Created      int64   `json:"created,omitempty"` // milliseconds, like Updated and Hinted
	Updated      int64   `json:"updated,omitempty"`
	Hinted       int64   `json:"hinted,omitempty"`
	Expires      int64   `json:"expires,omitempty"` // seconds
	RawKey       string  `json:"rawS3Key,omitempty"`
	ProcessedKey string  `json:"processedS3Key,omitempty"`
	Warning      string  `json:"warning,omitempty"`
	Error        string  `json:"error,omitempty"`
	Pending      string  `json:"pending,omitempty"`
	History      []Event `json:"history,omitempty"`
}

// MovedAttributes lists the attributes that Catalog.Move sets or removes: all of Item except id and created.
var MovedAttributes = []string{
	"version", "state", "updated", "hinted", "expires", "rawS3Key", "processedS3Key", "warning", "error", "pending",
	"history",
}

// Item returns the stored form of the image.
func (i Image) Item() Item {
	return Item{ID: i.ID, Version: i.Version, State: i.State, Created: Millis(i.Created), Updated: Millis(i.Updated),
		Hinted: Millis(i.Hinted), Expires: max(i.Expires.Unix(), 0), RawKey: i.RawKey, ProcessedKey: i.ProcessedKey,
		Warning: i.Warning, Error: i.Error, Pending: i.PendingShard(), History: i.History}
}

// Image returns the image of an item of any release, or of the original application. The latter stores no time of the
// last transition; Image uses the time of creation instead.
func (i Item) Image() Image {
	img := Image{ID: i.ID, Version: i.Version, State: i.State, Created: timeOf(i.Created), Updated: timeOf(i.Updated),
		Hinted: timeOf(i.Hinted), Expires: timeOf(1000 * i.Expires), RawKey: i.RawKey, ProcessedKey: i.ProcessedKey,
		Warning: i.Warning, Error: i.Error, History: i.History,
		Unlisted: i.State == Uploaded && (i.Pending == "" || i.Updated == 0)}
	if img.Updated.IsZero() {
		img.Updated = img.Created
	}
	return img
}

// Millis returns a time in milliseconds since 1970, and 0 for the zero time.
func Millis(t time.Time) int64 { return max(t.UnixMilli(), 0) }

func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
