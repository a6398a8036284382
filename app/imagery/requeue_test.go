package imagery_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"imagery/app/imagery"
	"imagery/app/testing/memory"
)

// finder lists the objects of a world.
type finder struct{ *memory.Blobs }

func (f finder) Find(_ context.Context, key string) error {
	if !slices.Contains(f.Keys(), key) {
		return imagery.ErrNotFound
	}
	return nil
}

// fail creates a Failed image.
func (w *world) fail(t *testing.T) imagery.Image {
	t.Helper()
	img := w.accept(t, w.create(t), "photo")
	w.filter.err = &imagery.BadPhoto{Kind: imagery.Unreadable, Reason: "Broken."}
	if _, err := w.Process(t.Context(), job(img)); err != nil {
		t.Fatal(err)
	}
	w.filter.err = nil
	return w.get(t, img.ID)
}

func TestRequeueFailedImage(t *testing.T) {
	w := newWorld(t)
	failed, sends := w.fail(t), w.queue.Sends
	w.clock = w.clock.Add(time.Hour)
	img, moved, err := w.Requeue(t.Context(), failed.ID, finder{w.blobs}, nil)
	if err != nil || !moved {
		t.Fatalf("requeue: %t, %v", moved, err)
	}
	now := w.get(t, failed.ID)
	if now.State != imagery.Uploaded || now.Version != failed.Version+1 || now.RawKey != failed.RawKey ||
		now.Error != "" ||
		!now.Updated.Equal(w.clock) || !now.Hinted.Equal(w.clock) || img.Version != now.Version {
		t.Errorf("%+v, returned %+v, before %+v", now, img, failed)
	}
	if last := now.History[len(now.History)-1]; last.State != imagery.Uploaded || last.Cause == "" ||
		last.Release != "abc" {
		t.Errorf("the last event is %+v", last)
	}
	// A second call only sends another hint.
	if _, moved, err := w.Requeue(t.Context(), failed.ID, finder{w.blobs}, nil); err != nil || moved ||
		w.get(t, failed.ID).Version != now.Version {
		t.Errorf("requeue again: %t, %v", moved, err)
	}
	if got := w.queue.Sends - sends; got != 2 {
		t.Errorf("%d hints were sent, want 2", got)
	}
	if r, err := w.Process(t.Context(), job(now)); err != nil || r.Outcome != imagery.Done {
		t.Errorf("process: %+v, %v", r, err)
	}
}

func TestRequeueRejects(t *testing.T) {
	for name, c := range map[string]struct {
		prepare  func(*testing.T, *world) string
		selected func(imagery.Image) bool
		want     error
	}{
		"malformed": {func(*testing.T, *world) string { return "7" }, nil, imagery.ErrInvalidID},
		"unknown":   {func(*testing.T, *world) string { return imagery.NewID() }, nil, imagery.ErrNotFound},
		"expired": {func(t *testing.T, w *world) string {
			id := w.create(t)
			w.clock = w.clock.Add(25 * time.Hour)
			return id
		}, nil, imagery.ErrNotFound},
		"created": {func(t *testing.T, w *world) string { return w.create(t) }, nil, imagery.ErrNothingToRequeue},
		"processed": {func(t *testing.T, w *world) string {
			img := w.accept(t, w.create(t), "photo")
			if _, err := w.Process(t.Context(), job(img)); err != nil {
				t.Fatal(err)
			}
			return img.ID
		}, nil, imagery.ErrNothingToRequeue},
		"not selected": {func(t *testing.T, w *world) string { return w.fail(t).ID },
			func(img imagery.Image) bool { return img.State != imagery.Failed }, imagery.ErrNotSelected},
		"original gone": {func(t *testing.T, w *world) string {
			img := w.fail(t)
			w.blobs.Remove(img.RawKey)
			return img.ID
		}, nil, imagery.ErrOriginalGone},
		"original of an unfinished image gone": {func(t *testing.T, w *world) string {
			img := w.accept(t, w.create(t), "photo")
			w.blobs.Remove(img.RawKey)
			return img.ID
		}, nil, imagery.ErrOriginalGone},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			id := c.prepare(t, w)
			before, _ := w.catalog.Get(t.Context(), id)
			sends := w.queue.Sends
			if _, moved, err := w.Requeue(t.Context(), id, finder{w.blobs}, c.selected); !errors.Is(err, c.want) || moved {
				t.Errorf("requeue: %t, %v; want %v", moved, err, c.want)
			}
			if after, _ := w.catalog.Get(t.Context(), id); after.Version != before.Version || w.queue.Sends != sends {
				t.Errorf("it became %+v, and %d hints were sent", after, w.queue.Sends-sends)
			}
		})
	}
}

// racing is a catalog in which another process moves the image just before the first Move.
type racing struct {
	imagery.Catalog
	race func()
}

func (r *racing) Move(ctx context.Context, from, to imagery.Image) error {
	if race := r.race; race != nil {
		r.race = nil
		race()
	}
	return r.Catalog.Move(ctx, from, to)
}

// A slower worker that succeeds just before the requeue wins.
func TestRequeueLosesToASlowWorker(t *testing.T) {
	w := newWorld(t)
	failed := w.fail(t)
	done := failed
	done.State, done.Version, done.Error, done.ProcessedKey = imagery.Processed, failed.Version+1, "", "processed/x"
	w.Service.Catalog = &racing{Catalog: w.catalog, race: func() { w.catalog.Put(done) }}
	img, moved, err := w.Requeue(t.Context(), failed.ID, finder{w.blobs}, nil)
	if !errors.Is(err, imagery.ErrNothingToRequeue) || moved {
		t.Errorf("%+v, %t, %v", img, moved, err)
	}
	if now := w.get(t, failed.ID); now.State != imagery.Processed {
		t.Errorf("the image became %+v", now)
	}
}

// sendFails is a queue whose Send fails.
type sendFails struct{ imagery.Queue }

func (sendFails) Send(context.Context, []byte, string) error { return errors.New("unavailable") }

func TestRequeueReportsMissingHint(t *testing.T) {
	w := newWorld(t)
	failed := w.fail(t)
	w.Service.Queue = sendFails{w.queue}
	img, moved, err := w.Requeue(t.Context(), failed.ID, finder{w.blobs}, nil)
	if err == nil || !moved || img.State != imagery.Uploaded {
		t.Fatalf("%+v, %t, %v", img, moved, err)
	}
	w.Service.Queue = w.queue
	if want := w.clock.Add(w.ResendAfter); !w.NextHint(img).Equal(want) {
		t.Errorf("the next hint is due at %s, want %s", w.NextHint(img), want)
	}
	w.clock = w.NextHint(img)
	sends := w.queue.Sends
	if r, err := w.Reconcile(t.Context(), 3); err != nil || r.Resent != 1 || w.queue.Sends != sends+1 {
		t.Errorf("the reconciler then: %+v, %v", r, err)
	}
	if next := w.NextHint(w.get(t, failed.ID)); !next.Equal(img.Updated.Add(3 * w.ResendAfter)) {
		t.Errorf("after it the next one is due at %s", next)
	}
}
