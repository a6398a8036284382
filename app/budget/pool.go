package budget

import (
	"context"
	"slices"
	"sync"
	"time"
)

// MaxBypass is how long a request that waits lets others pass that may delay it.
const MaxBypass = 10 * time.Second

// Memory hands out bytes: a Pool in this process, or Leases from another one.
type Memory interface {
	// Acquire waits until n bytes are free or ctx ends; release gives them back and must be called once.
	Acquire(ctx context.Context, n int64) (release func(), err error)
	// TryAcquire is Acquire for callers that have something else to do instead of waiting; false when it would wait.
	TryAcquire(n int64) (release func(), ok bool)
}

// Pool hands out a fixed number of bytes, first come first served, but a request that fits now may pass larger ones
// that wait:
//   - without limit, as long as all that have passed leave room for the one that waits: they do not delay it;
//   - else until that one has waited for MaxBypass. So nobody starves, and memory that the one at the head cannot use
//     yet is not left idle meanwhile.
//
// Safe for concurrent use.
type Pool struct {
	size int64

	mu    sync.Mutex
	free  int64
	queue []*request // in the order of arrival
}

// request is one that waits. Guarded by Pool.mu.
type request struct {
	bytes   int64
	since   time.Time
	granted chan struct{} // closed when it has its bytes
	grant   *grant
	passing int64 // bytes held by those that passed it
}

// grant is what one request got.
type grant struct {
	bytes  int64
	passed []*request
}

// NewPool returns a pool of size bytes.
func NewPool(size int64) *Pool { return &Pool{size: size, free: size} }

// Acquire waits until n bytes are free or ctx ends; release gives them back and must be called once. A
// request above the pool's size waits for all of it: who sizes the pool makes sure that this is enough.
func (p *Pool) Acquire(ctx context.Context, n int64) (release func(), err error) {
	if release, ok := p.TryAcquire(n); ok {
		return release, nil
	}
	p.mu.Lock()
	r := &request{bytes: min(n, p.size), since: time.Now(), granted: make(chan struct{})}
	p.queue = append(p.queue, r)
	p.share() // what was taken a moment ago may be free again
	p.mu.Unlock()
	select {
	case <-r.granted:
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		if r.grant == nil {
			p.queue = slices.DeleteFunc(p.queue, func(q *request) bool { return q == r })
			p.share() // those behind it may fit
			return nil, ctx.Err()
		}
	}
	return p.releaser(r.grant), nil
}

// TryAcquire is Acquire for who has something else to do instead of waiting; false when Acquire would wait.
func (p *Pool) TryAcquire(n int64) (release func(), ok bool) {
	n = min(n, p.size)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.fits(n, p.queue) {
		return nil, false
	}
	return p.releaser(p.give(n, p.queue)), true
}

// fits reports whether n bytes may be taken now by a request that came after those who wait. The caller holds the
// lock, as for the next three.
func (p *Pool) fits(n int64, waiting []*request) bool {
	return n <= p.free && !slices.ContainsFunc(waiting, func(r *request) bool {
		return r.passing+n > p.size-r.bytes && time.Since(r.since) >= MaxBypass
	})
}

// give takes n bytes for a request that passes those who wait.
func (p *Pool) give(n int64, waiting []*request) *grant {
	p.free -= n
	for _, r := range waiting {
		r.passing += n
	}
	return &grant{n, slices.Clone(waiting)}
}

// share gives what is free to those who wait, the oldest first.
func (p *Pool) share() {
	for i := 0; i < len(p.queue); {
		r := p.queue[i]
		if !p.fits(r.bytes, p.queue[:i]) {
			i++
			continue
		}
		r.grant = p.give(r.bytes, p.queue[:i])
		close(r.granted)
		p.queue = slices.Delete(p.queue, i, i+1)
	}
}

func (p *Pool) releaser(g *grant) func() {
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.free += g.bytes
		for _, r := range g.passed {
			r.passing -= g.bytes
		}
		p.share()
	}
}
