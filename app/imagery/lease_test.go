package imagery_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"imagery/app/imagery"
)

// skewed returns the service of a process whose clock is off by the given time.
func (w *world) skewed(by time.Duration) *imagery.Service {
	s := *w.Service
	s.Now = func() time.Time { return w.clock.Add(by) }
	return &s
}

func run(t *testing.T, r *imagery.Reconciler) imagery.Repairs {
	t.Helper()
	got, err := r.RunOnce(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestOneLeaderAndTakeover(t *testing.T) {
	w := newWorld(t)
	a, b := w.NewReconciler("a", time.Minute), w.NewReconciler("b", time.Minute)
	if !run(t, a).Leader || run(t, b).Leader {
		t.Fatal("the first process must be the only leader")
	}
	w.clock = w.clock.Add(2 * time.Minute)
	if run(t, b).Leader || !run(t, a).Leader {
		t.Fatal("the leader changed after one late pass")
	}
	w.clock = w.clock.Add(4 * time.Minute) // a is dead
	if !run(t, b).Leader || run(t, a).Leader {
		t.Fatal("no other process took over")
	}
	if err := b.Resign(t.Context()); err != nil || !run(t, a).Leader {
		t.Fatalf("a leader that resigned still leads: %v", err)
	}
}

// After hours without a leader and with a lost queue, the first pass of the next leader finds every overdue image, and
// no later pass sends the same hint of an image twice.
func TestNewLeaderFindsOverdueImages(t *testing.T) {
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

// Two leaders at once, with clocks an hour apart, only cost time and calls: every image gets its hint again, and no
// image is changed otherwise.
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

// A dead letter costs one read of its image, not one per pass.
func TestDeadLettersAreReadOnce(t *testing.T) {
	w := newWorld(t)
	for range 30 {
		hint := []byte(`{"imageId":"` + imagery.NewID() + `","desiredState":"processed"}`)
		if err := w.queue.Send(t.Context(), hint, ""); err != nil {
			t.Fatal(err)
		}
	}
	w.kill(t)
	r := w.NewReconciler("a", time.Minute)
	if got := run(t, r); got.DeadLetters != 30 || got.Reads != 30 {
		t.Fatalf("first pass: %+v", got)
	}
	if got := run(t, r); got.DeadLetters != 30 || got.Reads != 0 {
		t.Errorf("second pass: %+v", got)
	}
}

// During an outage of the table, a pass reads few images, and each dead letter once, however often it is received.
func TestOutageEndsThePassOverDeadLetters(t *testing.T) {
	w := newWorld(t)
	for range 30 {
		w.accept(t, w.create(t), "photo")
	}
	w.kill(t)
	outage := &tableOutage{Catalog: w.catalog}
	w.Catalog = outage
	r := w.NewReconciler("a", time.Minute)
	if got, err := r.RunOnce(t.Context(), 3); !errors.Is(err, errUnavailable) || outage.gets > 5 {
		t.Errorf("%d images were read during an outage: %+v, %v", outage.gets, got, err)
	}
	w.Catalog = w.catalog
	if got := run(t, r); got.MarkedFailed != 30 {
		t.Errorf("the pass after the outage: %+v", got)
	}
}

type tableOutage struct {
	imagery.Catalog
	gets int
}

func (c *tableOutage) Get(context.Context, string) (imagery.Image, error) {
	c.gets++
	return imagery.Image{}, errUnavailable
}

// With a slow table the visibility of dead letters ends during the pass, and the queue delivers them again and again.
func TestRepeatedDeadLettersEndThePass(t *testing.T) {
	w := newWorld(t)
	w.accept(t, w.create(t), "photo")
	w.kill(t)
	again := &alwaysVisible{Queue: w.dead}
	w.DeadLetters = again
	if got := w.reconcile(t); got.DeadLetters != 1 || got.Reads != 1 || again.receives > 2 {
		t.Errorf("after %d receives: %+v", again.receives, got)
	}
}

// alwaysVisible returns the same messages at every receive.
type alwaysVisible struct {
	imagery.Queue
	first    []imagery.Message
	receives int
}

func (q *alwaysVisible) Receive(ctx context.Context, n int, wait time.Duration) (_ []imagery.Message, err error) {
	if q.receives++; q.receives > 100 {
		return nil, errUnavailable
	}
	if q.first == nil {
		q.first, err = q.Queue.Receive(ctx, n, wait)
	}
	return q.first, err
}

// A pass ends with its lease, because then another process may lead.
func TestPassEndsWithItsLease(t *testing.T) {
	w := newWorld(t)
	var left time.Duration
	w.DeadLetters = &watched{Queue: w.dead, receive: func(ctx context.Context) {
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
	}}
	run(t, w.NewReconciler("a", time.Minute))
	if left < 2*time.Minute || left > 3*time.Minute {
		t.Errorf("the pass may take %v, its lease is 3 minutes", left)
	}
}

type watched struct {
	imagery.Queue
	receive func(context.Context)
}

func (q *watched) Receive(ctx context.Context, n int, wait time.Duration) ([]imagery.Message, error) {
	q.receive(ctx)
	return q.Queue.Receive(ctx, n, wait)
}

// overdue uploads n photos to one shard of the index. Their hints are lost and become due together.
func (w *world) overdue(t *testing.T, n int) (ids []string) {
	t.Helper()
	for range n {
		id := "a" + imagery.NewID()[1:]
		if _, _, err := w.Create(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		w.clock = w.clock.Add(time.Millisecond)
		w.accept(t, id, "photo")
		ids = append(ids, id)
	}
	w.queue.Purge()
	w.clock = w.clock.Add(5*time.Minute + time.Second)
	return ids
}

// A pass continues where the last one used up its reads: nothing is skipped, and nothing is sent twice.
func TestPassContinuesTheLastOne(t *testing.T) {
	w := newWorld(t)
	w.overdue(t, 250)
	sends := w.queue.Sends
	r := w.NewReconciler("a", time.Second) // 100 reads per pass, the minimum
	total := 0
	for range 3 {
		got := run(t, r)
		if got.Resent > 100 {
			t.Errorf("a pass sent %d hints", got.Resent)
		}
		total += got.Resent
	}
	if total != 250 || w.queue.Sends-sends != 250 {
		t.Errorf("three passes sent %d hints, want 250", total)
	}
}

// An image that cannot be read does not delay others and is retried in the next pass.
func TestBrokenImageDoesNotDelayOthers(t *testing.T) {
	w := newWorld(t)
	ids := w.overdue(t, 10)
	broken := &brokenItem{Catalog: w.catalog, id: ids[4]}
	w.Catalog = broken
	r := w.NewReconciler("a", time.Minute)
	if got, err := r.RunOnce(t.Context(), 3); !errors.Is(err, errUnavailable) || got.Resent != 9 {
		t.Fatalf("with a broken image: %+v, %v", got, err)
	}
	broken.id = ""
	if got := run(t, r); got.Resent != 1 {
		t.Errorf("the pass after it was repaired: %+v", got)
	}
}

type brokenItem struct {
	imagery.Catalog
	id string
}

func (c *brokenItem) Get(ctx context.Context, id string) (imagery.Image, error) {
	if id == c.id {
		return imagery.Image{}, errUnavailable
	}
	return c.Catalog.Get(ctx, id)
}
