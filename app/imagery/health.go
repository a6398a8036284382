package imagery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Dependency is a service without which a process cannot work.
type Dependency struct {
	Name string
	Ping func(context.Context) error
}

// Health pings dependencies. It caches the result for a moment, so that frequent checks do not load them.
type Health struct {
	Dependencies []Dependency
	Timeout      time.Duration // of one check; the pings run concurrently

	mu    sync.Mutex
	until time.Time // when the result below expires
	down  []string
	err   error
}

// healthTTL sets how long the result of a check is reused.
const healthTTL = 2 * time.Second

// Check pings all dependencies, unless there is a cached result. It returns the names of those that fail or do not
// respond in time, and their errors, joined. A result after the end of ctx says nothing about them and is not cached.
func (h *Health) Check(ctx context.Context) (down []string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Now().Before(h.until) {
		return h.down, h.err
	}
	down, err = h.ping(ctx)
	if ctx.Err() == nil {
		h.down, h.err, h.until = down, err, time.Now().Add(healthTTL)
	}
	return down, err
}

// ping pings all dependencies within Timeout. It does not wait for a ping that ignores the end of ctx.
func (h *Health) ping(ctx context.Context) (down []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	results := make([]chan error, len(h.Dependencies))
	for i, d := range h.Dependencies {
		results[i] = make(chan error, 1)
		go func() { results[i] <- d.Ping(ctx) }()
	}
	for i, d := range h.Dependencies {
		var result error
		select {
		case result = <-results[i]:
		case <-ctx.Done():
			result = ctx.Err()
		}
		if result != nil {
			down = append(down, d.Name)
			err = errors.Join(err, fmt.Errorf("ping %s: %w", d.Name, result))
		}
	}
	return down, err
}
