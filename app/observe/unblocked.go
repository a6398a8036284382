package observe

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// maxQueued limits the queued output, in bytes: some thousand lines.
const maxQueued = 1 << 20

// Unblocked is an io.Writer that never blocks: a paused terminal or a reader that hangs must not stop the service. It
// queues output and drops what does not fit or cannot be written; a line with the number of dropped writes follows once
// writing works again. It is safe for concurrent use.
type Unblocked struct {
	to io.Writer

	mu      sync.Mutex
	changed *sync.Cond
	queued  []output
	size    int
	dropped int  // writes
	writing bool // a write is in progress
}

// output is one queued write.
type output struct {
	text   []byte
	writes int // dropped if it fails: 1, or the number in the note
}

// NewUnblocked returns an Unblocked that writes to the given writer from one goroutine.
func NewUnblocked(to io.Writer) *Unblocked {
	u := &Unblocked{to: to}
	u.changed = sync.NewCond(&u.mu)
	go u.run()
	return u
}

// Unwrap returns the underlying writer.
func (u *Unblocked) Unwrap() io.Writer { return u.to }

// Write implements io.Writer. It never fails.
func (u *Unblocked) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.size+len(p) > maxQueued {
		u.dropped++
		return len(p), nil
	}
	u.queued = append(u.queued, output{append([]byte(nil), p...), 1})
	u.size += len(p)
	u.changed.Broadcast()
	return len(p), nil
}

// run writes the queued output in order.
func (u *Unblocked) run() {
	for {
		u.mu.Lock()
		for len(u.queued) == 0 {
			u.changed.Wait()
		}
		next := u.queued[0]
		u.queued = u.queued[1:]
		u.writing = true
		u.mu.Unlock()

		_, err := u.to.Write(next.text)

		u.mu.Lock()
		u.writing = false
		u.size -= len(next.text)
		switch {
		case err != nil: // no reader, a full disk, or the limit of the log
			u.dropped += next.writes
		case u.dropped > 0 && u.size < maxQueued/2:
			note := fmt.Appendf(nil, "(%d lines were dropped: the output was not read, or full)\n", u.dropped)
			u.queued, u.size, u.dropped = append(u.queued, output{note, u.dropped}), u.size+len(note), 0
		}
		u.changed.Broadcast()
		u.mu.Unlock()
	}
}

// Flush waits until the queue is written, but no longer than d.
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
	for !late && (len(u.queued) > 0 || u.writing) {
		u.changed.Wait()
	}
}
