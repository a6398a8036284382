package memory

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"imagery/app/imagery"
)

// Queue is an imagery.Queue with the semantics of SQS. Use NewQueue to create it.
type Queue struct {
	limits imagery.Limits
	dead   *Queue // nil for the dead-letter queue itself

	mu       sync.Mutex
	messages []*stored
	serial   int
	changed  chan struct{} // closed and replaced when something may have become visible
	Sends    int           // messages sent
	Receipts int           // deliveries made
}

type stored struct {
	imagery.Message
	visible time.Time
}

// NewQueue returns a queue and its dead-letter queue.
func NewQueue(limits imagery.Limits) (queue, deadLetters *Queue) {
	deadLetters = &Queue{limits: imagery.Limits{Visibility: limits.Visibility}, changed: make(chan struct{})}
	return &Queue{limits: limits, dead: deadLetters, changed: make(chan struct{})}, deadLetters
}

// Send implements imagery.Queue.
func (q *Queue) Send(_ context.Context, body []byte, trace string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.serial++
	q.Sends++
	id := fmt.Sprintf("m%d", q.serial)
	q.push(&stored{Message: imagery.Message{ID: id, Body: body, Sent: time.Now(), Trace: trace}})
	return nil
}

// push appends messages and wakes the receivers. The caller must hold the lock.
func (q *Queue) push(ms ...*stored) {
	q.messages = append(q.messages, ms...)
	close(q.changed)
	q.changed = make(chan struct{})
}

// Receive implements imagery.Queue.
func (q *Queue) Receive(ctx context.Context, max int, wait time.Duration) ([]imagery.Message, error) {
	deadline := time.Now().Add(wait)
	for {
		got, next, changed := q.take(max)
		left := time.Until(deadline)
		if len(got) > 0 || left <= 0 || ctx.Err() != nil {
			return got, nil
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-time.After(min(left, next)):
		}
	}
}

// take receives visible messages. It also returns the time until the next one becomes visible.
func (q *Queue) take(max int) (got []imagery.Message, next time.Duration, changed <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	next = time.Hour
	now := time.Now()
	for _, m := range slices.Clone(q.messages) {
		wait := m.visible.Sub(now)
		switch {
		case len(got) == max:
			return got, next, q.changed
		case wait > 0:
			next = min(next, wait)
			continue
		case q.dead != nil && q.limits.MaxReceives > 0 && m.Receives >= q.limits.MaxReceives:
			q.messages = slices.DeleteFunc(q.messages, func(o *stored) bool { return o == m })
			m.visible = time.Time{}
			q.dead.mu.Lock()
			q.dead.push(m)
			q.dead.mu.Unlock()
			continue
		}
		q.serial++
		q.Receipts++
		m.Receives++
		m.Receipt = fmt.Sprintf("r%d", q.serial)
		m.visible = now.Add(q.limits.Visibility)
		got = append(got, m.Message)
	}
	return got, next, q.changed
}

// Extend implements imagery.Queue.
func (q *Queue) Extend(_ context.Context, d time.Duration, ms ...imagery.Message) (lost []imagery.Message, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range ms {
		if i := q.find(m); i >= 0 {
			q.messages[i].visible = time.Now().Add(d)
		} else {
			lost = append(lost, m)
		}
	}
	q.push() // some may have become visible
	return lost, nil
}

// Delete implements imagery.Queue.
func (q *Queue) Delete(_ context.Context, ms ...imagery.Message) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range ms {
		if i := q.find(m); i >= 0 {
			q.messages = slices.Delete(q.messages, i, i+1)
		}
	}
	return nil
}

// find returns the index of a message that is in flight with that receipt, or -1.
func (q *Queue) find(m imagery.Message) int {
	return slices.IndexFunc(q.messages, func(s *stored) bool {
		return s.Receipt == m.Receipt && s.visible.After(time.Now())
	})
}

// Limits implements imagery.Queue.
func (q *Queue) Limits(context.Context) (imagery.Limits, error) { return q.limits, nil }

// Len returns the number of messages, visible or not.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.messages)
}

// Purge deletes all messages.
func (q *Queue) Purge() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.messages = nil
}

var _ imagery.Queue = (*Queue)(nil)
