package cli

import (
	"context"
	"flag"
	"math"
	"time"
)

// rateLimiter spreads images over time by the flag --rate, so that the workers are not flooded.
type rateLimiter struct {
	rate float64 // per second
	next time.Time
}

func (l *rateLimiter) flags(fs *flag.FlagSet) {
	fs.Float64Var(&l.rate, "rate", 10, "at most `N` per second; 0.5 is one in two seconds")
}

func (l *rateLimiter) validate() error {
	if !(l.rate > 0) || math.IsInf(l.rate, 0) {
		return usage("--rate %v is not above 0", l.rate)
	}
	return nil
}

// wait blocks until the next one may be done. It returns false if ctx ended before.
func (l *rateLimiter) wait(ctx context.Context) bool {
	t := time.NewTimer(time.Until(l.next))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
	}
	l.next = time.Now().Add(time.Duration(float64(time.Second) / l.rate))
	return ctx.Err() == nil
}
