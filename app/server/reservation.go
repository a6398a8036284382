package server

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"time"
)

// unpooledSize is the number of bytes of each file that are kept outside the pool, so that a request that sends next to
// nothing reserves no block.
const unpooledSize = 4 << 10

// reservation is the memory that one request has reserved in a pool, and the bytes in it. One goroutine fills it;
// any number may read it.
type reservation struct {
	pool *pool
	size int64 // bytes stored

	mu       sync.RWMutex // guards the fields below
	unpooled []byte       // the bytes stored, until there are blocks
	blocks   []*block
	released bool

	// guarded by pool.mu
	reserved   int           // blocks
	progressed time.Time     // when the last stallBlocks of them were started
	granted    chan struct{} // closed when the block that the reservation waits for is granted; nil if it waits for none
	interrupt  func()
	evicted    bool
}

// takeBlock moves one free block from the pool to r. The caller holds pool.mu.
func (r *reservation) takeBlock() {
	r.pool.free--
	if r.reserved%stallBlocks == 0 {
		r.progressed = time.Now()
	}
	r.reserved++
}

// reserveBlock blocks until one more block is reserved. It returns errPoolExhausted after the block timeout or when
// ctx ends.
func (r *reservation) reserveBlock(ctx context.Context) error {
	r.pool.mu.Lock()
	if r.pool.free > 0 {
		r.takeBlock()
		r.pool.mu.Unlock()
		return nil
	}
	granted := make(chan struct{})
	r.granted = granted
	r.pool.relieve()
	r.pool.mu.Unlock()

	// With jitter, so that uploads that wait for each other do not all give up at the same time.
	timeout := time.NewTimer(r.pool.blockTimeout - rand.N(r.pool.blockTimeout/2))
	defer timeout.Stop()
	select {
	case <-granted:
		return nil
	case <-timeout.C:
	case <-ctx.Done():
	}
	r.pool.mu.Lock()
	defer r.pool.mu.Unlock()
	if r.granted == nil { // granted since
		return nil
	}
	r.granted = nil
	return errPoolExhausted
}

// fill appends the result of one read of src, and returns the new bytes, which stay valid until the next call.
func (r *reservation) fill(ctx context.Context, src io.Reader) ([]byte, error) {
	free, err := r.unused(ctx)
	if err != nil {
		return nil, err
	}
	n, err := src.Read(free)
	r.size += int64(n)
	return free[:n], err
}

// unused returns memory for the next bytes. It reserves a block when all memory is full.
func (r *reservation) unused(ctx context.Context) ([]byte, error) {
	if r.size < unpooledSize {
		if r.unpooled == nil {
			r.mu.Lock()
			r.unpooled = make([]byte, unpooledSize)
			r.mu.Unlock()
		}
		return r.unpooled[r.size:], nil
	}
	if r.size >= int64(len(r.blocks))*blockSize {
		if err := r.reserveBlock(ctx); err != nil {
			return nil, err
		}
		r.mu.Lock()
		r.blocks = append(r.blocks, r.pool.blocks.Get().(*block))
		copy(r.blocks[0][:], r.unpooled) // no-op unless this is the first block
		r.unpooled = nil
		r.mu.Unlock()
	}
	last := len(r.blocks) - 1
	return r.blocks[last][r.size-int64(last)*blockSize:], nil
}

// head returns the first bytes stored.
func (r *reservation) head() []byte {
	if len(r.blocks) == 0 {
		return r.unpooled[:r.size]
	}
	return r.blocks[0][:min(r.size, blockSize)]
}

// disarm prevents eviction from now on. It returns errPoolExhausted if the reservation was evicted already.
func (r *reservation) disarm() error {
	r.pool.mu.Lock()
	defer r.pool.mu.Unlock()
	r.interrupt = nil
	if r.evicted {
		return errPoolExhausted
	}
	return nil
}

// release returns all blocks to the pool. Later reads return errReleased.
func (r *reservation) release() {
	r.mu.Lock()
	for _, b := range r.blocks {
		r.pool.blocks.Put(b)
	}
	r.blocks, r.unpooled, r.released = nil, nil, true
	r.mu.Unlock()

	r.pool.mu.Lock()
	defer r.pool.mu.Unlock()
	delete(r.pool.reservations, r)
	r.interrupt = nil
	r.pool.free += r.reserved
	r.reserved = 0
	r.pool.grant()
	r.pool.returnLeases()
}

// reader returns a reader of the bytes stored so far.
func (r *reservation) reader() *io.SectionReader { return io.NewSectionReader(r, 0, r.size) }

var errReleased = errors.New("the memory of this upload was released")

// ReadAt implements io.ReaderAt. It may be called after release, since an HTTP client may still read a request body
// when the call that sent it has returned.
func (r *reservation) ReadAt(p []byte, off int64) (n int, err error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.released {
		return 0, errReleased
	}
	wanted := len(p)
	p = p[:max(0, min(int64(wanted), r.size-off))]
	if r.blocks == nil && len(p) > 0 {
		n = copy(p, r.unpooled[off:])
	}
	for n < len(p) {
		at := off + int64(n)
		n += copy(p[n:], r.blocks[at/blockSize][at%blockSize:])
	}
	if n < wanted {
		err = io.EOF
	}
	return n, err
}
