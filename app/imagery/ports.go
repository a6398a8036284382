package imagery

import (
	"context"
	"io"
	"time"
)

// Catalog stores one item per image. All methods are safe for concurrent use by goroutines and processes. Errors that
// are not named below are transient. Adapters limit the time of every call and may retry within it. A retry may find
// the effect of its own first attempt, so after ErrConflict or ErrExists callers must read the item: the write may have
// succeeded.
type Catalog interface {
	// Create stores img if no item has its id, or only one that has expired by now; else it returns ErrExists.
	Create(ctx context.Context, img Image, now time.Time) error
	// Get reads consistently: it sees every write that was acknowledged before the call. It returns ErrNotFound if
	// there is no item. It also returns expired items, which Service treats as absent.
	Get(ctx context.Context, id string) (Image, error)
	// Move replaces from with to. It returns ErrConflict if the stored item does not have from's version, state and
	// RawKey, or does not exist. Attributes of the item that are not fields of Image are kept.
	Move(ctx context.Context, from, to Image) error
	// Touch sets Hinted, and nothing else, if the item still has img's version; else it returns ErrConflict.
	Touch(ctx context.Context, img Image, hinted time.Time) error
	// Pending lists at most limit Uploaded images of a shard (see Image.PendingShard) with Updated in [from, to],
	// oldest first. A zero from is the beginning. after is empty for the first page and then the next of the previous
	// page; next is empty after the last page. The list may be a little stale: read the item before acting on it.
	Pending(ctx context.Context, shard string, from, to time.Time, after string, limit int) (
		list []Pending, next string, err error)
	// Lease makes holder the owner of a named lease until the given time if the lease is free, expired before now, or
	// already owned by holder; held reports success. With different clocks two holders may own it at once.
	Lease(ctx context.Context, name, holder string, now, until time.Time) (held bool, err error)
	// Ping makes the cheapest call that proves the table can be read.
	Ping(ctx context.Context) error
}

// Pending is a row of the pending index.
type Pending struct {
	ID      string
	Updated time.Time
}

// Blobs stores objects. An object is durable when Put returns. Put replaces an object atomically: a reader sees all of
// the old bytes or all of the new ones. Implementations are safe for concurrent use.
type Blobs interface {
	// Put stores size bytes of body, which it reads from the start, again for each retry.
	Put(ctx context.Context, key, contentType string, body io.ReadSeeker, size int64) error
	// Get returns the bytes of the object, ErrNotFound or ErrDenied, or another error if it is larger than limit bytes.
	Get(ctx context.Context, key string, limit int64) ([]byte, error)
	// Link returns a URL that lets anyone read the object for at most 15 minutes, as a download under the name filename
	// if that is not empty. A store without URLs returns the open object instead, which the caller serves and closes.
	// It returns the errors of Get, but a URL whether or not the object exists.
	Link(ctx context.Context, key, filename string) (Link, error)
	// Ping makes the cheapest call that proves the bucket answers.
	Ping(ctx context.Context) error
}

// Link is a URL of an object, or the open object. Exactly one field is set.
type Link struct {
	URL  string
	Body io.ReadSeekCloser
}

// Queue delivers messages at least once, in no particular order. A received message is invisible to other consumers
// until its visibility timeout ends; then it is delivered again with a new receipt, and Receives increases by one. A
// message that has used up its deliveries moves to the dead-letter queue. Implementations are safe for concurrent use.
type Queue interface {
	// Send queues a message with the trace context as an attribute; trace may be empty.
	Send(ctx context.Context, body []byte, trace string) error
	// Receive returns up to max (1 to 10) messages as soon as there is one, and none if wait (up to 20 s) or ctx ends
	// first.
	Receive(ctx context.Context, max int, wait time.Duration) ([]Message, error)
	// Extend makes the messages invisible for d from now; with d = 0 they are visible at once. It returns as lost those
	// whose receipt is no longer valid: this process no longer owns them.
	Extend(ctx context.Context, d time.Duration, ms ...Message) (lost []Message, err error)
	// Delete acknowledges the messages. A receipt that is no longer valid is ignored.
	Delete(ctx context.Context, ms ...Message) error
	// Limits reads the queue's own settings.
	Limits(ctx context.Context) (Limits, error)
}

// Message is one delivery of a hint.
type Message struct {
	ID       string
	Receipt  string // valid for this delivery only
	Body     []byte
	Receives int       // 1 at the first delivery
	Sent     time.Time // when it was first queued
	Trace    string
}

// Limits are the settings of a queue that consumers need.
type Limits struct {
	Visibility  time.Duration // how long a received message stays invisible unless extended
	MaxReceives int           // deliveries before a message becomes a dead letter; 0 without dead-letter queue
}

// Filter produces the result of a photo. It does no I/O.
type Filter interface {
	// Inspect reads headers only and returns the cost of Apply, or a *BadPhoto if the headers show that Apply would
	// fail.
	Inspect(raw []byte) (Cost, error)
	// Apply returns the result, a *BadPhoto (permanent), or the error of ctx.
	Apply(ctx context.Context, raw []byte) (Result, error)
}

// Cost is an estimate, made from the headers of a photo, of the resources that processing needs.
type Cost struct {
	Memory int64 // bytes at the peak, beside the raw file
	Work   int64 // pixel passes: pixels times the passes of the decoder over them
	Size   int64 // bytes of the raw file
}

// Thresholds of Cost.Expensive. A core does about 50 million pixel passes per second. A normal photo has up to 10
// pixel passes per byte, a flat drawing up to 350, a progressive JPEG of 200 KB with a hundred scans 10,000, and a GIF
// of 35 bytes up to a million.
const (
	expensiveWork    = 10_000_000 // 0.2 s of a core
	expensivePerByte = 500
)

// Expensive reports whether the photo takes far more work than its file size suggests, as in a decompression bomb.
func (c Cost) Expensive() bool { return c.Work >= expensiveWork && c.Work >= expensivePerByte*c.Size }

// Body has the bytes of a result, which need not be in one slice. A bytes.Reader and an io.SectionReader implement it.
type Body interface {
	io.ReadSeeker
	Size() int64 // of all bytes
}

// Result is a processed photo.
type Result struct {
	Body        Body
	Ext         string // "jpg" or "png"
	ContentType string
	Warning     string // one sentence for the user that says what was mended; empty for an undamaged photo
}
