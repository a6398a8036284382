package observe

import (
	"bytes"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// Limits of the queued output.
const (
	maxQueued = 1 << 20 // bytes
	maxWrites = 4096
)

// Unblocked is an io.Writer that never blocks: a paused terminal or a reader that hangs must not stop the service. It
// queues output and drops what does not fit or cannot be written; a line with the number of dropped writes follows once
// the queue is written. It is safe for concurrent use.
type Unblocked struct {
	to      io.Writer
	queue   chan []byte
	size    atomic.Int64 // bytes that are queued or being written
	dropped atomic.Int64 // writes
}

// NewUnblocked returns an Unblocked that writes to the given writer from one goroutine.
func NewUnblocked(to io.Writer) *Unblocked {
	u := &Unblocked{to: to, queue: make(chan []byte, maxWrites)}
	go u.run()
	return u
}

// Unwrap returns the underlying writer.
func (u *Unblocked) Unwrap() io.Writer { return u.to }

// Write implements io.Writer. It never fails.
func (u *Unblocked) Write(p []byte) (int, error) {
	if u.size.Add(int64(len(p))) <= maxQueued {
		select {
		case u.queue <- bytes.Clone(p):
			return len(p), nil
		default:
		}
	}
	u.size.Add(-int64(len(p)))
	u.dropped.Add(1)
	return len(p), nil
}

// run writes the queued output in order.
func (u *Unblocked) run() {
	for text := range u.queue {
		_, err := u.to.Write(text)
		if err != nil { // no reader, a full disk, or the limit of the log
			u.dropped.Add(1)
		} else if n := u.dropped.Load(); n > 0 && len(u.queue) == 0 {
			_, err = fmt.Fprintf(u.to, "(%d lines were dropped: the output was not read, or full)\n", n)
			if err == nil {
				u.dropped.Add(-n)
			}
		}
		u.size.Add(-int64(len(text)))
	}
}

// Flush waits until the queue is written, but no longer than d.
func (u *Unblocked) Flush(d time.Duration) {
	for end := time.Now().Add(d); u.size.Load() > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}
