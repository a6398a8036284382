package server

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"time"
)

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
	h.room.shortage()
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
	h.room.giveBack()
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
