package budget

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// Pool hands out a fixed number of bytes, first come first served, so that a large request is not starved by
// small ones. Safe for concurrent use.
type Pool struct {
	sem  *semaphore.Weighted
	size int64
}

// NewPool returns a pool of size bytes.
func NewPool(size int64) *Pool { return &Pool{semaphore.NewWeighted(size), size} }

// Acquire waits until n bytes are free or ctx ends; release gives them back and must be called once. A
// request above the pool's size waits for all of it: who sizes the pool makes sure that this is enough.
func (p *Pool) Acquire(ctx context.Context, n int64) (release func(), err error) {
	n = min(n, p.size)
	if err := p.sem.Acquire(ctx, n); err != nil {
		return nil, err
	}
	return func() { p.sem.Release(n) }, nil
}
