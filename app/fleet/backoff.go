package fleet

import (
	"math/rand/v2"
	"time"
)

// backoff computes the delay before a child is started again: 100 ms to 5 s, doubled after each early exit.
type backoff struct{ last time.Duration }

const (
	backoffFirst = 200 * time.Millisecond // jitter takes off up to a half
	backoffMax   = 5 * time.Second
	healthyAfter = 10 * time.Second
)

// next returns the delay after a process that listened for this long. Jitter keeps children that exited together from
// starting together.
func (b *backoff) next(healthy time.Duration) time.Duration {
	if healthy >= healthyAfter {
		b.last = 0
	}
	b.last = min(max(2*b.last, backoffFirst), backoffMax)
	return b.last - rand.N(b.last/2)
}
