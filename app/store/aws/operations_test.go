package aws_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"imagery/app/imagery"
	awsstore "imagery/app/store/aws"
	"imagery/app/testing/fakeaws"
	"imagery/app/testing/short"
)

// operation is one call of a port that succeeds without faults.
type operation struct {
	name string // of the SDK operation
	lost error  // of a retry whose first attempt took effect
	run  func(t *testing.T, b *awsstore.Store) error
	// prepare runs before faults are injected.
	prepare func(t *testing.T, b *awsstore.Store)
}

func operations() []operation {
	img := newImage()
	moved := uploaded(img)
	create := func(t *testing.T, b *awsstore.Store) { must(t, b.Catalog().Create(t.Context(), img, time.Now())) }
	object := func(t *testing.T, b *awsstore.Store) { must(t, put(t, b, "processed/x", []byte("stored"))) }
	var received []imagery.Message
	receive := func(t *testing.T, b *awsstore.Store) {
		must(t, b.Queue().Send(t.Context(), []byte("hint"), ""))
		var err error
		received, err = b.Queue().Receive(t.Context(), 10, time.Second)
		must(t, err)
	}
	nothing := func(*testing.T, *awsstore.Store) {}
	return []operation{
		{"PutItem", imagery.ErrExists,
			func(t *testing.T, b *awsstore.Store) error { return b.Catalog().Create(t.Context(), img, time.Now()) }, nothing},
		{"GetItem", nil, func(t *testing.T, b *awsstore.Store) error {
			_, err := b.Catalog().Get(t.Context(), img.ID)
			return err
		}, create},
		{"UpdateItem", imagery.ErrConflict,
			func(t *testing.T, b *awsstore.Store) error { return b.Catalog().Move(t.Context(), img, moved) }, create},
		{"Query", nil, func(t *testing.T, b *awsstore.Store) error {
			_, _, err := b.Catalog().Pending(t.Context(), "0", time.Time{}, time.Now(), "", 10)
			return err
		}, nothing},
		{"PutObject", nil, func(t *testing.T, b *awsstore.Store) error { return put(t, b, "upload/x", []byte("photo")) },
			nothing},
		{"GetObject", nil, func(t *testing.T, b *awsstore.Store) error {
			got, err := b.Blobs().Get(t.Context(), "processed/x", 100)
			if err == nil && string(got) != "stored" {
				err = fmt.Errorf("got %q", got)
			}
			return err
		}, object},
		{"HeadObject", nil, func(t *testing.T, b *awsstore.Store) error { return b.Blobs().Ping(t.Context()) }, nothing},
		{"SendMessage", nil, func(t *testing.T, b *awsstore.Store) error {
			return b.Queue().Send(t.Context(), []byte("hint"), "trace")
		}, nothing},
		{"ChangeMessageVisibilityBatch", nil, func(t *testing.T, b *awsstore.Store) error {
			lost, err := b.Queue().Extend(t.Context(), time.Minute, received...)
			if len(lost) > 0 {
				err = errors.New("the message was lost")
			}
			return err
		}, receive},
		{"DeleteMessageBatch", nil,
			func(t *testing.T, b *awsstore.Store) error { return b.Queue().Delete(t.Context(), received...) }, receive},
		{"GetQueueAttributes", nil,
			func(t *testing.T, b *awsstore.Store) error { _, err := b.Queue().Limits(t.Context()); return err }, nothing},
		{"ReceiveMessage", nil, func(t *testing.T, b *awsstore.Store) error {
			_, err := b.Queue().Receive(t.Context(), 1, 0)
			return err
		}, nothing},
	}
}

// named reports whether err is one of the port's errors; all others are transient.
func named(err error) bool {
	for _, e := range []error{imagery.ErrNotFound, imagery.ErrDenied, imagery.ErrExists, imagery.ErrConflict,
		imagery.ErrInvalidID, imagery.ErrAlreadyUploaded} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// concurrently runs up to 16 subtests at a time, because they mostly wait; t.Parallel would limit them to the number of
// cores. The caller must call wait before it returns.
func concurrently(t *testing.T) (run func(name string, test func(t *testing.T)), wait func()) {
	var all sync.WaitGroup
	free := make(chan struct{}, 16)
	return func(name string, test func(t *testing.T)) {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			t.Run(name, test)
		})
	}, all.Wait
}

