package imagery

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
	Timeout      time.Duration // of the pings, which run at the same time

	mu    sync.Mutex
	until time.Time
	last  error
}

// healthTTL sets how long the result of a check is reused.
const healthTTL = 2 * time.Second

// UnavailableError is returned by Health.Check when dependencies fail, or do not respond in time.
type UnavailableError struct {
	Names  []string
	Causes error
}

// Error implements error.
func (e *UnavailableError) Error() string {
	return strings.Join(e.Names, ", ") + " unavailable: " + e.Causes.Error()
}

// Check pings all dependencies, unless there is a cached result. When ctx ends, its result is not cached, because it
// says nothing about the dependencies.
func (h *Health) Check(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Now().Before(h.until) {
		return h.last
	}
	err := h.ping(ctx)
	if ctx.Err() == nil {
		h.last, h.until = err, time.Now().Add(healthTTL)
	}
	return err
}

// ping does not wait for pings that ignore the end of ctx.
func (h *Health) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	results := make([]chan error, len(h.Dependencies))
	for i, d := range h.Dependencies {
		results[i] = make(chan error, 1)
		go func() { results[i] <- d.Ping(ctx) }()
	}
	down := &UnavailableError{}
	for i, d := range h.Dependencies {
		var err error
		select {
		case err = <-results[i]:
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err != nil {
			down.Names = append(down.Names, d.Name)
			down.Causes = errors.Join(down.Causes, fmt.Errorf("ping %s: %w", d.Name, err))
		}
	}
	if down.Names == nil {
		return nil
	}
	return down
}
