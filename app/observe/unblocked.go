package observe

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// mostWaiting bounds the output that waits to be written, in bytes: some thousand lines.
const mostWaiting = 1 << 20

// Unblocked passes output on without making its writers wait: a paused terminal, or a reader that hangs, must not stop
// the service. What does not fit is dropped, and a line says how much. It is safe for concurrent use.
type Unblocked struct {
	to io.Writer

	mu      sync.Mutex
	changed *sync.Cond
	waiting [][]byte
	size    int
	dropped int  // writes
	writing bool // one is under way
}

// NewUnblocked returns a writer to to, which it uses from one goroutine.
func NewUnblocked(to io.Writer) *Unblocked {
	u := &Unblocked{to: to}
	u.changed = sync.NewCond(&u.mu)
	go u.run()
	return u
}

// Write implements io.Writer. It never fails.
func (u *Unblocked) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.size+len(p) > mostWaiting {
		u.dropped++
		return len(p), nil
	}
	u.waiting = append(u.waiting, append([]byte(nil), p...))
	u.size += len(p)
	u.changed.Broadcast()
	return len(p), nil
}

// run writes what waits, in order.
func (u *Unblocked) run() {
	for {
		u.mu.Lock()
		for len(u.waiting) == 0 {
			u.changed.Wait()
		}
		next := u.waiting[0]
		u.waiting = u.waiting[1:]
		u.writing = true
		u.mu.Unlock()

		_, _ = u.to.Write(next) // without a reader it is lost

		u.mu.Lock()
		u.writing = false
		u.size -= len(next)
		if u.dropped > 0 && u.size < mostWaiting/2 {
			note := fmt.Appendf(nil, "(%d lines were left out: the output was not read)\n", u.dropped)
			u.waiting, u.size, u.dropped = append(u.waiting, note), u.size+len(note), 0
		}
		u.changed.Broadcast()
		u.mu.Unlock()
	}
}

// Flush waits until everything is written, but no longer than d.
func (u *Unblocked) Flush(d time.Duration) {
	late := false
	timer := time.AfterFunc(d, func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		late = true
		u.changed.Broadcast()
	})
	defer timer.Stop()
	u.mu.Lock()
	defer u.mu.Unlock()
	for !late && (len(u.waiting) > 0 || u.writing) {
		u.changed.Wait()
	}
}
