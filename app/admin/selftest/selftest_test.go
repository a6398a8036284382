package selftest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"imagery/app/admin/selftest"
	"imagery/app/deploy/iam"
	"imagery/app/imagery"
	"imagery/app/sepia"
	"imagery/app/testing/memory"
)

// fakes are in-memory dependencies.
type fakes struct {
	selftest.Dependencies
	catalog *memory.Catalog
	blobs   *memory.Blobs
	queue   *memory.Queue
	items   []string // ids of deleted items
}

func newFakes() *fakes {
	w := &fakes{catalog: &memory.Catalog{}, blobs: &memory.Blobs{}}
	w.queue, _ = memory.NewQueue(imagery.Limits{Visibility: time.Minute, MaxReceives: 5})
	w.Dependencies = selftest.Dependencies{
		Catalog: w.catalog, Blobs: w.blobs, Queue: w.queue, Filter: sepia.Filter{}, Now: time.Now,
		DeleteItem: func(_ context.Context, id string) error {
			w.items = append(w.items, id)
			w.catalog.Remove(id)
			return nil
		},
		DeleteObject: func(_ context.Context, key string) error { w.blobs.Remove(key); return nil },
	}
	return w
}

func TestSelftestPassesAndCleansUp(t *testing.T) {
	w := newFakes()
	var out strings.Builder
	if err := selftest.Run(t.Context(), w.Dependencies, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, name := range []string{"baseline.jpg", "progressive.jpg", "patches.png", "patches.gif", "patches.webp"} {
		if !strings.Contains(out.String(), name) {
			t.Errorf("%s was not tested:\n%s", name, out.String())
		}
	}
	if len(w.blobs.Keys()) != 0 || len(w.items) != 1 || !strings.HasPrefix(w.items[0], iam.SelftestIDPrefix) {
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

// noFilter returns photos unchanged.
type noFilter struct{ sepia.Filter }

func (noFilter) Apply(_ context.Context, raw []byte) (imagery.Result, error) {
	return imagery.Result{Body: bytes.NewReader(raw), Ext: "png", ContentType: "image/png"}, nil
}

type failingFilter struct{ sepia.Filter }

func (failingFilter) Apply(context.Context, []byte) (imagery.Result, error) {
	return imagery.Result{}, errors.New("cannot decode")
}

type otherBytes struct{ *memory.Blobs }

func (otherBytes) Get(context.Context, string, int64) ([]byte, error) { return []byte("others"), nil }

var errDenied = errors.New("denied")

type noGet struct{ *memory.Blobs }

func (noGet) Get(context.Context, string, int64) ([]byte, error) { return nil, errDenied }

type noPut struct{ *memory.Blobs }

func (noPut) Put(context.Context, string, string, io.ReadSeeker, int64) error { return errDenied }

type noMove struct{ *memory.Catalog }

func (noMove) Move(context.Context, imagery.Image, imagery.Image) error { return errDenied }

type noSend struct{ *memory.Queue }

func (noSend) Send(context.Context, []byte, string) error { return errDenied }

// TestSelftestFails: every fault of a dependency fails the selftest, which still cleans up.
func TestSelftestFails(t *testing.T) {
	for name, breakIt := range map[string]func(*fakes){
		"no filter":      func(w *fakes) { w.Filter = noFilter{} },
		"broken filter":  func(w *fakes) { w.Filter = failingFilter{} },
		"other bytes":    func(w *fakes) { w.Blobs = otherBytes{w.blobs} },
		"get is denied":  func(w *fakes) { w.Blobs = noGet{w.blobs} },
		"put is denied":  func(w *fakes) { w.Blobs = noPut{w.blobs} },
		"move is denied": func(w *fakes) { w.Catalog = noMove{w.catalog} },
		"send is denied": func(w *fakes) { w.Queue = noSend{w.queue} },
	} {
		w := newFakes()
		breakIt(w)
		err := selftest.Run(t.Context(), w.Dependencies, io.Discard)
		if err == nil {
			t.Errorf("%s: the selftest passed", name)
		}
		if got, want := selftest.IsPermanent(err), !strings.HasSuffix(name, "is denied"); got != want {
			t.Errorf("%s: permanent %t, want %t: %v", name, got, want, err)
		}
		if len(w.blobs.Keys()) != 0 || len(w.items) != 1 {
			t.Errorf("%s: left %v, deleted %v", name, w.blobs.Keys(), w.items)
		}
	}
}

// TestRetry: permissions that become effective late are waited for, a wrong result is not retried.
func TestRetry(t *testing.T) {
	const pause = 5 * time.Second
	type result struct {
		lines string
		err   error
	}
	results := map[string]result{} // of real runs, since the filter starts goroutines that synctest does not allow
	for name, breakIt := range map[string]func(*fakes){
		"":      func(*fakes) {},
		"put":   func(w *fakes) { w.Blobs = noPut{w.blobs} },
		"send":  func(w *fakes) { w.Queue = noSend{w.queue} },
		"wrong": func(w *fakes) { w.Filter = noFilter{} },
	} {
		w := newFakes()
		breakIt(w)
		var out strings.Builder
		err := selftest.Run(t.Context(), w.Dependencies, &out)
		results[name] = result{out.String(), err}
	}
	for name, c := range map[string]struct {
		late, within time.Duration
		wrong        bool
		attempts     int
		passes       bool
	}{
		"at once":        {within: 5 * time.Minute, attempts: 1, passes: true},
		"late":           {late: 200 * time.Second, within: 5 * time.Minute, attempts: 41, passes: true},
		"too late":       {late: 400 * time.Second, within: 5 * time.Minute, attempts: 61},
		"late, no retry": {late: 200 * time.Second, attempts: 1},
		"wrong":          {wrong: true, within: 5 * time.Minute, attempts: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun, attempts := time.Now(), 0
				var out strings.Builder
				err := selftest.Retry(t.Context(), c.within, pause, func(_ context.Context, out io.Writer) error {
					attempts++
					fault := ""
					switch since := time.Since(begun); {
					case c.wrong:
						fault = "wrong"
					case since < c.late/2:
						fault = "put"
					case since < c.late:
						fault = "send"
					}
					io.WriteString(out, results[fault].lines)
					return results[fault].err
				}, &out)
				if (err == nil) != c.passes || attempts != c.attempts {
					t.Errorf("%d attempts, want %d: %v", attempts, c.attempts, err)
				}
				waits := strings.Count(out.String(), "not yet, repeated for ")
				if waits != min(2, (c.attempts-1)/20) || strings.Count(out.String(), "clean up table") != 1 {
					t.Errorf("%d reasons to wait:\n%s", waits, out.String())
				}
			})
		})
	}
}
