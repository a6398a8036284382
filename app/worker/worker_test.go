package worker_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"imagery/app/imagery"
	"imagery/app/worker"
)

func TestJobLongerThanVisibilityIsDoneOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.filter.takes = 80 * time.Second
		id := w.upload(t, "photo")
		w.start(nil)
		time.Sleep(2 * time.Minute)
		state, runs, left := w.state(t, id), w.filter.applied.Load(), w.queue.Len()
		if state != imagery.Processed || runs != 1 || w.queue.Receipts != 1 || left != 0 {
			t.Errorf("state %s, %d runs, %d deliveries, %d messages left", state, runs, w.queue.Receipts, left)
		}
		w.end(t)
	})
}

func TestJobThatTimesOutReturnsItsMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.filter.takes = time.Hour
		id := w.upload(t, "photo")
		w.start(nil)
		time.Sleep(95 * time.Second)
		if w.filter.running.Load() != 0 || w.state(t, id) != imagery.Uploaded {
			t.Errorf("%d jobs still run after their timeout", w.filter.running.Load())
		}
		w.end(t)
	})
}

func TestShutdownFinishesRunningJobsAndReturnsWaitingOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.filter.takes, w.filter.peak = 40*time.Second, 80 // two do not fit into the memory of 100
		a, b := w.upload(t, "a"), w.upload(t, "b")
		w.start(nil)
		time.Sleep(10 * time.Second)
		began := time.Now()
		w.stop()
		time.Sleep(time.Second)
		ms, err := w.queue.Receive(t.Context(), 1, 0)
		if err != nil || len(ms) != 1 {
			t.Fatalf("the message that waited for memory is not back a second after the stop: %v, %v", ms, err)
		}
		w.end(t)
		done := 0
		for _, id := range []string{a, b} {
			if w.state(t, id) == imagery.Processed {
				done++
			}
		}
		if done != 1 || time.Since(began) > 40*time.Second {
			t.Errorf("%d jobs were finished, the stop took %s", done, time.Since(began))
		}
	})
}

// TestThreeRestarts: three rolling restarts with jobs in flight use up no deliveries, because a worker finishes the
// jobs it has started.
func TestThreeRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.filter.takes = 20 * time.Second
		var ids []string
		for i := range 16 {
			ids = append(ids, w.upload(t, string(rune('a'+i))))
		}
		for range 3 {
			w.start(nil)
			time.Sleep(30 * time.Second)
			if w.filter.running.Load() == 0 {
				t.Fatal("nothing was in flight at the restart")
			}
			w.end(t)
		}
		w.start(nil)
		time.Sleep(10 * time.Minute)
		for _, id := range ids {
			if img, _ := w.Get(t.Context(), id); img.State != imagery.Processed || img.History[1].Receives > 2 {
				t.Errorf("image: %+v", img)
			}
		}
		if w.filter.applied.Load() != 16 {
			t.Errorf("%d runs for 16 photos", w.filter.applied.Load())
		}
		w.end(t)
	})
}

func TestOutageOfTenMinutesOnlyDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		blobs := &flaky{Blobs: w.blobs}
		w.Blobs = blobs
		var ids []string
		for i := range 6 {
			ids = append(ids, w.upload(t, string(rune('a'+i))))
		}
		blobs.down.Store(true)
		w.start(nil) // its probe does not detect this outage, so the backoff must cover it
		time.Sleep(10 * time.Minute)
		blobs.down.Store(false)
		time.Sleep(10 * time.Minute)
		for _, id := range ids {
			if s := w.state(t, id); s != imagery.Processed {
				t.Errorf("image is %s", s)
			}
		}
		w.end(t)
	})
}

type flaky struct {
	imagery.Blobs
	down atomic.Bool
}

func (b *flaky) Get(ctx context.Context, key string, limit int64) ([]byte, error) {
	if b.down.Load() {
		return nil, errors.New("unavailable")
	}
	return b.Blobs.Get(ctx, key, limit)
}

func TestReceivesNothingWhileDependenciesAreDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.down.Store(true)
		id := w.upload(t, "photo")
		w.start(nil)
		time.Sleep(30 * time.Minute)
		if w.queue.Receipts != 0 {
			t.Errorf("%d deliveries while the table was down", w.queue.Receipts)
		}
		w.down.Store(false)
		time.Sleep(10 * time.Second)
		if w.state(t, id) != imagery.Processed {
			t.Error("not processed after the outage")
		}
		w.end(t)
	})
}

func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.filter.peak = 30 // three fit into 100
		for i := range 20 {
			w.upload(t, string(rune('a'+i)))
		}
		w.start(func(o *worker.Options) { o.Slots = 10 })
		time.Sleep(time.Minute)
		if most := w.filter.most.Load(); most != 3 {
			t.Errorf("%d jobs ran at once, want 3", most)
		}
		if n := w.filter.applied.Load(); n != 20 {
			t.Errorf("%d photos done", n)
		}
		w.end(t)
	})
}

func TestMalformedMessageBecomesDeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		if err := w.queue.Send(t.Context(), []byte("hello"), ""); err != nil {
			t.Fatal(err)
		}
		w.start(nil)
		time.Sleep(20 * time.Minute)
		if w.dead.Len() != 1 || w.queue.Len() != 0 {
			t.Errorf("%d dead letters, %d messages", w.dead.Len(), w.queue.Len())
		}
		w.end(t)
	})
}

// TestSuspectsRunAlone: a message that has used up half of its deliveries may be a poison message. It runs while its
// worker has no other message in flight.
func TestSuspectsRunAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var ids []string
		for i := range 8 {
			ids = append(ids, w.upload(t, string(rune('a'+i))))
		}
		for range 2 { // two workers died with all of them
			ms, err := w.queue.Receive(t.Context(), 10, 0)
			if err != nil || len(ms) != 8 {
				t.Fatalf("%d messages, %v", len(ms), err)
			}
			if _, err := w.queue.Extend(t.Context(), 0, ms...); err != nil {
				t.Fatal(err)
			}
		}
		w.start(func(o *worker.Options) { o.Slots = 4 })
		time.Sleep(time.Minute)
		for _, id := range ids {
			if w.state(t, id) != imagery.Processed {
				t.Errorf("image is %s", w.state(t, id))
			}
		}
		if most := w.filter.most.Load(); most != 1 {
			t.Errorf("%d suspects ran at once", most)
		}
		w.end(t)
	})
}

// TestHangingJobLosesItsMessage: a job that cannot be interrupted hides its message for at most the job timeout plus
// one visibility timeout.
func TestHangingJobLosesItsMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.filter.takes = 0
		w.filter.on = func([]byte) error { time.Sleep(10 * time.Minute); return nil }
		w.upload(t, "photo")
		w.start(nil)
		time.Sleep(100 * time.Second)
		w.stop() // or it would receive its own message again
		time.Sleep(visibility)
		if ms, err := w.queue.Receive(t.Context(), 1, 0); err != nil || len(ms) != 1 {
			t.Errorf("the message is not visible: %v, %v", ms, err)
		}
		if err := <-w.ended; err != nil {
			t.Error(err)
		}
	})
}

// TestQueueWithoutVisibility: a worker works with a queue whose visibility timeout is 0.
func TestQueueWithoutVisibility(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		id := w.upload(t, "photo")
		w.start(func(o *worker.Options) { o.Queue = noVisibility{w.queue} })
		time.Sleep(time.Minute)
		if s := w.state(t, id); s != imagery.Processed {
			t.Errorf("image is %s", s)
		}
		w.end(t)
	})
}

type noVisibility struct{ imagery.Queue }

func (noVisibility) Limits(context.Context) (imagery.Limits, error) {
	return imagery.Limits{MaxReceives: 5}, nil
}
