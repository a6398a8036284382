package worker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"imagery/app/imagery"
	"imagery/app/worker"
)

// TestExpensivePhotosAreDeferred: of many expensive photos one at a time is processed, the others go to the end of the
// queue, and cheap photos that were sent later are processed before them. None is lost or failed.
func TestExpensivePhotosAreDeferred(t *testing.T) {
	for _, waiting := range []int{0, 2} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.filter.takes = 0
			var mu sync.Mutex
			var done []string
			expensive, most := 0, 0
			w.filter.on = func(raw []byte) error {
				takes := time.Second / 10
				mu.Lock()
				if strings.HasPrefix(string(raw), "expensive") {
					takes = 8 * time.Second
					expensive++
					most = max(most, expensive)
				}
				mu.Unlock()
				time.Sleep(takes)
				mu.Lock()
				defer mu.Unlock()
				if takes > time.Second {
					expensive--
				}
				done = append(done, string(raw))
				return nil
			}
			var ids []string
			for i := range 12 {
				ids = append(ids, w.upload(t, fmt.Sprintf("expensive %d", i)))
			}
			for i := range 30 {
				ids = append(ids, w.upload(t, fmt.Sprintf("cheap %d", i)))
			}
			w.start(func(o *worker.Options) { o.Slots, o.Waiting = 2, waiting })
			time.Sleep(10 * time.Minute)
			for i, id := range ids {
				if s := w.state(t, id); s != imagery.Processed {
					t.Errorf("photo %d is %s", i, s)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if most != 1 {
				t.Errorf("%d expensive photos were processed at once", most)
			}
			ahead := 0 // expensive photos that were done before the last cheap one
			for i, name := range done {
				if strings.HasPrefix(name, "cheap") {
					ahead = i + 1
				}
			}
			if ahead -= 30; ahead > 4 {
				t.Errorf("%d of 12 expensive photos were done before the last cheap one: %v", ahead, done)
			}
			if w.queue.Len() != 0 || w.dead.Len() != 0 {
				t.Errorf("%d messages and %d dead letters are left", w.queue.Len(), w.dead.Len())
			}
			w.end(t)
		})
	}
}

// noSend is a queue whose Send fails.
type noSend struct{ imagery.Queue }

func (noSend) Send(context.Context, []byte, string) error { return errors.New("unavailable") }

// TestExpensivePhotoThatCannotBeDeferredWaits: when Send fails, an expensive photo waits in its worker. So does one
// whose message was received before.
func TestExpensivePhotoThatCannotBeDeferredWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.filter.takes = 8 * time.Second
		for i := range 4 {
			w.upload(t, fmt.Sprintf("expensive %d", i))
		}
		w.start(func(o *worker.Options) { o.Queue = noSend{w.queue} })
		time.Sleep(time.Minute)
		if n := w.filter.applied.Load(); n != 4 || w.filter.most.Load() != 1 || w.queue.Receipts != 4 {
			t.Errorf("%d photos done, %d at once, %d deliveries", n, w.filter.most.Load(), w.queue.Receipts)
		}
		w.end(t)
	})
}
