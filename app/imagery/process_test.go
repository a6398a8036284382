package imagery_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"imagery/app/imagery"
)

var errUnavailable = errors.New("unavailable")

func TestProcess(t *testing.T) {
	w := newWorld(t)
	w.filter.warning = "A part of it is missing."
	img := w.accept(t, w.create(t), "photo")
	r, err := w.Process(t.Context(), job(img))
	if err != nil || r.Outcome != imagery.Done || r.Before != imagery.Uploaded || r.After != imagery.Processed {
		t.Fatalf("process: %+v, %v", r, err)
	}
	got := w.get(t, img.ID)
	want := imagery.ProcessedKey(img.ID, upload(img.ID, "photo").Hash, "jpg")
	if got.State != imagery.Processed || got.ProcessedKey != want || got.Version != 2 || got.PendingShard() != "" ||
		got.Warning != w.filter.warning {
		t.Fatalf("image: %+v", got)
	}
	if h := got.History; len(h) != 2 || h[1].State != imagery.Processed || h[1].Receives != 1 || h[1].Instance != "test" {
		t.Errorf("history: %+v", h)
	}
	r, err = w.Process(t.Context(), job(img))
	if err != nil || r.Outcome != imagery.AlreadyDone || w.blobs.Puts[want] != 1 {
		t.Fatalf("the second delivery: %+v, %v, %d puts", r, err, w.blobs.Puts[want])
	}
}

func TestItemOfTheOriginalApplication(t *testing.T) {
	w := newWorld(t)
	id := imagery.NewID()
	key := "upload/" + id + "-1700000000000"
	u := upload(id, "photo")
	if err := w.blobs.Put(t.Context(), key, "image/jpeg", u.Body, u.Size); err != nil {
		t.Fatal(err)
	}
	img := imagery.Image{ID: id, Version: 1, State: imagery.Uploaded, RawKey: key}
	w.catalog.Put(img)
	j := job(img)
	j.Hint.RawKey = "" // its messages have none
	if r, err := w.Process(t.Context(), j); err != nil || r.Outcome != imagery.Done {
		t.Fatalf("process: %+v, %v", r, err)
	}
	if got := w.get(t, id); got.ProcessedKey != imagery.ProcessedKey(id, u.Hash, "jpg") {
		t.Fatalf("image: %+v", got)
	}
}

// Messages of the original application have no key, but their last delivery may fail the image.
func TestItemOfTheOriginalApplicationFails(t *testing.T) {
	w := newWorld(t)
	id := imagery.NewID()
	img := imagery.Image{ID: id, Version: 1, State: imagery.Uploaded, RawKey: "upload/" + id + "-1700000000000",
		Updated: w.clock}
	w.catalog.Put(img)
	j := job(img)
	j.Hint.RawKey, j.Last, j.Receives = "", true, 3
	if _, err := w.Process(t.Context(), j); err == nil {
		t.Fatal("a missing original was processed")
	}
	if got := w.get(t, id); got.State != imagery.Failed || got.Error == "" {
		t.Errorf("image: %+v", got)
	}
}

func TestNoWork(t *testing.T) {
	w := newWorld(t)
	created := w.create(t)
	for _, id := range []string{created, imagery.NewID()} {
		r, err := w.Process(t.Context(), job(imagery.Image{ID: id}))
		if err != nil || r.Outcome != imagery.NoWork {
			t.Errorf("process %s: %+v, %v", id, r, err)
		}
	}
}

func TestBadPhotoFailsAtOnce(t *testing.T) {
	w := newWorld(t)
	img := w.accept(t, w.create(t), "photo")
	w.filter.err = &imagery.BadPhoto{Kind: imagery.Unreadable, Reason: "It cannot be decoded."}
	r, err := w.Process(t.Context(), job(img))
	if err != nil || r.Outcome != imagery.PermanentFailure || r.Cause == nil {
		t.Fatalf("process: %+v, %v", r, err)
	}
	if got := w.get(t, img.ID); got.State != imagery.Failed || got.Error != "It cannot be decoded." {
		t.Fatalf("image: %+v", got)
	}
	// A slower worker of the same upload succeeds later.
	w.filter.err = nil
	late := w.catalogAt(t, img)
	if r, err := late.Process(t.Context(), job(img)); err != nil || r.Outcome != imagery.Done {
		t.Fatalf("slower worker: %+v, %v", r, err)
	}
	if got := w.get(t, img.ID); got.State != imagery.Processed || got.Error != "" || got.Version != 3 {
		t.Fatalf("image: %+v", got)
	}
}

