package worker

import (
	"context"
	"errors"
	"time"

	"imagery/app/imagery"
)

// behindAfter is how long a dear photo waits for its turn before its hint goes to the end of the queue. It may do so
// again and again: each time another dear photo has come to its end, or is about to.
const behindAfter = 2 * time.Second

// errBehind is returned for a dear photo that did not get its turn: others should go first.
var errBehind = errors.New("another dear photo is being processed")

// admitInTurn is admit for one dear photo after the other: a worker gives at most one of its cores to photos that are
// cheap to send and much work to process. A dear photo that waits leaves its slot to others. Unless it is patient, it
// gives up after behindAfter with errBehind.
func (w *Worker) admitInTurn(ctx context.Context, c imagery.Cost, patient bool) (release func(), err error) {
	if !c.Dear() {
		return w.admit(ctx, c)
	}
	if err := w.awaitTurn(ctx, patient); err != nil {
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
func (w *Worker) awaitTurn(ctx context.Context, patient bool) error {
	select {
	case w.dear <- struct{}{}:
		return nil
	default:
	}
	defer w.slots.leave()()
	var enough <-chan time.Time
	if !patient {
		timer := time.NewTimer(behindAfter)
		defer timer.Stop()
		enough = timer.C
	}
	select {
	case w.dear <- struct{}{}:
		return nil
	case <-enough:
		return errBehind
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
