package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"imagery/app/admin/fsck"
	"imagery/app/cli"
	"imagery/app/deploy/settings"
	"imagery/app/imagery"
	"imagery/app/testing/memory"
)

// world is a deployment in memory, for the cases that the end-to-end tests on both real stores cannot produce.
type world struct {
	*testing.T
	catalog  memory.Catalog
	blobs    memory.Blobs
	queue    *memory.Queue
	dead     *memory.Queue
	ports    imagery.Service // what the commands get; a test may replace its ports
	ids      []string
	removed  []string
	s        fsck.Snapshot
	terminal bool
	stderr   bytes.Buffer
}

func newWorld(t *testing.T) *world {
	w := &world{T: t}
	w.queue, w.dead = memory.NewQueue(imagery.Limits{Visibility: time.Minute, MaxReceives: 3})
	w.ports = imagery.Service{Catalog: &w.catalog, Blobs: &w.blobs, Queue: w.queue, DeadLetters: w.dead, Now: time.Now,
		ResendAfter: 5 * time.Minute, UploadLife: time.Hour, Release: "r1", Instance: "desk"}
	return w
}

// The store of a world.
func (w *world) Find(_ context.Context, key string) error {
	if !slices.Contains(w.blobs.Keys(), key) {
		return imagery.ErrNotFound
	}
	return nil
}

