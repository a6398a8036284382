package worker

import (
	"context"
	"sync"
	"time"

	"imagery/app/imagery"
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

// How long an expensive photo waits for another one before its hint is sent to the end of the queue, which may happen
// any number of times. A message that was received before waits longer, because the copy would reset its receive count.
const (
	firstDeferral = 2 * time.Second
	laterDeferral = 30 * time.Second
	neverDefer    = 0 // wait until the job times out
)

// admit reserves the memory of a photo and returns the function that releases it. It admits one expensive photo at a
// time, so that small files that take much work use at most one core of a worker. A photo that waits yields its slot to
// others. An expensive one that has waited for another for the given time fails with imagery.ErrDeferred.
func (w *Worker) admit(ctx context.Context, c imagery.Cost, wait time.Duration) (release func(), err error) {
	if !c.Expensive() {
		return w.reserve(ctx, c.Memory)
	}
	if err := w.acquireExpensive(ctx, wait); err != nil {
		return nil, err
	}
	releaseMemory, err := w.reserve(ctx, c.Memory)
	if err != nil {
		<-w.expensive
		return nil, err
	}
	return func() { releaseMemory(); <-w.expensive }, nil
}

// acquireExpensive waits until no other expensive photo is in process. A receive from w.expensive lets the next one in.
func (w *Worker) acquireExpensive(ctx context.Context, wait time.Duration) error {
	select {
	case w.expensive <- struct{}{}:
		return nil
	default:
	}
	defer w.slots.yield()()
	var deferred <-chan time.Time
	if wait != neverDefer {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		deferred = timer.C
	}
	select {
	case w.expensive <- struct{}{}:
		return nil
	case <-deferred:
		return imagery.ErrDeferred
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sendAgain sends a copy of the message to the end of the queue, and reports whether the received one may be deleted.
// If the process dies in between, the image has two messages, which is harmless.
func (c *consumer) sendAgain(ctx context.Context, m *delivery) bool {
	if !c.owned(m) {
		return false
	}
	if err := c.w.Queue.Send(ctx, m.Body, m.Trace); err != nil {
		c.w.Log.Warn("could not defer an expensive photo, so it waits in this worker", "message", m.ID, "error", err)
		return false
	}
	return true
}
