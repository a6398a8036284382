package worker

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"imagery/app/deploy/settings"
	"imagery/app/imagery"
)

const (
	longPoll      = 20 * time.Second // the longest that SQS allows, for the fewest empty receives
	retryPause    = time.Second      // after a failed receive or probe
	maxReceive    = 10               // the largest batch that SQS allows
	returnTimeout = 2 * time.Second  // of a call that returns messages to the queue, or the lease to other processes
)

// consumer receives messages from the queue and runs their jobs.
type consumer struct {
	w      *Worker
	limits imagery.Limits

	mu        sync.Mutex
	inFlight  map[*delivery]struct{} // including messages that wait for a slot or for memory
	extending sync.Mutex             // held while a heartbeat or a return to the queue calls Extend
	jobs      sync.WaitGroup
	acks      chan *delivery
	batch     int // limit of the next receive: 1 at first, doubled after each batch without a suspect, else 1 again
}

// consume receives and processes messages until ctx ends. It returns when none is in flight any more.
func (w *Worker) consume(ctx context.Context, limits imagery.Limits) {
	limits.Visibility = max(limits.Visibility, time.Second) // a queue may say 0; heartbeats need an interval
	c := &consumer{w: w, limits: limits, inFlight: map[*delivery]struct{}{}, acks: make(chan *delivery, maxReceive),
		batch: 1}
	// Both outlive ctx, because the jobs that are still running need them.
	beatCtx, stopHeartbeat := context.WithCancel(context.WithoutCancel(ctx))
	var helpers sync.WaitGroup
	helpers.Go(func() { c.heartbeat(beatCtx) })
	helpers.Go(func() { c.acknowledge(context.WithoutCancel(ctx)) })
	for ctx.Err() == nil {
		c.step(ctx)
	}
	c.jobs.Wait()
	stopHeartbeat()
	close(c.acks)
	helpers.Wait()
}

// step receives one batch and starts its jobs. It asks for at most as many messages as there are free slots, so that
// a busy worker leaves the others to idle workers.
func (c *consumer) step(ctx context.Context) {
	taken := c.w.slots.acquire(ctx, c.batch)
	if taken == 0 {
		return
	}
	ms, err := c.receive(ctx, taken)
	c.w.slots.release(taken - len(ms))
	if err != nil && ctx.Err() == nil {
		c.w.Log.Warn("could not receive messages", "error", err)
		sleep(ctx, retryPause)
	}
	if err != nil || len(ms) == 0 {
		return
	}
	var suspects []*delivery
	now := time.Now()
	for _, received := range ms {
		m := &delivery{Message: received, receivedAt: now, extendedAt: now}
		c.add(m)
		if c.maybePoison(received) {
			suspects = append(suspects, m)
		} else {
			c.start(ctx, m)
		}
	}
	if len(suspects) == 0 {
		c.batch = min(2*c.batch, maxReceive)
		return
	}
	c.runAlone(ctx, suspects)
	c.batch = 1
}

// start runs the job of a message in a goroutine, and releases its slot afterwards.
func (c *consumer) start(ctx context.Context, m *delivery) {
	c.jobs.Go(func() {
		defer c.w.slots.release(1)
		c.handle(ctx, m)
	})
}

// maybePoison reports whether more than half of the deliveries of a message are used up. It may be a poison message,
// one that kills each worker that processes it.
func (c *consumer) maybePoison(m imagery.Message) bool {
	return c.limits.MaxReceives > 0 && 2*m.Receives > c.limits.MaxReceives
}

// runAlone runs suspected poison messages one at a time, fewest receives first, while this worker has no other message
// in flight: a photo that kills its worker must not use up deliveries of other messages. Batches start small for the
// same reason.
func (c *consumer) runAlone(ctx context.Context, suspects []*delivery) {
	c.jobs.Wait()
	slices.SortStableFunc(suspects, func(a, b *delivery) int { return cmp.Compare(a.Receives, b.Receives) })
	for _, m := range suspects {
		c.start(ctx, m)
		c.jobs.Wait()
	}
}

// receive asks for at most n messages, and only while the dependencies answer: a message that is received while the
// table or the bucket is unavailable would only use up a delivery.
func (c *consumer) receive(ctx context.Context, n int) ([]imagery.Message, error) {
	if err := c.w.Probe(ctx); err != nil {
		return nil, err
	}
	wait := longPoll
	if !c.w.received.Load() {
		wait = 0 // readiness waits for the first receive, which an empty queue must not delay
	}
	ms, err := c.w.Queue.Receive(ctx, n, wait)
	if err == nil {
		c.w.received.Store(true)
	}
	return ms, err
}

// sleep pauses for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// delivery is a received message. It belongs to this process until its visibility timeout ends.
type delivery struct {
	imagery.Message
	receivedAt time.Time // the job is cancelled settings.JobTimeout later

	// guarded by consumer.mu
	extendedAt time.Time // when it was received, or its last successful extension was requested
	lost       bool      // the queue no longer accepts the receipt
}

// owned reports whether this process still owns the message: no other worker can have received it yet.
func (c *consumer) owned(m *delivery) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ownedLocked(m)
}

func (c *consumer) ownedLocked(m *delivery) bool {
	return !m.lost && time.Since(m.extendedAt) < c.limits.Visibility
}

func (c *consumer) add(m *delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight[m] = struct{}{}
}

func (c *consumer) remove(m *delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.inFlight, m)
}

// heartbeat extends the visibility of all messages in flight until ctx ends, three times per visibility timeout, so
// that two calls may fail. A message whose job has timed out is not extended.
func (c *consumer) heartbeat(ctx context.Context) {
	tick := time.NewTicker(c.limits.Visibility / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.extendAll(ctx)
		}
	}
}

func (c *consumer) extendAll(ctx context.Context) {
	c.extending.Lock() // a late heartbeat must not hide a message again that was returned
	defer c.extending.Unlock()
	byReceipt := map[string]*delivery{}
	var ms []imagery.Message
	c.mu.Lock()
	for m := range c.inFlight {
		if time.Since(m.receivedAt) < settings.JobTimeout && c.ownedLocked(m) {
			byReceipt[m.Receipt] = m
			ms = append(ms, m.Message)
		}
	}
	c.mu.Unlock()
	if len(ms) == 0 {
		return
	}
	began := time.Now()
	lost, err := c.w.Queue.Extend(ctx, c.limits.Visibility, ms...)
	if err != nil && ctx.Err() == nil {
		c.w.Log.Warn("could not extend the visibility of messages in flight", "messages", len(ms), "error", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		for _, m := range byReceipt {
			m.extendedAt = began
		}
	}
	for _, m := range lost {
		byReceipt[m.Receipt].lost = true
	}
}
