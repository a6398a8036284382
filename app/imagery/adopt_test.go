package imagery_test

import (
	"errors"
	"testing"
	"time"

	"imagery/app/imagery"
)

// legacy stores an unfinished image as the original application does, as old as that, with its original.
func (w *world) legacy(t *testing.T, age time.Duration) imagery.Image {
	t.Helper()
	id := imagery.NewID()
	it := imagery.Item{ID: id, Version: 1, State: imagery.Uploaded, Created: imagery.Millis(w.clock.Add(-age)),
		RawKey: "upload/" + id + "-1700000000000"}
	img := it.Image()
	w.catalog.Put(img)
	u := upload(id, "photo")
	if err := w.blobs.Put(t.Context(), img.RawKey, "", u.Body, u.Size); err != nil {
		t.Fatal(err)
	}
	return img
}

// An unfinished image of the original application is not in the pending index. The first user, worker or operator who
// reads it lists it there, and nothing that users see changes.
func TestImagesOfTheOriginalApplicationAreAdopted(t *testing.T) {
	for name, read := range map[string]func(*world, string) error{
		"by a user": func(w *world, id string) error { _, err := w.GetForUser(t.Context(), id); return err },
		"by an operator": func(w *world, id string) error {
			adopted, err := w.Adopt(t.Context(), id)
			if err == nil && !adopted {
				err = errors.New("not adopted")
			}
			return err
		},
		"by a worker that fails": func(w *world, id string) error {
			w.filter.err = errUnavailable
			_, err := w.Process(t.Context(), job(imagery.Image{ID: id}))
			w.filter.err = nil
			if err == nil {
				err = errors.New("the job succeeded")
			} else {
				err = nil
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			img := w.legacy(t, 40*24*time.Hour)
			w.reconcile(t)
			if r := w.reconcile(t); r.OldestAge != 0 || w.queue.Sends != 0 {
				t.Fatalf("the reconciler knows the image already: %+v", r)
			}
			if err := read(w, img.ID); err != nil {
				t.Fatal(err)
			}
			got := w.get(t, img.ID)
			if got.Version != img.Version || !got.Updated.Equal(img.Created) || got.State != imagery.Uploaded || got.Unlisted {
				t.Errorf("adopted as %+v", got)
			}
			if sent := w.queue.Sends == 1; sent != (name != "by a worker that fails") { // it has a hint
				t.Errorf("%d hints were sent", w.queue.Sends)
			}
			w.queue.Purge()
			sends := w.queue.Sends
			for range 7 * 60 { // the longest interval between two hints, and some
				w.clock = w.clock.Add(time.Minute)
				w.reconcile(t)
			}
			if w.queue.Sends == sends {
				t.Error("the lost hint was not sent again")
			}
			if adopted, err := w.Adopt(t.Context(), img.ID); adopted || err != nil {
				t.Errorf("adopted twice: %t, %v", adopted, err)
			}
		})
	}
}

// The age of an image of the original application says nothing about a missing original, because that had another
// lifecycle rule, or none.
func TestOldOriginalOfTheOriginalApplicationIsTransient(t *testing.T) {
	for _, cause := range []error{imagery.ErrNotFound, imagery.ErrDenied} {
		w := newWorld(t)
		img := w.legacy(t, 40*24*time.Hour)
		blobs := w.Blobs
		w.Blobs = getFails{w.blobs, cause}
		if r, err := w.Process(t.Context(), job(img)); err == nil || w.get(t, img.ID).State != imagery.Uploaded {
			t.Errorf("%v: %+v, %v", cause, r, err)
		}
		w.Blobs = blobs
		if r, err := w.Process(t.Context(), job(img)); err != nil || r.Outcome != imagery.Done {
			t.Errorf("after %v: %+v, %v", cause, r, err)
		}
	}
}
