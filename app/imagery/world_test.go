package imagery_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"imagery/app/imagery"
	"imagery/app/testing/memory"
)

// world is a service on in-memory ports, with a clock that tests set.
type world struct {
	*imagery.Service
	catalog *memory.Catalog
	blobs   *memory.Blobs
	queue   *memory.Queue
	dead    *memory.Queue
	clock   time.Time
	filter  fakeFilter
}

// fakeFilter adds a prefix to the bytes, or returns err.
type fakeFilter struct {
	err     error
	warning string
	during  func() // runs in the middle of Apply
}

func (f *fakeFilter) Inspect(raw []byte) (imagery.Cost, error) {
	return imagery.Cost{Memory: int64(len(raw))}, nil
}

func (f *fakeFilter) Apply(_ context.Context, raw []byte) (imagery.Result, error) {
	if f.during != nil {
		f.during()
	}
	if f.err != nil {
		return imagery.Result{}, f.err
	}
	body := bytes.NewReader(append([]byte("sepia "), raw...))
	return imagery.Result{Body: body, Ext: "jpg", ContentType: "image/jpeg", Warning: f.warning}, nil
}

// newClock returns the time at which a world begins.
func newClock() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{catalog: &memory.Catalog{}, blobs: &memory.Blobs{}, clock: newClock()}
	w.queue, w.dead = memory.NewQueue(imagery.Limits{Visibility: time.Minute, MaxReceives: 3})
	w.Service = &imagery.Service{
		Catalog: w.catalog, Blobs: w.blobs, Queue: w.queue, DeadLetters: w.dead, Filter: &w.filter,
		Now:        func() time.Time { return w.clock },
		UploadLife: 30 * 24 * time.Hour, ResendAfter: 5 * time.Minute, Release: "abc", Instance: "test",
	}
	return w
}

func (w *world) create(t *testing.T) string {
	t.Helper()
	img, _, err := w.Create(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return img.ID
}

func upload(id, body string) imagery.Upload {
	sum := sha256.Sum256([]byte(body))
	return imagery.Upload{ID: id, Hash: hex.EncodeToString(sum[:]), ContentType: "image/jpeg",
		Body: bytes.NewReader([]byte(body)), Size: int64(len(body))}
}

func (w *world) accept(t *testing.T, id, body string) imagery.Image {
	t.Helper()
	img, hintErr, err := w.Accept(t.Context(), upload(id, body))
	if err := errors.Join(hintErr, err); err != nil {
		t.Fatal(err)
	}
	return img
}

// job returns a delivery of the image's current hint.
func job(img imagery.Image) imagery.Job {
	return imagery.Job{
		Hint:     imagery.Hint{ImageID: img.ID, DesiredState: imagery.Processed, RawKey: img.RawKey},
		Receives: 1,
		Owned:    func() bool { return true },
		Admit:    func(context.Context, imagery.Cost) (func(), error) { return func() {}, nil },
	}
}

func (w *world) get(t *testing.T, id string) imagery.Image {
	t.Helper()
	img, err := w.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return img
}
