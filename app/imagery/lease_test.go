package imagery_test

import (
	"testing"
	"time"

	"imagery/app/imagery"
)

// skewed is the same world seen by a process whose clock is off.
func (w *world) skewed(by time.Duration) *imagery.Service {
	s := *w.Service
	s.Now = func() time.Time { return w.clock.Add(by) }
	return &s
}

func run(t *testing.T, r *imagery.Reconciler) imagery.Repairs {
	t.Helper()
	got, err := r.Pass(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestOneLeaderAndTakeover(t *testing.T) {
	w := newWorld(t)
	a, b := w.NewReconciler("a", time.Minute), w.NewReconciler("b", time.Minute)
	if !run(t, a).Leader || run(t, b).Leader {
		t.Fatal("the first one leads, alone")
	}
	w.clock = w.clock.Add(2 * time.Minute)
	if run(t, b).Leader || !run(t, a).Leader {
		t.Fatal("one pass came late and the leader changed")
	}
	w.clock = w.clock.Add(4 * time.Minute) // a is dead
	if !run(t, b).Leader || run(t, a).Leader {
		t.Fatal("nobody took over")
	}
	if err := b.Resign(t.Context()); err != nil || !run(t, a).Leader {
		t.Fatalf("a leader that resigned still leads: %v", err)
	}
}

// TestNewLeaderFindsWhatTheOldOneMissed: for hours nobody leads and the queue is lost; the next leader's first pass
// finds every overdue image, and no later pass sends a hint twice for the same step.
func TestNewLeaderFindsWhatTheOldOneMissed(t *testing.T) {
	w := newWorld(t)
	for range 40 {
		w.accept(t, w.create(t), "photo")
		w.clock = w.clock.Add(7 * time.Minute)
	}
	w.queue.Purge()
	w.clock = w.clock.Add(3 * time.Hour)
	if got := run(t, w.NewReconciler("a", time.Minute)); got.Resent != 40 {
		t.Fatalf("repairs: %+v", got)
	}
	w.clock = w.clock.Add(4 * time.Minute)
	if got := run(t, w.NewReconciler("b", time.Minute)); got.Resent > 4 {
		t.Errorf("four minutes later, another leader: %+v", got)
	}
}

// TestClocksMayDiffer: leaders whose clocks are an hour off, two at once, only cost time and calls: every image gets its
// hint again, none is changed otherwise.
func TestClocksMayDiffer(t *testing.T) {
	for _, skew := range []time.Duration{-time.Hour, time.Hour} {
		w := newWorld(t)
		img := w.accept(t, w.create(t), "photo")
		w.queue.Purge()
		right := w.NewReconciler("right", time.Minute)
		wrong := w.skewed(skew).NewReconciler("wrong", time.Minute)
		for range 4 * 60 {
			w.clock = w.clock.Add(time.Minute)
			run(t, wrong)
			run(t, right)
		}
		if w.queue.Sends < 2 || w.queue.Sends > 1+2*7 {
			t.Errorf("skew %s: the hint was sent %d times in 4 hours", skew, w.queue.Sends)
		}
		if got := w.get(t, img.ID); got.Version != img.Version || got.State != imagery.Uploaded {
			t.Errorf("skew %s: image %+v", skew, got)
		}
	}
}

// TestDeadLettersAreReadOnce: letters that lie around cost their image one read, not one per pass.
func TestDeadLettersAreReadOnce(t *testing.T) {
	w := newWorld(t)
	for range 30 {
		if err := w.queue.Send(t.Context(), []byte(`{"imageId":"`+imagery.NewID()+`","desiredState":"processed"}`), ""); err != nil {
			t.Fatal(err)
		}
	}
	w.kill(t)
	r := w.NewReconciler("a", time.Minute)
	if got := run(t, r); got.Dead != 30 || got.Reads != 30 {
		t.Fatalf("first pass: %+v", got)
	}
	if got := run(t, r); got.Dead != 30 || got.Reads != 0 {
		t.Errorf("second pass: %+v", got)
	}
}
