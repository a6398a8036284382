package local

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"imagery/app/imagery"
)

// Chaos makes a queue do what its port allows and a quiet laptop never shows, so that tests meet it every day.
// Dead letters are left alone. The zero value is no chaos.
//
// What happens to a delivery follows from the seed, the message's number and its receive count, whichever
// process asks and when, so a run whose messages have the same numbers meets the same faults; which sent message
// is delayed follows from the seed and the sends of this process before it.
type Chaos struct {
	Seed            uint64
	Duplicate       float64       // share of deliveries whose hint is given to another consumer at the same time
	LoseAck         float64       // share of deliveries whose acknowledgement gets lost: they come again
	ForgetExtension float64       // share of deliveries that cannot be extended or handed back, though it says so
	Delay           float64       // share of messages that arrive late
	DelayUpTo       time.Duration // how late
	ReorderWithin   time.Duration // a message may overtake all that came so long before it
}

// HeavyChaos is what tests run with: far worse than any queue, but with deliveries enough left that a
// photo does not run out of them.
func HeavyChaos(seed uint64) Chaos {
	return Chaos{Seed: seed, Duplicate: 0.25, LoseAck: 0.25, ForgetExtension: 0.25, Delay: 0.25,
		DelayUpTo: 2 * time.Second, ReorderWithin: 5 * time.Second}
}

// The faults that are decided for one delivery or message; the names go into the dice.
const (
	duplicate = "duplicate"
	loseAck   = "lose ack"
	forget    = "forget extension"
	delay     = "delay"
)

// roll is a number from 0 to 1 that depends on nothing but its arguments and the seed.
func (c Chaos) roll(fault, subject string, n int) float64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %s %d", c.Seed, fault, subject, n))
	return float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
}

// order sorts receivable messages by when they became visible, each put off by a share of ReorderWithin that
// depends on its number. Nobody waits for longer than that, however many others come.
func (c Chaos) order() string {
	spread := 1 + int64(c.roll("reorder", "all", 0)*1e9) // neighbours end up far apart
	return fmt.Sprintf("visible + (id * %d) %% %d, id", spread, max(1, c.ReorderWithin.Milliseconds()))
}

// chaosQueue is a queue under Chaos.
type chaosQueue struct {
	queue
	Chaos
	sends *atomic.Int64 // by this process
}

func newChaosQueue(s *Store) chaosQueue {
	s.opts.Log.Warn("the queue misbehaves on purpose", "seed", s.opts.Chaos.Seed)
	return chaosQueue{queue{s: s, order: s.opts.Chaos.order()}, s.opts.Chaos, new(atomic.Int64)}
}

// Send implements imagery.Queue.
func (q chaosQueue) Send(ctx context.Context, body []byte, trace string) error {
	n := int(q.sends.Add(1))
	if q.roll(delay, "send", n) >= q.Delay {
		return q.send(ctx, body, trace, 0)
	}
	return q.send(ctx, body, trace, time.Duration(q.roll(delay, "time", n)*float64(q.DelayUpTo)))
}

// Receive implements imagery.Queue. The copy of a duplicated message has its receive count of before this
// delivery: a duplicate does not count as a delivery.
func (q chaosQueue) Receive(ctx context.Context, max int, wait time.Duration) ([]imagery.Message, error) {
	list, err := q.queue.Receive(ctx, max, wait)
	for _, m := range list {
		if q.roll(duplicate, m.ID, m.Receives) >= q.Duplicate {
			continue
		}
		// The delivery has happened: a copy that cannot be made is no error of it.
		if _, err := q.s.exec(ctx, "INSERT INTO messages (dead, visible, sent, receives, trace, body) VALUES (0, ?, ?, ?, ?, ?)",
			time.Now().UnixMilli(), m.Sent.UnixMilli(), m.Receives-1, m.Trace, m.Body); err == nil {
			q.s.notifier.notify()
		}
	}
	return list, err
}

// Extend implements imagery.Queue.
func (q chaosQueue) Extend(ctx context.Context, d time.Duration, ms ...imagery.Message) (lost []imagery.Message, err error) {
	return q.queue.Extend(ctx, d, q.spared(forget, q.ForgetExtension, ms)...)
}

// Delete implements imagery.Queue.
func (q chaosQueue) Delete(ctx context.Context, ms ...imagery.Message) error {
	return q.queue.Delete(ctx, q.spared(loseAck, q.LoseAck, ms)...)
}

// spared are the deliveries that a fault does not hit.
func (q chaosQueue) spared(fault string, share float64, ms []imagery.Message) (rest []imagery.Message) {
	for _, m := range ms {
		if q.roll(fault, m.ID, m.Receives) >= share {
			rest = append(rest, m)
		}
	}
	return rest
}
