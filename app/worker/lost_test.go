package worker_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"imagery/app/imagery"
	"imagery/app/worker"
)

// noExtend is a queue whose Extend fails, as for a worker that is frozen or has no network.
type noExtend struct{ imagery.Queue }

func (noExtend) Extend(context.Context, time.Duration, ...imagery.Message) ([]imagery.Message, error) {
	return nil, errors.New("no network")
}

// TestLostMessage: a worker that could not extend its message before the visibility timeout ended may complete the
// image, but must not fail it, because another worker may have received the message.
func TestLostMessage(t *testing.T) {
	for _, bad := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.filter.takes = 2 * visibility
			if bad {
				w.filter.on = func([]byte) error { return &imagery.BadPhoto{Kind: imagery.Unreadable, Reason: "Broken."} }
			}
			id := w.upload(t, "photo")
			w.start(func(o *worker.Options) { o.Queue = noExtend{w.queue} })
			time.Sleep(visibility + time.Second)
			w.stop() // or it would receive its own message again
			time.Sleep(2 * visibility)
			want := imagery.Processed
			if bad {
				want = imagery.Uploaded
			}
			if s := w.state(t, id); s != want {
				t.Errorf("bad=%t: image is %s, want %s", bad, s, want)
			}
			if w.queue.Len() != 1 && bad {
				t.Errorf("%d messages left", w.queue.Len())
			}
			if err := <-w.ended; err != nil {
				t.Error(err)
			}
		})
	}
}