// catalogAt returns the service of a worker that read the image before others changed it.
func (w *world) catalogAt(t *testing.T, old imagery.Image) *imagery.Service {
	t.Helper()
	s := *w.Service
	s.Catalog = &staleOnce{Catalog: w.catalog, old: old}
	return &s
}

type staleOnce struct {
	imagery.Catalog
	old  imagery.Image
	used bool
}

func (c *staleOnce) Get(ctx context.Context, id string) (imagery.Image, error) {
	if !c.used {
		c.used = true
		return c.old, nil
	}
	return c.Catalog.Get(ctx, id)
}

// An image fails and gets other bytes before an old job ends: the job does not change the new upload.
func TestOldJobDoesNotChangeNewUpload(t *testing.T) {
	for _, bad := range []bool{false, true} {
		t.Run(fmt.Sprintf("bad=%t", bad), func(t *testing.T) {
			w := newWorld(t)
			old := w.accept(t, w.create(t), "old")
			w.filter.err = &imagery.BadPhoto{Kind: imagery.Unreadable, Reason: "Broken."}
			if _, err := w.Process(t.Context(), job(old)); err != nil {
				t.Fatal(err)
			}
			now := w.accept(t, old.ID, "new")
			if !bad {
				w.filter.err = nil
			}
			r, err := w.catalogAt(t, old).Process(t.Context(), job(old))
			if err != nil || r.Outcome != imagery.AlreadyDone {
				t.Fatalf("old job: %+v, %v", r, err)
			}
			if got := w.get(t, old.ID); got.Version != now.Version || got.State != imagery.Uploaded {
				t.Fatalf("the old job changed the new upload: %+v", got)
			}
		})
	}
}

// While the last delivery of a hint is being processed, another job fails the image, and the same bytes are uploaded
// again. That is a new attempt with its own deliveries, which the old job must not fail.
func TestOldJobDoesNotFailNewAttempt(t *testing.T) {
	broken := &imagery.BadPhoto{Kind: imagery.Unreadable, Reason: "Broken."}
	for _, failure := range []error{errUnavailable, broken} {
		t.Run(failure.Error(), func(t *testing.T) {
			w := newWorld(t)
			img := w.accept(t, w.create(t), "photo")
			var next imagery.Image
			w.filter.err = broken
			w.filter.during = func() {
				w.filter.during = nil
				if _, err := w.Process(t.Context(), job(img)); err != nil {
					t.Fatal(err)
				}
				next = w.accept(t, img.ID, "photo")
				w.filter.err = failure
			}
			last := job(img)
			last.Last, last.Receives = true, 3
			if r, err := w.Process(t.Context(), last); err != nil || r.Outcome != imagery.AlreadyDone {
				t.Errorf("the old job: %+v, %v", r, err)
			}
			if got := w.get(t, img.ID); got.State != imagery.Uploaded || got.Version != next.Version {
				t.Errorf("the old job failed the new attempt: %+v", got)
			}
		})
	}
}

