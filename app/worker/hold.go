package worker

import (
	"context"
	"sync"
	"time"

	"imagery/app/imagery"
)

// hold is a delivery that belongs to this process until its visibility ends.
type hold struct {
	imagery.Message
	taken time.Time // when it was received; no hold outlives taken + settings.JobBound

	mu   sync.Mutex
	kept time.Time // start of the last receive or extension that succeeded
	lost bool
}

// own reports whether nobody else can have been given the message yet.
func (h *hold) own(visibility time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.lost && time.Since(h.kept) < visibility
}

func (h *hold) extended(at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kept = at
}

func (h *hold) markLost() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lost = true
}

// holds are all deliveries of this process, those that wait for a core or for memory included.
type holds struct {
	mu  sync.Mutex
	all map[*hold]struct{}
}

func (hs *holds) add(h *hold) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.all == nil {
		hs.all = map[*hold]struct{}{}
	}
	hs.all[h] = struct{}{}
}

func (hs *holds) drop(h *hold) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	delete(hs.all, h)
}

func (hs *holds) list() []*hold {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	var l []*hold
	for h := range hs.all {
		l = append(l, h)
	}
	return l
}

// heartbeat extends every hold three times per visibility timeout, so that two lost calls cost nothing, until
// ctx ends. A hold whose time is over is not extended any more: its job has been cancelled.
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
	c.visibility.Lock() // a message that is being handed back must not be hidden again by a late heartbeat
	defer c.visibility.Unlock()
	byReceipt := map[string]*hold{}
	var ms []imagery.Message
	for _, h := range c.holds.list() {
		if time.Since(h.taken) < c.bound && h.own(c.limits.Visibility) {
			byReceipt[h.Receipt] = h
			ms = append(ms, h.Message)
		}
	}
	if len(ms) == 0 {
		return
	}
	began := time.Now()
	lost, err := c.w.Queue.Extend(ctx, c.limits.Visibility, ms...)
	for _, m := range lost {
		byReceipt[m.Receipt].markLost()
		delete(byReceipt, m.Receipt)
	}
	if err != nil {
		if ctx.Err() == nil {
			c.w.Log.Warn("could not extend the visibility of held messages", "messages", len(ms), "error", err)
		}
		return
	}
	for _, h := range byReceipt {
		h.extended(began)
	}
}
