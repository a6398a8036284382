package worker

import (
	"context"
	"sync"
)

// slots limits the jobs of a worker. A job has a slot from its receive on, but yields it while it waits for memory, so
// that its core can process a photo that needs less. At most size jobs have a slot when a new one starts, and at most
// maxWaiting have yielded theirs, so a worker never has more than size+maxWaiting jobs.
type slots struct {
	size, maxWaiting int

	mu      sync.Mutex
	busy    int           // may exceed size after resume: a job that has its memory continues at once
	waiting int           // jobs that have yielded their slot
	freed   chan struct{} // closed and replaced when busy shrinks
}

func newSlots(size, maxWaiting int) *slots {
	return &slots{size: size, maxWaiting: maxWaiting, freed: make(chan struct{})}
}

// acquire waits until at least one slot is free and takes up to n. It returns how many it took, 0 when ctx has ended.
func (s *slots) acquire(ctx context.Context, n int) int {
	for ctx.Err() == nil {
		s.mu.Lock()
		freed := s.freed
		if taken := min(n, s.size-s.busy); taken > 0 {
			s.busy += taken
			s.mu.Unlock()
			return taken
		}
		s.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-freed:
		}
	}
	return 0
}

// release frees n slots.
func (s *slots) release(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy -= n
	close(s.freed)
	s.freed = make(chan struct{})
}

// yield frees a slot until resume is called, which does not block. If maxWaiting jobs have yielded already it does
// nothing: a worker must not collect photos that other workers could process.
func (s *slots) yield() (resume func()) {
	s.mu.Lock()
	full := s.waiting >= s.maxWaiting
	if !full {
		s.waiting++
	}
	s.mu.Unlock()
	if full {
		return func() {}
	}
	s.release(1)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.waiting--
		s.busy++
	}
}
