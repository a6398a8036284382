package server

import (
	"context"
	"sync"
	"time"
)

const (
	// blockSize is the unit of memory that a request reserves, in bytes: small, so that a client that sends little
	// occupies little. An upload of maximum size needs 320 blocks.
	blockSize = 64 << 10
	// stallBlocks is the number of blocks that an upload has to fill within the stall timeout while the pool is
	// exhausted: 256 KiB.
	stallBlocks = 4
	// leaseSize is the number of bytes that a pool leases at a time from Options.Memory.
	leaseSize = 1 << 20
)

type block [blockSize]byte

// pool limits the memory used by request bodies in flight. A request reserves one block at a time as its body
// arrives, because its final size is not known in advance, so all uploads together may need more than there is.
// Three rules prevent deadlock when the pool is exhausted:
//   - A request that cannot get a block in time releases its whole reservation.
//   - The waiting request that already holds the most is served first, so that at least one upload completes.
//   - An upload that has not filled stallBlocks within the stall timeout is evicted. Otherwise a few dozen clients
//     that send almost nothing would block all others for as long as an upload may take.
type pool struct {
	blockTimeout, stallTimeout time.Duration

	blocks sync.Pool // of *block
	memory Memory    // from which blocks are leased; nil if the pool has a fixed size

	mu           sync.Mutex
	free         int // blocks; no reservation waits while this is positive
	reservations map[*reservation]struct{}
	leases       []func() // each returns leaseSize bytes to memory
	leasing      bool     // leaseMore is running
}

func newPool(budget int64, memory Memory, blockTimeout, stallTimeout time.Duration) *pool {
	p := &pool{blockTimeout: blockTimeout, stallTimeout: stallTimeout, memory: memory,
		reservations: map[*reservation]struct{}{},
		blocks:       sync.Pool{New: func() any { return new(block) }}}
	if memory == nil {
		p.free = int(budget / blockSize)
	}
	return p
}

// newReservation returns an empty reservation, which the caller must release. interrupt, if not nil, makes a
// blocked read of the request body fail; it is called at most once, and not after disarm or release.
func (p *pool) newReservation(interrupt func()) *reservation {
	r := &reservation{pool: p, progressed: time.Now(), interrupt: interrupt}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reservations[r] = struct{}{}
	return r
}

// grant gives free blocks to waiting reservations. The caller holds p.mu.
func (p *pool) grant() {
	for p.free > 0 {
		r := p.nextWaiting()
		if r == nil {
			return
		}
		close(r.granted)
		r.granted = nil
		r.takeBlock()
	}
}

// nextWaiting returns the largest reservation that waits for a block, nil if none waits. The caller holds p.mu.
func (p *pool) nextWaiting() (largest *reservation) {
	for r := range p.reservations {
		if r.granted != nil && (largest == nil || r.reserved > largest.reserved) {
			largest = r
		}
	}
	return largest
}

// relieve leases more memory or, if the pool has a fixed size, evicts a stalled upload. It is called when a
// reservation has to wait. The caller holds p.mu.
func (p *pool) relieve() {
	if p.memory == nil {
		p.evictSlowest()
		return
	}
	if !p.leasing {
		p.leasing = true
		go p.leaseMore()
	}
}

// leaseMore leases memory until no reservation waits. While none can be had at once it evicts stalled uploads.
func (p *pool) leaseMore() {
	for more := true; more; {
		release, ok := p.memory.TryAcquire(leaseSize)
		if !ok {
			p.mu.Lock()
			p.evictSlowest()
			p.mu.Unlock()
			ctx, cancel := context.WithTimeout(context.Background(), p.blockTimeout)
			var err error
			release, err = p.memory.Acquire(ctx, leaseSize)
			cancel()
			ok = err == nil
		}
		p.mu.Lock()
		if ok {
			p.leases = append(p.leases, release)
			p.free += leaseSize / blockSize
			p.grant()
		}
		more = p.nextWaiting() != nil
		p.leasing = more
		p.mu.Unlock()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.returnLeases() // reservations may have been released meanwhile
}

// returnLeases returns unused leases. One spare lease is kept as long as there are reservations. The caller holds
// p.mu.
func (p *pool) returnLeases() {
	const size = leaseSize / blockSize
	for len(p.leases) > 0 && (p.free >= 2*size || p.free >= size && len(p.reservations) == 0) {
		last := len(p.leases) - 1
		go p.leases[last]() // a release may run the garbage collector first
		p.leases = p.leases[:last]
		p.free -= size
	}
}

// evictSlowest interrupts the upload that has made no progress for longest, if that exceeds the stall timeout. An
// upload that waits for a block is not stalled, and evicting one without blocks would free nothing. The caller holds
// p.mu.
func (p *pool) evictSlowest() {
	var slowest *reservation
	for r := range p.reservations {
		stalled := r.interrupt != nil && r.granted == nil && r.reserved > 0 && time.Since(r.progressed) > p.stallTimeout
		if stalled && (slowest == nil || r.progressed.Before(slowest.progressed)) {
			slowest = r
		}
	}
	if slowest != nil {
		slowest.interrupt()
		slowest.interrupt, slowest.evicted = nil, true
	}
}
