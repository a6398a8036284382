package worker

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"imagery/app/deploy/settings"
	"imagery/app/imagery"
	"imagery/app/observe"
)

// handle runs the job of one message. It then deletes the message, or returns it to the queue for another delivery.
// Once stop is done a job that has not started is returned at once; one that has started may take until its timeout.
func (c *consumer) handle(stop context.Context, m *delivery) {
	if stop.Err() != nil {
		c.returnToQueue(m, 0)
		return
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(stop), m.receivedAt.Add(settings.JobTimeout))
	defer cancel()
	hint, err := imagery.ParseHint(m.Body)
	if err != nil {
		// Never deleted: it ends in the dead-letter queue, where an operator sees it.
		c.w.Log.Error("message is not a hint", "message", m.ID, "receives", m.Receives, "error", err)
		c.retryLater(m)
		return
	}
	last := c.limits.MaxReceives > 0 && m.Receives >= c.limits.MaxReceives
	wait := firstDeferral
	if m.Receives > 1 {
		wait = laterDeferral
	}
	job := imagery.Job{
		Hint: hint, Receives: m.Receives, Sent: m.Sent, Last: last,
		Owned: func() bool { return c.owned(m) },
		Admit: func(ctx context.Context, cost imagery.Cost) (func(), error) { return c.admit(ctx, stop, cost, wait) },
	}
	from := origin{message: m.ID, trace: m.Trace, receivedAt: m.receivedAt}
	report, err := c.w.run(ctx, job, from)
	if errors.Is(err, imagery.ErrDeferred) && !c.sendAgain(ctx, m) {
		wait = neverDefer // job.Admit reads it
		report, err = c.w.run(ctx, job, from)
	}
	switch {
	case errors.Is(err, imagery.ErrDeferred):
		c.acks <- m // sendAgain replaced it
	case err == nil:
		c.w.Service.Hit(imagery.BeforeAck, report.Image.ID)
		c.acks <- m
	case stop.Err() != nil:
		c.returnToQueue(m, 0)
	default:
		c.retryLater(m)
	}
}

// admit is like Worker.admit, but fails when the worker stops meanwhile, so that the message returns to the queue.
func (c *consumer) admit(ctx, stop context.Context, cost imagery.Cost, wait time.Duration) (func(), error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(stop, cancel)()
	return c.w.admit(ctx, cost, wait)
}

// retryLater returns a message to the queue with a delay that grows with its receives.
func (c *consumer) retryLater(m *delivery) {
	c.returnToQueue(m, Backoff(m.Receives, c.limits.MaxReceives, c.w.Outage, rand.Float64()))
}

// returnToQueue makes a message visible to other workers after the delay, if this worker still owns it.
func (c *consumer) returnToQueue(m *delivery, delay time.Duration) {
	c.extending.Lock()
	defer c.extending.Unlock()
	c.remove(m)
	if !c.owned(m) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), returnTimeout)
	defer cancel()
	if _, err := c.w.Queue.Extend(ctx, delay, m.Message); err != nil {
		c.w.Log.Warn("could not return a message to the queue; it becomes visible when its timeout ends",
			"message", m.ID, "error", err)
	}
}

// Backoff returns the delay after the n-th of max deliveries of a message failed. It doubles with n, and the delays of
// all deliveries add up to at least outage. A jitter from 0 to 1 adds up to a quarter, so that messages that failed
// together do not return together. After the last delivery it is 0: the next receive moves the message to the
// dead-letter queue.
func Backoff(n, max int, outage time.Duration, jitter float64) time.Duration {
	if max > 0 && n >= max {
		return 0
	}
	if max < 2 { // without a dead-letter queue the delays are those of the default limit
		max = settings.QueueMaxReceives
	}
	first := outage / (1<<(min(max, 16)-1) - 1)
	d := first << min(n-1, 16)
	return min(d+time.Duration(jitter*float64(d)/4), 12*time.Hour) // SQS's longest visibility
}

// acknowledge deletes the messages from acks, in batches of those that arrived during the previous call.
func (c *consumer) acknowledge(ctx context.Context) {
	for m := range c.acks {
		batch := []*delivery{m}
		for len(c.acks) > 0 && len(batch) < maxReceive {
			batch = append(batch, <-c.acks)
		}
		var ms []imagery.Message
		for _, m := range batch {
			ms = append(ms, m.Message)
		}
		if err := c.w.Queue.Delete(ctx, ms...); err != nil {
			// They are delivered again, and their images are then already final.
			c.w.Log.Warn("could not delete processed messages", "messages", len(ms), "error", err)
		}
		for _, m := range batch {
			c.remove(m)
		}
	}
}

// origin identifies the message of a job in the log.
type origin struct {
	message, trace string
	receivedAt     time.Time
}

// run processes one job, and logs one line with its outcome and metrics.
func (w *Worker) run(ctx context.Context, j imagery.Job, o origin) (imagery.JobResult, error) {
	began := time.Now()
	w.running.Add(1)
	r, err := w.Service.Process(ctx, j)
	w.running.Add(-1)
	w.done.Add(1)
	measures := []observe.Measure{
		observe.Count(settings.MetricJobs, 1),
		observe.Millis(settings.MetricJobTime, time.Since(began)),
	}
	if !j.Sent.IsZero() {
		measures = append(measures, observe.Millis(settings.MetricQueueWait, max(0, o.receivedAt.Sub(j.Sent))))
	}
	attrs := []slog.Attr{
		slog.String("image", j.Hint.ImageID), slog.String("message", o.message), slog.String("trace", o.trace),
		slog.Int("receives", j.Receives), slog.String("before", string(r.Before)), slog.String("after", string(r.After)),
		slog.String("outcome", string(r.Outcome)),
	}
	level := slog.LevelInfo
	switch {
	case errors.Is(err, imagery.ErrDeferred):
		attrs = append(attrs, slog.Bool("deferred", true))
	case err != nil:
		level = slog.LevelWarn
		measures = append(measures, observe.Count(settings.MetricJobsRetried, 1))
		attrs = append(attrs, slog.String("error", err.Error()))
	case r.Outcome == imagery.Done:
		measures = append(measures, observe.Count(settings.MetricJobsDone, 1))
	case r.Outcome == imagery.PermanentFailure:
		measures = append(measures, observe.Count(settings.MetricJobsGivenUp, 1))
		attrs = append(attrs, slog.String("cause", r.Cause.Error()))
	}
	observe.Line(ctx, w.Log, level, "job", measures, attrs...)
	return r, err
}
