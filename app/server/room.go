package server

import (
	"context"
	"sync"
	"time"
)

const (
	// chunkSize is the step in which room is taken, in bytes: small enough that a client which sends little holds
	// little, large enough that a full upload takes 320 steps.
	chunkSize = 64 << 10
	// stallChunks are the chunks that an upload has to fill within the stall time when room is short: 256 KiB.
	stallChunks = 4
	// headSize bounds the bytes of a file that are taken without room: a request that sends next to nothing takes none.
	headSize = 4 << 10
	// headBytes is the most that sniffing is shown.
	headBytes = 512
)

type chunk [chunkSize]byte

// room is the memory that requests in flight share. It is taken chunk by chunk as bytes arrive, so nobody
// knows beforehand who will need how much, and uploads may together need more than there is. Therefore:
//   - Whoever gets no chunk in time gives all of his back.
//   - Who holds most is served first, so that of many that do not fit one always comes to its end.
//   - When room is short, an upload that has not filled stallChunks for the stall time loses its room. Else a few
//     dozen clients that send almost nothing would keep all others away for a minute.
type room struct {
	step, stall time.Duration
	chunks      sync.Pool // of *chunk

	memory Memory // where room is leased; nil when the room has a fixed size

	mu     sync.Mutex
	free   int // chunks; while there are some, no hold waits
	holds  map[*hold]struct{}
	leases []func() // give leaseSize bytes back each
	asking bool     // for one more lease
}

func newRoom(budget int64, memory Memory, step, stall time.Duration) *room {
	r := &room{step: step, stall: stall, memory: memory, holds: map[*hold]struct{}{},
		chunks: sync.Pool{New: func() any { return new(chunk) }}}
	if memory == nil {
		r.free = int(budget / chunkSize)
	}
	return r
}

// enter begins a hold without any room. interrupt, if not nil, makes a blocked read of the request fail; it
// is called at most once, and not after settle or leave.
func (r *room) enter(interrupt func()) *hold {
	h := &hold{room: r, stepped: time.Now(), interrupt: interrupt}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.holds[h] = struct{}{}
	return h
}

// share gives what is free to those who wait for it. The caller holds the lock, as for the next two.
func (r *room) share() {
	for r.free > 0 {
		h := r.first(func(h, than *hold) bool { return h.taken > than.taken }, func(h *hold) bool { return h.waits != nil })
		if h == nil {
			return
		}
		close(h.waits)
		h.waits = nil
		h.step()
	}
}

// leaseSize is the step in which a room leases memory that it shares with other processes.
const leaseSize = 1 << 20

// shortage does what can be done when a hold waits for room: lease more, or make a stalled upload give its room up. The
// caller holds the lock.
func (r *room) shortage() {
	if r.memory == nil {
		r.evictSlowest()
		return
	}
	if r.asking {
		return
	}
	r.asking = true
	go r.ask()
}

// ask leases memory as long as a hold waits for room and there is some.
func (r *room) ask() {
	for more := true; more; {
		release, ok := r.memory.TryAcquire(leaseSize)
		if !ok {
			r.mu.Lock()
			r.evictSlowest()
			r.mu.Unlock()
			ctx, cancel := context.WithTimeout(context.Background(), r.step)
			var err error
			release, err = r.memory.Acquire(ctx, leaseSize)
			cancel()
			ok = err == nil
		}
		r.mu.Lock()
		if ok {
			r.leases = append(r.leases, release)
			r.free += leaseSize / chunkSize
			r.share()
		}
		more = r.first(func(_, _ *hold) bool { return false }, func(h *hold) bool { return h.waits != nil }) != nil
		r.asking = more
		r.mu.Unlock()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.giveBack() // the holds may have left meanwhile
}

// giveBack ends the leases that no hold needs: all but one spare, and that one too when there is no hold. The caller
// holds the lock.
func (r *room) giveBack() {
	const size = leaseSize / chunkSize
	for len(r.leases) > 0 && (r.free >= 2*size || r.free >= size && len(r.holds) == 0) {
		last := len(r.leases) - 1
		go r.leases[last]() // it may collect garbage first
		r.leases = r.leases[:last]
		r.free -= size
	}
}

// evictSlowest interrupts the upload that made its last step of stallChunks longest ago, if that is longer than the
// stall time. An upload that waits for room is not slow, and one without room has nothing to give.
func (r *room) evictSlowest() {
	h := r.first(func(h, than *hold) bool { return h.stepped.Before(than.stepped) },
		func(h *hold) bool {
			return h.interrupt != nil && h.waits == nil && h.taken > 0 && time.Since(h.stepped) > r.stall
		})
	if h != nil {
		h.interrupt()
		h.interrupt, h.evicted = nil, true
	}
}

// first finds the hold that comes before all others of those that are meant.
func (r *room) first(before func(h, than *hold) bool, meant func(*hold) bool) (best *hold) {
	for h := range r.holds {
		if meant(h) && (best == nil || before(h, best)) {
			best = h
		}
	}
	return best
}
