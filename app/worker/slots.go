package worker

import (
	"context"
	"sync"
)

// slots counts the jobs of a worker. A job has a slot from its receive on, and leaves it while it waits for memory: the
// core that it cannot use is free for a photo that needs less. There are never more than size+room jobs: new
// ones are taken only while fewer than size have a slot, and only room may be without one.
type slots struct {
	size, room int

	mu      sync.Mutex
	busy    int           // may exceed size while those who waited come back: they have their memory, so they run
	waiting int           // jobs that left their slot
	freed   chan struct{} // closed and replaced when busy shrinks
}

func newSlots(size, room int) *slots {
	return &slots{size: size, room: room, freed: make(chan struct{})}
}

// take waits for one free slot and takes up to n; 0 when ctx ended.
func (s *slots) take(ctx context.Context, n int) int {
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

// give gives n slots back.
func (s *slots) give(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy -= n
	close(s.freed)
	s.freed = make(chan struct{})
}

// leave gives a slot back until comeBack is called, which does not wait. When too many are away already the slot is
// kept: a worker must not hoard photos that others could take.
func (s *slots) leave() (comeBack func()) {
	s.mu.Lock()
	full := s.waiting >= s.room
	if !full {
		s.waiting++
	}
	s.mu.Unlock()
	if full {
		return func() {}
	}
	s.give(1)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.waiting--
		s.busy++
	}
}
