package server

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// chunkSize is the step in which room is taken, in bytes: small enough that a client which sends little holds
	// little, large enough that a full upload takes 320 steps.
	chunkSize = 64 << 10
	// stallChunks is how many chunks an upload has to fill within the stall time when room is short: 256 KiB.
	stallChunks = 4
	// headSize is how much of a file is taken without room, so that requests which send next to nothing take none.
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

	mu    sync.Mutex
	free  int // chunks; while there are some, nobody waits
	holds map[*hold]struct{}
}

func newRoom(budget int64, step, stall time.Duration) *room {
	return &room{step: step, stall: stall, free: int(budget / chunkSize), holds: map[*hold]struct{}{},
		chunks: sync.Pool{New: func() any { return new(chunk) }}}
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

// hold is the part of the room that one request has. One goroutine fills it; readers may be others.
type hold struct {
	room *room
	size int64 // bytes kept

	mu     sync.RWMutex // guards what follows
	small  []byte       // headSize bytes, until there are chunks
	chunks []*chunk
	left   bool

	// guarded by room.mu
	taken     int           // chunks of room
	stepped   time.Time     // when the last stallChunks of them were begun
	waits     chan struct{} // closed when the hold gets the chunk that it waits for; else nil
	interrupt func()
	evicted   bool
}

// step takes a free chunk. The caller holds the room's lock.
func (h *hold) step() {
	h.room.free--
	if h.taken%stallChunks == 0 {
		h.stepped = time.Now()
	}
	h.taken++
}

// grow takes room for one more chunk.
func (h *hold) grow(ctx context.Context) error {
	h.room.mu.Lock()
	if h.room.free > 0 {
		h.step()
		h.room.mu.Unlock()
		return nil
	}
	granted := make(chan struct{})
	h.waits = granted
	h.room.evictSlowest()
	h.room.mu.Unlock()

	// Not the same time for all, or uploads that wait for each other would give up all at once.
	patience := time.NewTimer(h.room.step - rand.N(h.room.step/2))
	defer patience.Stop()
	select {
	case <-granted:
		return nil
	case <-patience.C:
	case <-ctx.Done():
	}
	h.room.mu.Lock()
	defer h.room.mu.Unlock()
	if h.waits == nil { // granted just now
		return nil
	}
	h.waits = nil
	return errNoRoom
}

// fill appends one read of r; the bytes are returned until the next call.
func (h *hold) fill(ctx context.Context, r io.Reader) ([]byte, error) {
	if h.size < headSize {
		return h.fillHead(r)
	}
	if h.size >= int64(len(h.chunks))*chunkSize {
		if err := h.grow(ctx); err != nil {
			return nil, err
		}
		h.mu.Lock()
		h.chunks = append(h.chunks, h.room.chunks.Get().(*chunk))
		copy(h.chunks[0][:], h.small) // when it is the first
		h.small = nil
		h.mu.Unlock()
	}
	last := len(h.chunks) - 1
	free := h.chunks[last][h.size-int64(last)*chunkSize:]
	n, err := r.Read(free)
	h.size += int64(n)
	return free[:n], err
}

// fillHead is fill for the first headSize bytes.
func (h *hold) fillHead(r io.Reader) ([]byte, error) {
	if h.small == nil {
		h.mu.Lock()
		h.small = make([]byte, headSize)
		h.mu.Unlock()
	}
	free := h.small[h.size:]
	n, err := r.Read(free)
	h.size += int64(n)
	return free[:n], err
}

// head returns the first bytes of those kept.
func (h *hold) head() []byte {
	if len(h.chunks) == 0 {
		return h.small[:min(h.size, headBytes)]
	}
	return h.chunks[0][:min(h.size, headBytes)]
}

// settle ends the time in which the hold may be evicted; errNoRoom if it was.
func (h *hold) settle() error {
	h.room.mu.Lock()
	defer h.room.mu.Unlock()
	h.interrupt = nil
	if h.evicted {
		return errNoRoom
	}
	return nil
}

// leave gives all room back. Reads of the bytes fail from then on.
func (h *hold) leave() {
	h.mu.Lock()
	for _, c := range h.chunks {
		h.room.chunks.Put(c)
	}
	h.chunks, h.small, h.left = nil, nil, true
	h.mu.Unlock()

	h.room.mu.Lock()
	defer h.room.mu.Unlock()
	delete(h.room.holds, h)
	h.interrupt = nil
	h.room.free += h.taken
	h.taken = 0
	h.room.share()
}

// reader reads the bytes kept so far.
func (h *hold) reader() *io.SectionReader { return io.NewSectionReader(h, 0, h.size) }

var errLeft = errors.New("the bytes of this upload were given back")

// ReadAt implements io.ReaderAt. It is safe after leave: an HTTP client may still read a request body when the
// call that sent it has returned.
func (h *hold) ReadAt(p []byte, off int64) (n int, err error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.left {
		return 0, errLeft
	}
	wanted := len(p)
	p = p[:max(0, min(int64(wanted), h.size-off))]
	if h.chunks == nil && len(p) > 0 {
		n = copy(p, h.small[off:])
	}
	for n < len(p) {
		at := off + int64(n)
		n += copy(p[n:], h.chunks[at/chunkSize][at%chunkSize:])
	}
	if n < wanted {
		err = io.EOF
	}
	return n, err
}