func TestTransientErrorsFailTheImageAtTheLastDelivery(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*imagery.Job)
		clock  time.Duration
		err    error
		state  imagery.State
		reason string
	}{
		{"the first delivery", func(*imagery.Job) {}, 0, errUnavailable, imagery.Uploaded, ""},
		{"the last delivery", func(j *imagery.Job) { j.Last, j.Receives = true, 3 }, 0, errUnavailable, imagery.Failed,
			"It could not be processed in 3 attempts: a part of the service did not answer."},
		{"an original that is missing", func(j *imagery.Job) { j.Last, j.Receives = true, 3 }, 0, imagery.ErrNotFound,
			imagery.Failed,
			"It could not be processed in 3 attempts: original missing or not readable."},
		{"an original that is denied", func(j *imagery.Job) { j.Last, j.Receives = true, 3 }, 0, imagery.ErrDenied,
			imagery.Failed,
			"It could not be processed in 3 attempts: original missing or not readable."},
		{"a missing original at first", func(*imagery.Job) {}, 0, imagery.ErrNotFound, imagery.Uploaded, ""},
		{"an expired original", func(*imagery.Job) {}, 31 * 24 * time.Hour, imagery.ErrDenied, imagery.Failed,
			"It could not be processed: the original has expired, upload it again."},
		{"the last delivery of an old hint", func(j *imagery.Job) { j.Last, j.Hint.RawKey = true, "upload/old" }, 0,
			errUnavailable, imagery.Uploaded, ""},
		{"the last delivery of a hint without key and time", func(j *imagery.Job) { j.Last, j.Hint.RawKey = true, "" }, 0,
			errUnavailable, imagery.Uploaded, ""},
		{"the last delivery of a hint without key from before the upload", func(j *imagery.Job) {
			j.Last, j.Hint.RawKey, j.Sent = true, "", newClock().Add(-time.Millisecond)
		}, 0, errUnavailable, imagery.Uploaded, ""},
		{"the last delivery of a hint without key that is not older than the upload", func(j *imagery.Job) {
			j.Last, j.Receives, j.Hint.RawKey, j.Sent = true, 3, "", newClock()
		}, 0, errUnavailable, imagery.Failed,
			"It could not be processed in 3 attempts: a part of the service did not answer."},
		{"the last delivery of a hint from before the upload",
			func(j *imagery.Job) { j.Last, j.Sent = true, time.Unix(1, 0) }, 0, errUnavailable, imagery.Uploaded, ""},
		{"the last delivery of a lost message",
			func(j *imagery.Job) { j.Last, j.Owned = true, func() bool { return false } },
			0, errUnavailable, imagery.Uploaded, ""},
		{"an expired original of a lost message", func(j *imagery.Job) { j.Owned = func() bool { return false } },
			31 * 24 * time.Hour, imagery.ErrNotFound, imagery.Uploaded, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			img := w.accept(t, w.create(t), "photo")
			w.clock = w.clock.Add(c.clock)
			w.Blobs = getFails{w.blobs, c.err}
			j := job(img)
			c.change(&j)
			r, err := w.Process(t.Context(), j)
			got := w.get(t, img.ID)
			if got.State != c.state || got.Error != c.reason {
				t.Errorf("image: %s %q, want %s %q", got.State, got.Error, c.state, c.reason)
			}
			permanent := strings.Contains(c.reason, "expired")
			if (err == nil) != permanent || (r.Outcome == imagery.PermanentFailure) != permanent {
				t.Errorf("outcome %q, error %v: a transient failure must leave the message in the queue", r.Outcome, err)
			}
		})
	}
}

type getFails struct {
	imagery.Blobs
	err error
}

func (b getFails) Get(context.Context, string, int64) ([]byte, error) { return nil, b.err }

func TestIllegalStatesCannotBeWritten(t *testing.T) {
	w := newWorld(t)
	img := w.accept(t, w.create(t), "photo")
	for range 40 { // failed and uploaded again, over and over
		w.filter.err = &imagery.BadPhoto{Kind: imagery.Unreadable, Reason: "Broken."}
		if _, err := w.Process(t.Context(), job(img)); err != nil {
			t.Fatal(err)
		}
		img = w.accept(t, img.ID, "photo")
	}
	if n := len(w.get(t, img.ID).History); n != 16 {
		t.Errorf("the history has %d events, want its cap of 16", n)
	}
	last := int64(0)
	for _, m := range w.catalog.Moves {
		if m.Version != last+1 {
			t.Fatalf("version %d after %d", m.Version, last)
		}
		last = m.Version
		if (m.Error != "") != (m.State == imagery.Failed) || (m.ProcessedKey != "") != (m.State == imagery.Processed) ||
			m.Warning != "" && m.State != imagery.Processed ||
			!m.Expires.IsZero() {
			t.Fatalf("fields of another state: %+v", m)
		}
	}
}