func (w *world) Scan(ctx context.Context, each func(imagery.Image) error) error {
	for _, id := range w.ids {
		img, err := w.catalog.Get(ctx, id)
		if err = errors.Join(err, each(img)); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) RemoveObject(_ context.Context, key string, _ time.Time) (bool, error) {
	w.removed = append(w.removed, key)
	return true, nil
}

// image plants an image, with an original if its state has one.
func (w *world) image(state imagery.State, updated time.Time) imagery.Image {
	img := imagery.Image{ID: imagery.NewID(), State: state, Version: 2, Created: updated, Updated: updated}
	if state != imagery.Created {
		img.RawKey = imagery.RawKey(img.ID, "aa")
		if err := w.blobs.Put(w.Context(), img.RawKey, "", strings.NewReader("x"), 1); err != nil {
			w.Fatal(err)
		}
	}
	if state == imagery.Failed {
		img.Error = "Broken."
		img.History = []imagery.Event{{State: state, Version: 2, Release: "0bad", Cause: "ink"}}
	}
	w.catalog.Put(img)
	w.ids = append(w.ids, img.ID)
	return img
}

// bury makes a dead letter about the image's present upload.
func (w *world) bury(img imagery.Image, key string) {
	body, _ := json.Marshal(imagery.Hint{ImageID: img.ID, DesiredState: imagery.Processed, RawKey: key})
	if err := w.dead.Send(w.Context(), body, ""); err != nil {
		w.Fatal(err)
	}
}

// run runs a command with --json and decodes its document into v.
func (w *world) run(ctx context.Context, v any, args ...string) error {
	w.Helper()
	var out bytes.Buffer
	app := cli.App{Console: cli.Console{Out: &out, Err: &w.stderr, ErrTerminal: w.terminal},
		Open: func(context.Context, settings.Settings, string) (cli.Deployment, error) {
			return cli.Deployment{Service: &w.ports, Store: w, Close: func() error { return nil },
				Snapshot: func(context.Context, bool) (fsck.Snapshot, error) { return w.s, nil }}, nil
		}}
	runErr := app.Run(ctx, append(args, "--json"))
	if err := json.Unmarshal(out.Bytes(), v); err != nil {
		w.Fatalf("%v: %v: %s, %v", args, err, out.String(), runErr)
	}
	return runErr
}

type redriven struct {
	Letters []struct {
		ImageID, State, Action, Error string
		Done                          bool
	}
}

// A letter about an earlier upload must not bring back a later failure of other bytes.
func TestRedriveLeavesAnotherUploadAlone(t *testing.T) {
	w := newWorld(t)
	failed, unfinished := w.image(imagery.Failed, time.Now()), w.image(imagery.Uploaded, time.Now())
	w.bury(failed, imagery.RawKey(failed.ID, "bb"))
	w.bury(unfinished, imagery.RawKey(unfinished.ID, "bb"))
	var r redriven
	if err := w.run(t.Context(), &r, "dlq", "redrive"); err != nil || len(r.Letters) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	if now, _ := w.catalog.Get(t.Context(), failed.ID); now.Version != failed.Version || w.queue.Sends > 0 ||
		w.dead.Len() > 0 {
		t.Errorf("%+v; the image became %+v, %d hints, %d dead letters", r, now, w.queue.Sends, w.dead.Len())
	}
}

// deaf takes no message, clinging deletes none.
type (
	deaf     struct{ imagery.Queue }
	clinging struct{ imagery.Queue }
)

func (deaf) Send(context.Context, []byte, string) error           { return errors.New("away") }
func (clinging) Delete(context.Context, ...imagery.Message) error { return errors.New("away") }

// Whatever fails on the way, the letter stays, visible at once, and the next redrive ends what this one began.
func TestRedriveKeepsTheLetterUntilAllIsDone(t *testing.T) {
	w := newWorld(t)
	img := w.image(imagery.Failed, time.Now())
	w.bury(img, img.RawKey)
	for name, step := range map[string]func(){
		"no queue":  func() { w.ports.Queue = deaf{w.queue} },
		"no delete": func() { w.ports.Queue, w.ports.DeadLetters = w.queue, clinging{w.dead} },
	} {
		step()
		var r redriven
		if err := w.run(t.Context(), &r, "dlq", "redrive"); err == nil || len(r.Letters) != 1 || r.Letters[0].Done ||
			!strings.Contains(r.Letters[0].Error, "away") {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if w.dead.Len() != 1 {
			t.Fatalf("%s: the letter is gone", name)
		}
	}
	w.ports.Queue, w.ports.DeadLetters = w.queue, w.dead
	var r redriven
	if err := w.run(t.Context(), &r, "dlq", "redrive"); err != nil || len(r.Letters) != 1 ||
		r.Letters[0].Action != "resend" || w.dead.Len() != 0 {
		t.Errorf("at last: %+v, %v", r, err)
	}
	if now, _ := w.catalog.Get(t.Context(), img.ID); now.State != imagery.Uploaded || now.Version != img.Version+1 {
		t.Errorf("the image became %+v", now)
	}
}

// Letters that take longer than they stay hidden are looked at once each all the same, at the rate that was asked
// for.
func TestRedriveAtALowRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.queue, w.dead = memory.NewQueue(imagery.Limits{Visibility: 10 * time.Second, MaxReceives: 3})
		w.ports.Queue, w.ports.DeadLetters = w.queue, w.dead
		const n, junk = 100, 5
		for i := range n {
			img := w.image(imagery.Failed, time.Now())
			if w.bury(img, img.RawKey); i < junk {
				w.bury(imagery.Image{ID: "junk"}, "")
			}
		}
		began := time.Now()
		var r redriven
		if err := w.run(t.Context(), &r, "dlq", "redrive", "--rate", "0.5"); err != nil || len(r.Letters) != n+junk ||
			w.queue.Sends != n || w.dead.Len() != junk {
			t.Errorf("%d dead letters, %d hints, %d left, %v", len(r.Letters), w.queue.Sends, w.dead.Len(), err)
		}
		if took := time.Since(began); took < 2*(n-1)*time.Second || took > 2*(n+1)*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// A terminal shows the progress, and an empty line in the end; a pipe gets nothing.
func TestProgressIsForPeople(t *testing.T) {
	for _, live := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			for range 5 {
				w.image(imagery.Failed, time.Now())
			}
			w.terminal = live
			if err := w.run(t.Context(), &struct{}{}, "requeue", "--failed", "--rate", "1"); err != nil {
				t.Fatal(err)
			}
			shown := w.stderr.String()
			if live && (!strings.Contains(shown, "3 of 5 images") || !strings.HasSuffix(shown, "\r\x1b[K")) || !live &&
				shown != "" {
				t.Errorf("live %t: %q", live, shown)
			}
		})
	}
}

// A photo that was finished between the scan and its turn is left as it is, without an error.
func TestRequeueLooksAgain(t *testing.T) {
	w := newWorld(t)
	first, second := w.image(imagery.Failed, time.Now()), w.image(imagery.Failed, time.Now())
	w.ports.Hook = func(p imagery.Failpoint, _ string) {
		if p == imagery.AfterMove {
			second.State = imagery.Processed
			w.catalog.Put(second)
		}
	}
	var r struct{ Images []struct{ ImageID string } }
	if err := w.run(t.Context(), &r, "requeue", "--failed"); err != nil || len(r.Images) != 1 ||
		r.Images[0].ImageID != first.ID {
		t.Errorf("%+v, %v", r, err)
	}
}
