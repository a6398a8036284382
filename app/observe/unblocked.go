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
// the service. What does not fit or cannot be written is dropped, and a line says how much once writing works again. It
// is safe for concurrent use.
type Unblocked struct {
	to io.Writer

	mu      sync.Mutex
	changed *sync.Cond
	waiting []output
	size    int
	dropped int  // writes
	writing bool // one is under way
}

// output is a piece of output that waits to be written.
type output struct {
	text   []byte
	writes int // lost with it: 1, or as many as a note tells of
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
	u.waiting = append(u.waiting, output{append([]byte(nil), p...), 1})
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

		_, err := u.to.Write(next.text)

		u.mu.Lock()
		u.writing = false
		u.size -= len(next.text)
		switch {
		case err != nil: // no reader, a full disk, or the limit of the log
			u.dropped += next.writes
		case u.dropped > 0 && u.size < mostWaiting/2:
			note := fmt.Appendf(nil, "(%d lines were left out: the output was not read, or full)\n", u.dropped)
			u.waiting, u.size, u.dropped = append(u.waiting, output{note, u.dropped}), u.size+len(note), 0
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
