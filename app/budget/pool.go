// Package budget determines how much memory the processes of this machine may use, and shares it between them.
package budget

import (
	"context"
	"math"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// MaxBypass limits how long a waiting request can be delayed by smaller ones that are served before it.
const MaxBypass = 10 * time.Second

// Memory hands out bytes of a budget: a Pool in this process, or Leases from another one.
type Memory interface {
	// Acquire blocks until n bytes are free or ctx ends. release returns them and must be called once.
	Acquire(ctx context.Context, n int64) (release func(), err error)
	// TryAcquire is Acquire without blocking; ok is false if Acquire would block.
	TryAcquire(n int64) (release func(), ok bool)
}

// Pool hands out a fixed number of bytes, first come first served. A request that fits may bypass larger ones that
// wait:
//   - without limit, as long as all requests that bypassed a waiting one leave enough for it: they do not delay it;
//   - otherwise until the waiting one has waited for MaxBypass. This prevents starvation, and meanwhile does not leave
//     idle what is too small for the first in the queue.
//
// Safe for concurrent use.
type Pool struct {
	size int64

	mu    sync.Mutex
	free  int64
	queue []*request // in order of arrival
}

// request waits for bytes. Guarded by Pool.mu.
type request struct {
	bytes    int64
	since    time.Time
	granted  chan struct{} // closed when grant is set
	grant    *grant
	bypassed int64 // bytes held by requests that bypassed this one
}

// grant is the bytes that one request got, and the requests that it bypassed.
type grant struct {
	bytes    int64
	bypassed []*request
}

// NewPool returns a pool of size bytes.
func NewPool(size int64) *Pool { return &Pool{size: size, free: size} }

// Acquire implements Memory. A request for more than the pool's size gets the whole pool; callers size the pool so
// that this is enough.
func (p *Pool) Acquire(ctx context.Context, n int64) (release func(), err error) {
	if release, ok := p.TryAcquire(n); ok {
		return release, nil
	}
	p.mu.Lock()
	r := &request{bytes: min(n, p.size), since: time.Now(), granted: make(chan struct{})}
	p.queue = append(p.queue, r)
	p.grantFree() // bytes may have been released since TryAcquire
	p.mu.Unlock()
	select {
	case <-r.granted:
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		if r.grant == nil {
			p.queue = slices.DeleteFunc(p.queue, func(q *request) bool { return q == r })
			p.grantFree() // requests behind r may fit now
			return nil, ctx.Err()
		}
	}
	return p.releaser(r.grant), nil
}

// TryAcquire implements Memory.
func (p *Pool) TryAcquire(n int64) (release func(), ok bool) {
	n = min(n, p.size)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.fits(n, p.queue) {
		return nil, false
	}
	return p.releaser(p.take(n, p.queue)), true
}

// fits reports whether a request for n bytes may bypass those that wait. The caller holds p.mu.
func (p *Pool) fits(n int64, waiting []*request) bool {
	return n <= p.free && !slices.ContainsFunc(waiting, func(r *request) bool {
		return r.bypassed+n > p.size-r.bytes && time.Since(r.since) >= MaxBypass
	})
}

// take takes n bytes for a request that bypasses those that wait. The caller holds p.mu.
func (p *Pool) take(n int64, waiting []*request) *grant {
	p.free -= n
	for _, r := range waiting {
		r.bypassed += n
	}
	return &grant{n, slices.Clone(waiting)}
}

// grantFree grants free bytes to waiting requests, oldest first. The caller holds p.mu.
func (p *Pool) grantFree() {
	for i := 0; i < len(p.queue); {
		r := p.queue[i]
		if !p.fits(r.bytes, p.queue[:i]) {
			i++
			continue
		}
		r.grant = p.take(r.bytes, p.queue[:i])
		close(r.granted)
		p.queue = slices.Delete(p.queue, i, i+1)
	}
}

func (p *Pool) releaser(g *grant) func() {
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.free += g.bytes
		for _, r := range g.bypassed {
			r.bypassed -= g.bytes
		}
		p.grantFree()
	}
}

// percent of the smallest limit is the budget. The rest is for memory that is not accounted for: the kernel's socket
// buffers, page cache, and other programs of the machine.
const percent = 60

// Measured returns the memory budget of all processes of this machine in bytes: 60 % of the smallest of GOMEMLIMIT,
// the cgroup's limit and the machine's RAM. It returns 0 if none of them can be read.
func Measured() int64 {
	smallest := uint64(math.MaxInt64)
	if v := debug.SetMemoryLimit(-1); v < math.MaxInt64 {
		smallest = uint64(v)
	}
	for _, provider := range []memlimit.Provider{memlimit.FromCgroup, memlimit.FromSystem} {
		if v, err := provider(); err == nil && v > 0 {
			smallest = min(smallest, v)
		}
	}
	if smallest == math.MaxInt64 {
		return 0
	}
	return int64(smallest) / 100 * percent
}