// A call with one transient fault succeeds, except that the retry of a write that took effect returns the error of its
// condition. A receive is retried by its caller.
func TestOneFaultIsRetried(t *testing.T) {
	t.Parallel()
	short.Skip(t, "retries of the SDK")
	run, wait := concurrently(t)
	defer wait()
	for _, kind := range []fakeaws.Kind{fakeaws.ServerError, fakeaws.Throttled, fakeaws.NoResponse, fakeaws.Reset,
		fakeaws.AnswerLost, fakeaws.Twice, fakeaws.Late} {
		for _, o := range operations() {
			if o.name == "ReceiveMessage" && kind == fakeaws.NoResponse {
				continue // a poll without a response may be waiting for a message: see TestSilence
			}
			run(fmt.Sprintf("%s/%s", o.name, kind), func(t *testing.T) {
				at, _, b := started(t)
				o.prepare(t, b)
				at.Proxy.Clear()
				at.Proxy.Inject(first(kind, o.name))
				start := time.Now()
				err := o.run(t, b)
				if at.Proxy.Injected(kind) != 1 {
					t.Fatalf("%d faults were injected", at.Proxy.Injected(kind))
				}
				var want error
				if kind == fakeaws.AnswerLost || kind == fakeaws.Twice {
					want = o.lost
				}
				if o.name == "ReceiveMessage" && kind != fakeaws.Twice && kind != fakeaws.Late {
					if err == nil || named(err) {
						t.Errorf("got %v, want a transient error", err)
					}
				} else if !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
				if took := time.Since(start); took > contractBound {
					t.Errorf("took %s", took)
				}
			})
		}
	}
}

// While all calls fail, each returns a transient error within its bound.
func TestOutageIsTransientAndBounded(t *testing.T) {
	t.Parallel()
	short.Skip(t, "outages of AWS")
	run, wait := concurrently(t)
	defer wait()
	for _, kind := range []fakeaws.Kind{fakeaws.ServerError, fakeaws.Throttled, fakeaws.Expired, fakeaws.Reset} {
		for _, o := range operations() {
			if o.name == "HeadObject" && kind == fakeaws.Expired {
				continue // a response to HEAD has no error code, and 403 may also mean a missing object
			}
			run(fmt.Sprintf("%s/%s", o.name, kind), func(t *testing.T) {
				at, _, b := started(t)
				o.prepare(t, b)
				at.Proxy.Inject(always(kind))
				start := time.Now()
				if err := o.run(t, b); err == nil || named(err) {
					t.Errorf("got %v, want a transient error", err)
				}
				if took := time.Since(start); took > contractBound {
					t.Errorf("took %s", took)
				}
				at.Proxy.Inject(nil)
				if err := o.run(t, b); err != nil && !errors.Is(err, o.lost) {
					t.Errorf("after the outage: %v", err)
				}
			})
		}
	}
}

func TestMissingAndDeniedObjects(t *testing.T) {
	t.Parallel()
	at, stack, b := started(t)
	_, err := b.Blobs().Get(t.Context(), "upload/none", 10)
	if !errors.Is(err, imagery.ErrNotFound) {
		t.Errorf("a missing object: %v, want ErrNotFound", err)
	}
	at.Proxy.Inject(always(fakeaws.Denied))
	if _, err = b.Blobs().Get(t.Context(), "upload/none", 10); !errors.Is(err, imagery.ErrDenied) {
		t.Errorf("a denied object: %v, want ErrDenied", err)
	}
	if err := b.Blobs().Ping(t.Context()); err != nil {
		t.Errorf("a denied probe: %v, want success", err)
	}
	if err := put(t, b, "upload/x", nil); err == nil || named(err) {
		t.Errorf("a denied put: %v, want a transient error", err)
	}
	at.Proxy.Inject(nil)
	stack.Bucket = "no-such-bucket"
	if _, err := open(t, at, stack).Blobs().Get(t.Context(), "upload/none", 10); err == nil || named(err) {
		t.Errorf("a missing bucket: %v, want a transient error", err)
	}
}
