package worker

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"imagery/app/imagery"
)

// inFlight is a received message. It belongs to this process until its visibility timeout ends.
type inFlight struct {
	imagery.Message
	receivedAt time.Time // the job is cancelled settings.JobTimeout later

	mu         sync.Mutex
	extendedAt time.Time // when the last receive or extension that succeeded was sent
	lost       bool      // the queue no longer accepts the receipt
}

// owned reports whether the queue cannot have delivered the message to another worker yet.
func (m *inFlight) owned(visibility time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.lost && time.Since(m.extendedAt) < visibility
}

func (m *inFlight) setExtended(at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.extendedAt = at
}

func (m *inFlight) markLost() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lost = true
}

// inFlightSet has all messages in flight, including those that wait for a slot or for memory.
type inFlightSet struct {
	mu  sync.Mutex
	all map[*inFlight]struct{}
}

func (s *inFlightSet) add(m *inFlight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[*inFlight]struct{}{}
	}
	s.all[m] = struct{}{}
}

func (s *inFlightSet) remove(m *inFlight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, m)
}

func (s *inFlightSet) list() []*inFlight {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.all))
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
	for _, m := range c.inFlight.list() {
		if time.Since(m.receivedAt) < c.jobTimeout && m.owned(c.limits.Visibility) {
			byReceipt[m.Receipt] = m
			ms = append(ms, m.Message)
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
			c.w.Log.Warn("could not extend the visibility of messages in flight", "messages", len(ms), "error", err)
		}
		return
	}
	for _, m := range byReceipt {
		m.setExtended(began)
	}
}
