package worker

import (
	"context"
	"time"

	"imagery/app/imagery"
)

// How long a dear photo waits for its turn before its hint goes to the end of the queue. It may do so again and again:
// each time another dear photo has come nearer to its end. One that was received before waits longer, since its next
// message will count as received for the first time.
const (
	firstWait = 2 * time.Second
	laterWait = 30 * time.Second
	anyWait   = 0 // as long as the job may take
)

// admitInTurn is admit for one dear photo after the other: a worker gives at most one of its cores to photos that are
// cheap to send and much work to process. A dear photo that waits leaves its slot to others, and after
// the given time it gives up with imagery.ErrDeferred.
func (w *Worker) admitInTurn(ctx context.Context, c imagery.Cost, wait time.Duration) (release func(), err error) {
	if !c.Expensive() {
		return w.admit(ctx, c)
	}
	if err := w.awaitTurn(ctx, wait); err != nil {
		return nil, err
	}
	memory, err := w.admit(ctx, c)
	if err != nil {
		<-w.dear
		return nil, err
	}
	return func() { memory(); <-w.dear }, nil
}

// awaitTurn waits until no other dear photo is being processed.
func (w *Worker) awaitTurn(ctx context.Context, wait time.Duration) error {
	select {
	case w.dear <- struct{}{}:
		return nil
	default:
	}
	defer w.slots.leave()()
	var enough <-chan time.Time
	if wait != anyWait {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		enough = timer.C
	}
	select {
	case w.dear <- struct{}{}:
		return nil
	case <-enough:
		return imagery.ErrDeferred
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sendBehind sends the message of a dear photo to the end of the queue, and reports whether the one that was received
// may be acknowledged. A process that dies between the two leaves two messages for one image, which is allowed.
func (c *consumer) sendBehind(ctx context.Context, h *hold) bool {
	if !h.own(c.limits.Visibility) {
		return false
	}
	if err := c.w.Queue.Send(ctx, h.Body, h.Trace); err != nil {
		c.w.Log.Warn("could not put a dear photo behind others, it waits here", "message", h.ID, "error", err)
		return false
	}
	return true
}
