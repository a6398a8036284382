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

// gates block photos inside the filter until their gate is closed.
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

// enter runs in the filter. It blocks until the gate of the photo is closed; cheap photos have no gate.
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

// wait advances the virtual clock by a second and waits until all goroutines are blocked.
func wait() {
	time.Sleep(time.Second)
	synctest.Wait()
}

// newGated returns a world with 100 bytes of memory in which photos need the given bytes.
func newGated(peaks map[string]int64) (*world, *gates) {
	w, g := newWorld(), &gates{}
	w.filter.takes, w.filter.peaks, w.filter.on = 0, peaks, g.enter
	return w, g
}

// TestCheapPhotoPassesLargeOnes: large photos that wait for memory block neither a slot nor the free memory for a cheap
// one.
func TestCheapPhotoPassesLargeOnes(t *testing.T) {
	for _, slots := range []int{2, 3, 8} {
		synctest.Test(t, func(t *testing.T) {
			w, g := newGated(map[string]int64{"large 1": 80, "large 2": 80, "large 3": 90, "cheap": 5})
			w.start(func(o *worker.Options) { o.Slots, o.Waiting = slots, 2 })
			ids := map[string]string{}
			for _, photo := range []string{"large 1", "large 2", "large 3"} {
				ids[photo] = w.upload(t, photo)
				wait()
			}
			if w.queue.Receipts != 3 || !g.inside("large 1") || g.inside("large 2") || g.inside("large 3") {
				t.Fatalf("%d slots: %d deliveries, in work: %v", slots, w.queue.Receipts, g.entered)
			}
			id := w.upload(t, "cheap")
			wait()
			if s := w.state(t, id); s != imagery.Processed {
				t.Errorf("%d slots: a cheap photo is %s although only one of %d slots is used", slots, s, slots)
			}
			for _, photo := range []string{"large 1", "large 2", "large 3"} {
				close(g.gate(photo))
				wait()
				if s := w.state(t, ids[photo]); s != imagery.Processed {
					t.Errorf("%d slots: %s is %s although its gate is open", slots, photo, s)
				}
			}
			if w.queue.Receipts != 4 {
				t.Errorf("%d slots: %d deliveries for 4 photos", slots, w.queue.Receipts)
			}
			w.end(t)
		})
	}
}

// TestWorkerLimitsWaitingPhotos: of many large photos a worker receives as many as it has slots and may have waiting.
func TestWorkerLimitsWaitingPhotos(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peaks := map[string]int64{}
		w, g := newGated(peaks)
		for i := range 12 {
			photo := "large " + string(rune('a'+i))
			peaks[photo] = 80
			w.upload(t, photo)
		}
		w.start(func(o *worker.Options) { o.Slots, o.Waiting = 3, 2 })
		wait()
		if w.queue.Receipts != 5 || len(g.entered) != 1 {
			t.Errorf("%d deliveries with 3 slots and 2 that may wait, %d photos in work", w.queue.Receipts, len(g.entered))
		}
		for photo := range peaks {
			close(g.gate(photo))
		}
		wait()
		if n := w.filter.applied.Load(); n != 12 {
			t.Errorf("%d photos done", n)
		}
		w.end(t)
	})
}

// TestWaitingPhotoResumesAtOnce: a photo that waited for memory needs no free slot to continue. A receive in progress
// may keep the only free one for 20 seconds.
func TestWaitingPhotoResumesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, g := newGated(map[string]int64{"large": 100, "half 1": 50, "half 2": 50})
		w.start(func(o *worker.Options) { o.Slots, o.Waiting = 2, 2 })
		w.upload(t, "large")
		wait()
		w.upload(t, "half 1")
		wait()
		w.upload(t, "half 2")
		wait()
		if len(g.entered) != 1 || w.queue.Receipts != 3 {
			t.Fatalf("in work: %v, %d deliveries", g.entered, w.queue.Receipts)
		}
		began := time.Now()
		close(g.gate("large"))
		wait()
		if !g.inside("half 1") || !g.inside("half 2") {
			t.Errorf("%s after memory became free: %v", time.Since(began), g.entered)
		}
		close(g.gate("half 1"))
		close(g.gate("half 2"))
		w.end(t)
	})
}
