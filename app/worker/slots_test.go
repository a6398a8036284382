package worker_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"imagery/app/imagery"
	"imagery/app/worker"
)

// gates hold photos inside the filter, each until it is let go.
type gates struct {
	mu      sync.Mutex
	let     map[string]chan struct{}
	entered []string // in order
}

func (g *gates) gate(photo string) chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.let == nil {
		g.let = map[string]chan struct{}{}
	}
	if g.let[photo] == nil {
		g.let[photo] = make(chan struct{})
	}
	return g.let[photo]
}

// enter is a filter's work on a photo: it ends when the photo is let go; cheap ones are not held.
func (g *gates) enter(raw []byte) error {
	photo := string(raw)
	g.mu.Lock()
	g.entered = append(g.entered, photo)
	g.mu.Unlock()
	if !strings.HasPrefix(photo, "cheap") {
		<-g.gate(photo)
	}
	return nil
}

func (g *gates) inside(photo string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Contains(g.entered, photo)
}

// settled lets a second of virtual time pass, in which nothing but gates and timers holds anybody up.
func settled() {
	time.Sleep(time.Second)
	synctest.Wait()
}

// newGated is a world in which photos have these peaks, and a memory of 100.
func newGated(peaks map[string]int64) (*world, *gates) {
	w, g := newWorld(), &gates{}
	w.filter.takes, w.filter.peaks, w.filter.on = 0, peaks, g.enter
	return w, g
}

// TestCheapPhotoPassesLargeOnes: large photos that wait for memory keep neither a core nor the memory that is free
// from a cheap one.
func TestCheapPhotoPassesLargeOnes(t *testing.T) {
	for _, slots := range []int{2, 3, 8} {
		synctest.Test(t, func(t *testing.T) {
			w, g := newGated(map[string]int64{"large 1": 80, "large 2": 80, "large 3": 90, "cheap": 5})
			w.start(func(o *worker.Options) { o.Slots, o.Waiting = slots, 2 })
			ids := map[string]string{}
			for _, photo := range []string{"large 1", "large 2", "large 3"} { // each in its turn
				ids[photo] = w.upload(t, photo)
				settled()
			}
			if w.queue.Receipts != 3 || !g.inside("large 1") || g.inside("large 2") || g.inside("large 3") {
				t.Fatalf("%d slots: %d deliveries, in work: %v", slots, w.queue.Receipts, g.entered)
			}
			id := w.upload(t, "cheap")
			settled()
			if s := w.state(t, id); s != imagery.Processed {
				t.Errorf("%d slots: a cheap photo is %s while one of %d slots is used", slots, s, slots)
			}
			for _, photo := range []string{"large 1", "large 2", "large 3"} {
				close(g.gate(photo))
				settled()
				if s := w.state(t, ids[photo]); s != imagery.Processed {
					t.Errorf("%d slots: %s is %s though it was let go", slots, photo, s)
				}
			}
			if w.queue.Receipts != 4 {
				t.Errorf("%d slots: %d deliveries for 4 photos", slots, w.queue.Receipts)
			}
			w.end(t)
		})
	}
}

// TestWorkerDoesNotHoard: of many large photos a worker holds as many as it has slots, and a few that wait.
func TestWorkerDoesNotHoard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peaks := map[string]int64{}
		w, g := newGated(peaks)
		for i := range 12 {
			photo := "large " + string(rune('a'+i))
			peaks[photo] = 80
			w.upload(t, photo)
		}
		w.start(func(o *worker.Options) { o.Slots, o.Waiting = 3, 2 })
		settled()
		if w.queue.Receipts != 5 || len(g.entered) != 1 {
			t.Errorf("%d deliveries with 3 slots and 2 that may wait, %d photos in work", w.queue.Receipts, len(g.entered))
		}
		for photo := range peaks {
			close(g.gate(photo))
		}
		settled()
		if n := w.filter.applied.Load(); n != 12 {
			t.Errorf("%d photos done", n)
		}
		w.end(t)
	})
}

// TestWaitingPhotoComesBackAtOnce: who waited for memory needs no slot to go on, though the receive that is under
// way may keep the only free one for long.
func TestWaitingPhotoComesBackAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, g := newGated(map[string]int64{"large": 100, "half 1": 50, "half 2": 50})
		w.start(func(o *worker.Options) { o.Slots, o.Waiting = 2, 2 })
		w.upload(t, "large")
		settled()
		w.upload(t, "half 1")
		settled()
		w.upload(t, "half 2")
		settled()
		if len(g.entered) != 1 || w.queue.Receipts != 3 {
			t.Fatalf("in work: %v, %d deliveries", g.entered, w.queue.Receipts)
		}
		began := time.Now()
		close(g.gate("large"))
		settled()
		if !g.inside("half 1") || !g.inside("half 2") {
			t.Errorf("%s after memory became free: %v", time.Since(began), g.entered)
		}
		close(g.gate("half 1"))
		close(g.gate("half 2"))
		w.end(t)
	})
}
