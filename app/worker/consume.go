package worker

import (
	"context"
	"sync"
	"time"

	"imagery/app/deploy/settings"
	"imagery/app/imagery"
)

// Pauses of the receive loop.
const (
	longPoll    = 20 * time.Second // SQS's longest: fewest empty receives
	retryPause  = time.Second      // after a failed receive or probe
	maxReceive  = 10               // SQS's largest batch
	handBackFor = 2 * time.Second  // bound of the call that hands messages back at the stop
)

// consumer is the part of a worker that lives while it receives.
type consumer struct {
	w      *Worker
	limits imagery.Limits
	bound  time.Duration // see settings.JobBound

	holds      holds
	visibility sync.Mutex // serialises heartbeats and hand-backs
	jobs       sync.WaitGroup
	acks       chan *hold
	batch      int // how many messages the next receive asks for at most
}

// consume receives and processes until ctx ends, and returns when nothing is held any more.
func (w *Worker) consume(ctx context.Context) {
	limits, ok := w.limits.wait(ctx, w.Log)
	if !ok {
		return
	}
	limits.Visibility = max(limits.Visibility, time.Second) // a queue may say 0; heartbeats need an interval
	c := &consumer{w: w, limits: limits, bound: settings.JobBound, acks: make(chan *hold, maxReceive), batch: 1}
	// Both outlive ctx: the jobs that are finishing still need them.
	beating, stopBeating := context.WithCancel(context.WithoutCancel(ctx))
	var helpers sync.WaitGroup
	helpers.Go(func() { c.heartbeat(beating) })
	helpers.Go(func() { c.acknowledge(context.WithoutCancel(ctx)) })
	for ctx.Err() == nil {
		c.step(ctx)
	}
	c.jobs.Wait()
	stopBeating()
	close(c.acks)
	helpers.Wait()
}

// step receives once and starts what it got. It asks for as many messages as there are free slots, so that a busy
// worker leaves the others to workers that are idle.
func (c *consumer) step(ctx context.Context) {
	free := c.w.slots.take(ctx, c.batch)
	if free == 0 {
		return
	}
	ms, err := c.receive(ctx, free)
	if err != nil && ctx.Err() == nil {
		c.w.Log.Warn("could not receive", "error", err)
	}
	c.w.slots.give(free - len(ms))
	if err != nil || len(ms) == 0 {
		if err != nil {
			sleep(ctx, retryPause)
		}
		return
	}
	var suspects []*hold
	now := time.Now()
	for _, m := range ms {
		h := &hold{Message: m, taken: now, kept: now}
		c.holds.add(h)
		if c.suspect(m) {
			suspects = append(suspects, h)
			continue
		}
		c.jobs.Go(func() {
			defer c.w.slots.give(1)
			c.handle(ctx, h)
		})
	}
	if len(suspects) == 0 {
		c.batch = min(2*c.batch, maxReceive)
		return
	}
	c.quarantine(ctx, suspects)
	c.batch = 1
}

// suspect reports whether a message has used up half of its deliveries: it may be one that kills its worker.
func (c *consumer) suspect(m imagery.Message) bool {
	return c.limits.MaxReceives > 0 && 2*m.Receives > c.limits.MaxReceives
}

// quarantine runs suspects one at a time while this worker holds nothing else, so that a photo that kills
// workers takes no innocent message's deliveries along. For the same reason a worker begins with a batch of
// one, doubles it with every receive that brings no suspect, and falls back to one when one comes.
func (c *consumer) quarantine(ctx context.Context, suspects []*hold) {
	c.jobs.Wait()
	for len(suspects) > 0 {
		least := 0
		for i, h := range suspects {
			if h.Receives < suspects[least].Receives {
				least = i
			}
		}
		h := suspects[least]
		suspects = append(suspects[:least], suspects[least+1:]...)
		c.jobs.Go(func() {
			defer c.w.slots.give(1)
			c.handle(ctx, h)
		})
		c.jobs.Wait()
	}
}

// receive asks for messages once the dependencies answer: a message received while the table or the bucket
// is away would only lose a delivery.
func (c *consumer) receive(ctx context.Context, n int) ([]imagery.Message, error) {
	if err := c.w.probe.check(ctx); err != nil {
		return nil, err
	}
	wait := longPoll
	if !c.w.received.Load() {
		wait = 0 // the first receive also proves that this worker is ready; an empty queue must not delay that
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
