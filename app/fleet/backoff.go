package fleet

import (
	"math/rand/v2"
	"time"
)

// backoff is how long a dead child waits for its next process: 100 ms to 5 s, longer after each early death.
type backoff struct{ last time.Duration }

const (
	backoffFirst = 200 * time.Millisecond // halved at most by jitter
	backoffMost  = 5 * time.Second
	healthyAfter = 10 * time.Second
)

// next is the wait after a process that was healthy for this long. Jitter keeps children that died together
// from starting together.
func (b *backoff) next(healthy time.Duration) time.Duration {
	if healthy >= healthyAfter {
		b.last = 0
	}
	b.last = min(max(2*b.last, backoffFirst), backoffMost)
	return b.last - rand.N(b.last/2)
}
