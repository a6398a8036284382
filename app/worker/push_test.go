package worker_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"imagery/app/imagery"
	"imagery/app/worker"
)

// noLimits is a queue whose settings a worker may not read, as with the permissions of a Beanstalk worker tier.
type noLimits struct{ imagery.Queue }

func (noLimits) Limits(context.Context) (imagery.Limits, error) {
	return imagery.Limits{}, errors.New("access denied")
}

// TestPushDeliveryRepairsLostHints: a worker with -consume=false sends a lost hint again, and fails the image of a dead
// letter, although it may not read the settings of the queue.
func TestPushDeliveryRepairsLostHints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		id := w.upload(t, "photo")
		w.queue.Purge()
		w.start(func(o *worker.Options) { o.Consume, o.Queue = false, noLimits{w.queue} })
		time.Sleep(w.ResendAfter + 2*time.Minute)
		if n := w.queue.Len(); n != 1 {
			t.Errorf("%d messages after the age at which a hint is sent again, want 1", n)
		}
		for w.queue.Len() > 0 { // the daemon's deliveries fail
			ms, err := w.queue.Receive(t.Context(), 1, 0)
			if err == nil {
				_, err = w.queue.Extend(t.Context(), 0, ms...)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Minute)
		img, err := w.Get(t.Context(), id)
		if err != nil || img.State != imagery.Failed || img.Error != "It could not be processed in several attempts." {
			t.Errorf("%+v, %v", img, err)
		}
		w.end(t)
	})
}

// noReceive is a queue that a worker may not receive from.
type noReceive struct{ imagery.Queue }

func (noReceive) Receive(context.Context, int, time.Duration) ([]imagery.Message, error) {
	return nil, errors.New("access denied")
}

// TestReadinessSaysThatRepairsFail: with -consume=false nothing else would show that lost hints are not repaired.
func TestReadinessSaysThatRepairsFail(t *testing.T) {
	for _, fails := range []bool{true, false} {
		w := newWorld()
		if fails {
			w.DeadLetters = noReceive{w.dead}
		}
		url := w.serve(t, false)
		var text string
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			res, err := http.Get(url + "/readyz")
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || res.StatusCode != http.StatusOK {
				t.Fatalf("%d %s, %v", res.StatusCode, body, err)
			}
			if text = string(body); !fails || strings.Contains(text, "reconciler failed") {
				break
			}
		}
		if strings.Contains(text, "reconciler failed") != fails {
			t.Errorf("with failing passes %t: %s", fails, text)
		}
	}
}
