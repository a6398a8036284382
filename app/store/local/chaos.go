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

// Chaos injects faults that the Queue port allows but an idle machine rarely shows, for tests. The dead-letter queue is
// not affected. The zero value injects nothing.
//
// The faults of a delivery depend only on the seed, the message id and its receive count, not on process or time, so
// runs with the same message ids have the same faults. Whether a message is delayed depends on the seed and on how many
// messages this process has sent.
type Chaos struct {
	Seed            uint64
	Duplicate       float64       // share of deliveries that another consumer receives at the same time
	LoseAck         float64       // share of deliveries whose deletion is lost, so that they are repeated
	ForgetExtension float64       // share of deliveries for which Extend succeeds without effect
	Delay           float64       // share of messages that are delayed
	DelayUpTo       time.Duration // longest delay
	ReorderWithin   time.Duration // a message may overtake messages that are older by at most this
}

// HeavyChaos returns the faults that tests use: far worse than a real queue, but a photo keeps enough deliveries.
func HeavyChaos(seed uint64) Chaos {
	return Chaos{Seed: seed, Duplicate: 0.25, LoseAck: 0.25, ForgetExtension: 0.25, Delay: 0.25,
		DelayUpTo: 2 * time.Second, ReorderWithin: 5 * time.Second}
}

// The faults of a delivery or message, as arguments of roll.
const (
	duplicate = "duplicate"
	loseAck   = "lose ack"
	forget    = "forget extension"
	delay     = "delay"
)

// roll returns a pseudo-random number in [0, 1) that depends only on the seed and the arguments.
func (c Chaos) roll(fault, subject string, n int) float64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %s %d", c.Seed, fault, subject, n))
	return float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
}

// order returns the SQL order in which messages are received: the time at which they became visible, plus a share of
// ReorderWithin that depends on the id. This limits the wait of a message, however many others arrive.
func (c Chaos) order() string {
	spread := 1 + int64(c.roll("reorder", "all", 0)*1e9) // so that consecutive ids are far apart
	return fmt.Sprintf("visible + (id * %d) %% %d, id", spread, max(1, c.ReorderWithin.Milliseconds()))
}

// chaosQueue is a queue with the faults of a Chaos.
type chaosQueue struct {
	queue
	Chaos
	sends *atomic.Int64 // by this process
}

func newChaosQueue(s *Store) chaosQueue {
	s.opts.Log.Warn("the queue injects faults, for tests", "seed", s.opts.Chaos.Seed)
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

// Receive implements imagery.Queue. The copy of a duplicated message has the receive count from before this delivery,
// because a duplicate does not count as a delivery.
func (q chaosQueue) Receive(ctx context.Context, max int, wait time.Duration) ([]imagery.Message, error) {
	list, err := q.queue.Receive(ctx, max, wait)
	for _, m := range list {
		if q.roll(duplicate, m.ID, m.Receives) >= q.Duplicate {
			continue
		}
		const insert = "INSERT INTO messages (dead, visible, sent, receives, trace, body) VALUES (0, ?, ?, ?, ?, ?)"
		_, err := q.s.exec(ctx, insert, time.Now().UnixMilli(), m.Sent.UnixMilli(), m.Receives-1, m.Trace, m.Body)
		if err == nil { // else the delivery has succeeded all the same
			q.s.notifier.notify()
		}
	}
	return list, err
}

// Extend implements imagery.Queue.
func (q chaosQueue) Extend(ctx context.Context, d time.Duration, ms ...imagery.Message) (
	lost []imagery.Message, err error) {
	return q.queue.Extend(ctx, d, q.unaffected(forget, q.ForgetExtension, ms)...)
}

// Delete implements imagery.Queue.
func (q chaosQueue) Delete(ctx context.Context, ms ...imagery.Message) error {
	return q.queue.Delete(ctx, q.unaffected(loseAck, q.LoseAck, ms)...)
}

// unaffected returns the deliveries without the given fault.
func (q chaosQueue) unaffected(fault string, share float64, ms []imagery.Message) (rest []imagery.Message) {
	for _, m := range ms {
		if q.roll(fault, m.ID, m.Receives) >= share {
			rest = append(rest, m)
		}
	}
	return rest
}
