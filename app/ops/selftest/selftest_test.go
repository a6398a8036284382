package selftest_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"imagery/app/imagery"
	"imagery/app/imagery/imagerytest/memory"
	"imagery/app/ops/selftest"
	"imagery/app/rights"
	"imagery/app/sepia"
)

// world is a backend in memory, and what the test must leave behind in it: one message.
type world struct {
	selftest.Backend
	catalog *memory.Catalog
	blobs   *memory.Blobs
	queue   *memory.Queue
	items   []string // deleted
}

func newWorld() *world {
	w := &world{catalog: &memory.Catalog{}, blobs: &memory.Blobs{}}
	w.queue, _ = memory.NewQueue(imagery.Limits{Visibility: time.Minute, MaxReceives: 5})
	w.Backend = selftest.Backend{Catalog: w.catalog, Blobs: w.blobs, Queue: w.queue, Filter: sepia.Filter{}, Now: time.Now,
		DeleteItem: func(_ context.Context, id string) error {
			w.items = append(w.items, id)
			w.catalog.Remove(id)
			return nil
		},
		DeleteObject: func(_ context.Context, key string) error { w.blobs.Remove(key); return nil }}
	return w
}

func TestSelftestPassesAndCleansUp(t *testing.T) {
	w := newWorld()
	var out strings.Builder
	if err := selftest.Run(t.Context(), w.Backend, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, name := range []string{"baseline.jpg", "progressive.jpg", "patches.png", "patches.gif", "patches.webp"} {
		if !strings.Contains(out.String(), name) {
			t.Errorf("%s was not tried:\n%s", name, out.String())
		}
	}
	if len(w.blobs.Keys()) != 0 || len(w.items) != 1 || !strings.HasPrefix(w.items[0], rights.SelftestIDPrefix) {
		t.Errorf("left: objects %v; deleted items: %v", w.blobs.Keys(), w.items)
	}
	ms, err := w.queue.Receive(t.Context(), 10, 0)
	if err != nil || len(ms) != 1 {
		t.Fatalf("messages: %v, %v", ms, err)
	}
	if h, err := imagery.ParseHint(ms[0].Body); err != nil || h.ImageID != w.items[0] {
		t.Errorf("hint: %+v, %v", h, err)
	}
}

// wrong is a filter that lets colours through as they are.
type wrong struct{ sepia.Filter }

func (wrong) Apply(_ context.Context, raw []byte) (imagery.Result, error) {
	return imagery.Result{Body: raw, Ext: "png", ContentType: "image/png"}, nil
}

var errDenied = errors.New("denied")

type noGet struct{ *memory.Blobs }

func (noGet) Get(context.Context, string, int64) ([]byte, error) { return nil, errDenied }

type noPut struct{ *memory.Blobs }

func (noPut) Put(context.Context, string, string, io.ReadSeeker, int64) error { return errDenied }

type noMove struct{ *memory.Catalog }

func (noMove) Move(context.Context, imagery.Image, imagery.Image) error { return errDenied }

type noSend struct{ *memory.Queue }

func (noSend) Send(context.Context, []byte, string) error { return errDenied }

// TestSelftestNotices each thing that can be wrong on a machine, and cleans up all the same.
func TestSelftestNotices(t *testing.T) {
	for name, breakIt := range map[string]func(*world){
		"another filter":   func(w *world) { w.Filter = wrong{} },
		"no right to get":  func(w *world) { w.Blobs = noGet{w.blobs} },
		"no right to put":  func(w *world) { w.Blobs = noPut{w.blobs} },
		"no right to move": func(w *world) { w.Catalog = noMove{w.catalog} },
		"no right to send": func(w *world) { w.Queue = noSend{w.queue} },
	} {
		w := newWorld()
		breakIt(w)
		if err := selftest.Run(t.Context(), w.Backend, io.Discard); err == nil {
			t.Errorf("%s: the selftest passed", name)
		}
		if len(w.blobs.Keys()) != 0 || len(w.items) != 1 {
			t.Errorf("%s: left %v, deleted %v", name, w.blobs.Keys(), w.items)
		}
	}
}
