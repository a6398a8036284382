package worker

import (
	"context"
	"time"

	"imagery/app/deploy/settings"
	"imagery/app/imagery"
)

// inFlight is a received message. It belongs to this process until its visibility timeout ends.
type inFlight struct {
	imagery.Message
	receivedAt time.Time // the job is cancelled settings.JobTimeout later

	// guarded by consumer.mu
	extendedAt time.Time // when the last receive or extension that succeeded was sent
	lost       bool      // the queue no longer accepts the receipt
}

// owned reports whether the queue cannot have delivered the message to another worker yet.
func (c *consumer) owned(m *inFlight) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ownedLocked(m)
}

func (c *consumer) ownedLocked(m *inFlight) bool {
	return !m.lost && time.Since(m.extendedAt) < c.limits.Visibility
}

func (c *consumer) add(m *inFlight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight[m] = struct{}{}
}

func (c *consumer) remove(m *inFlight) {
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
	c.visibility.Lock() // a late heartbeat must not hide a message again that was returned
	defer c.visibility.Unlock()
	byReceipt := map[string]*inFlight{}
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
