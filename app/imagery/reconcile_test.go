package imagery_test

import (
	"strings"
	"testing"
	"time"

	"imagery/app/imagery"
)

func (w *world) reconcile(t *testing.T) imagery.Repairs {
	t.Helper()
	r, err := w.Reconcile(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestLostHintsAreSentAgainAtDoublingIntervals(t *testing.T) {
	w := newWorld(t)
	img := w.accept(t, w.create(t), "photo")
	w.queue.Purge()
	start := w.clock
	var sent []int // minutes after the upload
	for minute := range 24 * 60 {
		w.clock = start.Add(time.Duration(minute) * time.Minute)
		r := w.reconcile(t)
		if r.OldestAge != w.clock.Sub(start) {
			t.Fatalf("at minute %d: %+v", minute, r)
		}
		if r.Resent > 0 {
			sent = append(sent, minute)
		}
	}
	want := []int{5, 15, 35, 75, 155, 315, 635, 995, 1355} // then every 6 hours
	if len(sent) != len(want) {
		t.Fatalf("sent at minutes %v, want %v", sent, want)
	}
	for i := range want {
		if sent[i] != want[i] {
			t.Fatalf("sent at minutes %v, want %v", sent, want)
		}
	}
	got := w.get(t, img.ID)
	if got.Version != img.Version || !got.Updated.Equal(img.Updated) {
		t.Errorf("sending again changed more than the time of the hint: %+v", got)
	}
	ms, _ := w.queue.Receive(t.Context(), 1, 0)
	h, err := imagery.ParseHint(ms[0].Body)
	if err != nil || h.RawKey != img.RawKey {
		t.Errorf("hint: %+v, %v", h, err)
	}
}

func TestOldestAgeIsZeroWithoutUnfinishedImages(t *testing.T) {
	w := newWorld(t)
	w.create(t)
	img := w.accept(t, w.create(t), "photo")
	if _, err := w.Process(t.Context(), job(img)); err != nil {
		t.Fatal(err)
	}
	w.clock = w.clock.Add(time.Hour)
	if r := w.reconcile(t); r != (imagery.Repairs{Leader: true}) {
		t.Errorf("repairs: %+v", r)
	}
}

// kill uses up the deliveries of all messages, as crashing workers do.
func (w *world) kill(t *testing.T) {
	t.Helper()
	for w.queue.Len() > 0 {
		ms, err := w.queue.Receive(t.Context(), 10, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.queue.Extend(t.Context(), 0, ms...); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDeadLettersFailTheirImages(t *testing.T) {
	w := newWorld(t)
	w.clock = time.Now().Add(-time.Minute) // the queue's clock is the real one
	img := w.accept(t, w.create(t), "photo")
	done := w.accept(t, w.create(t), "other")
	if _, err := w.Process(t.Context(), job(done)); err != nil {
		t.Fatal(err)
	}
	for _, malformed := range []string{"", "{}", `{"imageId":"` + imagery.NewID() + `","desiredState":"processed"}`} {
		if err := w.queue.Send(t.Context(), []byte(malformed), ""); err != nil {
			t.Fatal(err)
		}
	}
	w.kill(t)
	if r := w.reconcile(t); r.DeadLetters != 5 || r.MarkedFailed != 1 {
		t.Fatalf("repairs: %+v", r)
	}
	got := w.get(t, img.ID)
	if got.State != imagery.Failed || !strings.Contains(got.Error, "no worker lived through 3 attempts") {
		t.Fatalf("image: %+v", got)
	}
	if w.get(t, done.ID).State != imagery.Processed {
		t.Error("a dead letter of a processed image changed it")
	}
	if ms, _ := w.dead.Receive(t.Context(), 10, 0); len(ms) != 5 {
		t.Errorf("%d dead letters are left, want all 5, visible", len(ms))
	}
	// A failed image is not sent again.
	w.clock = w.clock.Add(time.Hour)
	sends := w.queue.Sends
	if w.reconcile(t); w.queue.Sends != sends {
		t.Error("the hint of a failed image was sent again")
	}
}

// The same bytes uploaded again after a failure are a new attempt, which the dead letter of the first must not fail.
func TestOldDeadLetterDoesNotFailNewAttempt(t *testing.T) {
	w := newWorld(t)
	w.clock = time.Now().Add(-time.Minute)
	img := w.accept(t, w.create(t), "photo")
	w.kill(t)
	w.reconcile(t)
	w.clock = time.Now().Add(time.Second)
	for _, body := range []string{"photo", "another photo"} {
		img = w.accept(t, img.ID, body)
		if r := w.reconcile(t); r.MarkedFailed != 0 || w.get(t, img.ID).State != imagery.Uploaded {
			t.Fatalf("%s: %+v", body, r)
		}
		w.filter.err = &imagery.BadPhoto{Kind: imagery.Unreadable, Reason: "Broken."}
		if _, err := w.Process(t.Context(), job(img)); err != nil {
			t.Fatal(err)
		}
	}
}

// A dead letter in the original application's form, without a key, fails an upload that is not newer.
func TestDeadLetterWithoutKey(t *testing.T) {
	w := newWorld(t)
	w.clock = time.Now().Add(-time.Minute)
	img := w.accept(t, w.create(t), "photo")
	w.queue.Purge()
	if err := w.queue.Send(t.Context(), []byte(`{"imageId":"`+img.ID+`","desiredState":"processed"}`), ""); err != nil {
		t.Fatal(err)
	}
	w.kill(t)
	if r := w.reconcile(t); r.MarkedFailed != 1 || w.get(t, img.ID).State != imagery.Failed {
		t.Fatalf("%+v, %+v", r, w.get(t, img.ID))
	}
	w.clock = time.Now().Add(time.Minute)
	w.accept(t, img.ID, "photo")
	if r := w.reconcile(t); r.MarkedFailed != 0 || w.get(t, img.ID).State != imagery.Uploaded {
		t.Errorf("the dead letter failed a newer upload: %+v", r)
	}
}
