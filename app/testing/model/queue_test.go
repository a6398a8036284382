package model

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"imagery/app/imagery"
)

// queue implements imagery.Queue: at least once, in any order. The scheduler duplicates, delays and loses its messages.
type queue struct {
	*world
	name        string
	dead        *queue // nil for the dead letters themselves
	maxReceives int
	skew        time.Duration // of the clock that stamps the messages
	messages    []*message
	serial      int
}

// message is a stored message, with facts that only the model knows.
type message struct {
	imagery.Message
	hint    imagery.Hint // empty if the body is none
	sent    time.Time    // by the world's clock
	visible time.Time    // when it can be received next
}

// delivery is one receive of a message. The worker owns it until its visibility timeout ends.
type delivery struct {
	message *message
	receipt string
	kept    time.Time // start of the last receive or extension that succeeded
	lost    bool      // an extension said so
}

// own reports whether the worker may assume that no other worker has received the message.
func (d *delivery) own(now time.Time) bool { return !d.lost && now.Sub(d.kept) < visibility }

// push adds a message.
func (q *queue) push(body []byte, trace string) *message {
	q.serial++
	m := &message{Message: imagery.Message{ID: fmt.Sprint("m", q.serial), Body: body, Sent: q.now.Add(q.skew),
		Trace: trace}, sent: q.now}
	m.hint, _ = imagery.ParseHint(body)
	q.messages = append(q.messages, m)
	return m
}

func (q *queue) Send(_ context.Context, body []byte, trace string) error {
	op := q.running.op
	return q.do(call{service: queueing, what: "send", subject: string(body), outcomes: writeOutcomes,
		effect: func() error {
			m := q.push(body, trace)
			op.sent = append(op.sent, m.hint)
			return nil
		}})
}

// waiting lists the messages that can be received now.
func (q *queue) waiting() []*message {
	var ms []*message
	for _, m := range q.messages {
		if !m.visible.After(q.now) {
			ms = append(ms, m)
		}
	}
	return ms
}

func (q *queue) Receive(_ context.Context, limit int, _ time.Duration) (got []imagery.Message, err error) {
	op := q.running.op
	err = q.do(call{service: queueing, what: "receive from", subject: q.name, outcomes: []outcome{refused, lost, repeated},
		effect: func() error {
			got = nil
			waiting := q.waiting()
			for len(waiting) > 0 && len(got) < limit {
				i := q.src.intn(len(waiting))
				m := waiting[i]
				waiting = slices.Delete(waiting, i, i+1)
				if q.dead != nil && m.Receives >= q.maxReceives {
					q.moveToDeadLetters(m)
					continue
				}
				got = append(got, q.deliver(m, op))
			}
			return nil
		}})
	return got, err
}

// deliver delivers a message once more.
func (q *queue) deliver(m *message, op *operation) imagery.Message {
	q.serial++
	m.Receives++
	m.Receipt = "r" + strconv.Itoa(q.serial)
	m.visible = q.now.Add(visibility)
	op.received = append(op.received, &delivery{message: m, receipt: m.Receipt, kept: q.now})
	seen := m.Message
	if q.dead != nil && seen.Receives > 1 && q.src.chance(q.cfg.faults, 1024) {
		seen.Receives-- // the counts are approximate, and late
		q.seen["receive count late"]++
	}
	return seen
}

// moveToDeadLetters moves a message to the dead letters.
func (q *queue) moveToDeadLetters(m *message) {
	q.tracef("%s of %s v-key %q becomes a dead letter", m.ID, m.hint.ImageID, m.hint.RawKey)
	q.seen["dead letter"]++
	q.remove(m)
	m.visible = time.Time{}
	q.dead.messages = append(q.dead.messages, m)
}

func (q *queue) remove(m *message) {
	q.messages = slices.DeleteFunc(q.messages, func(o *message) bool { return o == m })
}

// find returns the message of a valid receipt, or nil.
func (q *queue) find(receipt string) *message {
	for _, m := range q.messages {
		if m.Receipt == receipt && m.visible.After(q.now) {
			return m
		}
	}
	return nil
}

func (q *queue) Extend(_ context.Context, d time.Duration, ms ...imagery.Message) (gone []imagery.Message, err error) {
	err = q.do(call{service: queueing, what: "extend", subject: d.String(), outcomes: []outcome{refused, lost, late},
		effect: func() error {
			gone = nil
			for _, m := range ms {
				if held := q.find(m.Receipt); held != nil {
					held.visible = q.now.Add(d)
				} else {
					gone = append(gone, m)
				}
			}
			return nil
		}})
	return gone, err
}

func (q *queue) Delete(_ context.Context, ms ...imagery.Message) error {
	return q.do(call{service: queueing, what: "delete", outcomes: deleteOutcomes, effect: func() error {
		for _, m := range ms {
			if held := q.find(m.Receipt); held != nil {
				q.remove(held)
			}
		}
		return nil
	}})
}

func (q *queue) Limits(context.Context) (imagery.Limits, error) {
	return imagery.Limits{Visibility: visibility, MaxReceives: q.maxReceives}, nil
}

var _ imagery.Queue = (*queue)(nil)

// drawMessage returns a random message of the queue.
func (w *world) drawMessage() *message {
	if len(w.queue.messages) == 0 {
		return nil
	}
	return w.queue.messages[w.src.intn(len(w.queue.messages))]
}

// duplicate makes a message visible that a worker holds.
func (w *world) duplicate() bool {
	m := w.drawMessage()
	if m == nil || !m.visible.After(w.now) {
		return false
	}
	m.visible = time.Time{}
	w.tracef("%s is delivered again", m.ID)
	return true
}

func (w *world) delay() bool {
	m := w.drawMessage()
	if m == nil || m.visible.After(w.now) {
		return false
	}
	m.visible = w.now.Add(timeSteps[w.src.intn(6)])
	w.tracef("%s is late", m.ID)
	return true
}

func (w *world) loseMessage() bool {
	m := w.drawMessage()
	if m == nil {
		return false
	}
	w.queue.remove(m)
	w.tracef("%s is lost", m.ID)
	return true
}

// purge empties a queue.
func (w *world) purge() bool {
	q := w.queue
	if w.src.chance(1, 4) {
		q = w.dead
	}
	if len(q.messages) == 0 {
		return false
	}
	q.messages = nil
	w.tracef("%s is purged", q.name)
	return true
}

// foreignMessage sends what other programs with access may send: invalid hints, hints about unknown images, and the
// hint of the original application, which has no key.
func (w *world) foreignMessage() {
	id := w.rows[w.src.intn(len(w.rows))].id
	body := []string{`{"imageId":"` + id + `","desiredState":"processed"}`,
		`{"imageId":"` + strings.ToUpper(id) + `","desiredState":"processed","more":1}`,
		`{"imageId":"ffffffff-ffff-4fff-8fff-ffffffffffff","desiredState":"processed"}`,
		`{"imageId":"` + id + `","desiredState":"resized"}`, `not a hint`}[w.src.intn(5)]
	w.tracef("another program sends %s", body)
	w.queue.push([]byte(body), "")
}
