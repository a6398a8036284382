package worker_test

import (
	"testing"
	"time"

	"imagery/app/worker"
)

// TestBackoffSpansTheOutage: even without jitter the deliveries of one message are spread over the outage, and the
// delays never shrink.
func TestBackoffSpansTheOutage(t *testing.T) {
	const outage = 10 * time.Minute
	for _, receives := range []int{2, 3, 5, 10, 100} {
		var span, before time.Duration
		for n := 1; n < receives; n++ {
			d := worker.Backoff(n, receives, outage, 0)
			if d < before {
				t.Errorf("max %d: wait %d is %s after %s", receives, n, d, before)
			}
			if more := worker.Backoff(n, receives, outage, 0.99); more < d || more > d+d/4 && more != 12*time.Hour {
				t.Errorf("max %d: wait %d is %s with jitter, %s without", receives, n, more, d)
			}
			span, before = span+d, d
		}
		if span < outage-time.Second {
			t.Errorf("max %d: all deliveries span %s", receives, span)
		}
		if d := worker.Backoff(receives, receives, outage, 1); d != 0 {
			t.Errorf("max %d: %s after the last delivery", receives, d)
		}
	}
}
