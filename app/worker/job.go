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

// handle takes one delivery to its end: acknowledged, put off, or handed back. stop ends when the worker
// should begin nothing new; what has begun is finished within the bound of its hold.
func (c *consumer) handle(stop context.Context, h *hold) {
	if stop.Err() != nil {
		c.handBack(h, 0)
		return
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(stop), h.taken.Add(c.bound))
	defer cancel()
	hint, err := imagery.ParseHint(h.Body)
	if err != nil {
		// Never acknowledged: it ends in the dead letters, where a person sees it.
		c.w.Log.Error("message is not a hint", "message", h.ID, "receives", h.Receives, "error", err)
		c.putOff(h)
		return
	}
	last := c.limits.MaxReceives > 0 && h.Receives >= c.limits.MaxReceives
	wait := firstWait
	if h.Receives > 1 {
		wait = laterWait
	}
	job := imagery.Job{
		Hint: hint, Receives: h.Receives, Sent: h.Sent, Last: last,
		Owned: func() bool { return h.own(c.limits.Visibility) },
		Admit: func(ctx context.Context, cost imagery.Cost) (func(), error) { return c.admit(ctx, stop, cost, wait) },
	}
	from := delivery{message: h.ID, trace: h.Trace, taken: h.taken}
	report, err := c.w.run(ctx, job, from)
	if errors.Is(err, imagery.ErrDeferred) && !c.sendBehind(ctx, h) {
		wait = anyWait
		report, err = c.w.run(ctx, job, from)
	}
	switch {
	case errors.Is(err, imagery.ErrDeferred):
		c.acks <- h // its hint was sent again
	case err == nil:
		c.w.Service.Hit(imagery.BeforeAck, report.Image.ID)
		c.acks <- h
	case stop.Err() != nil && report.After != imagery.Failed:
		c.handBack(h, 0)
	default:
		c.putOff(h)
	}
}

// admit waits for room; a job that waits when the worker stops has not begun and goes back.
func (c *consumer) admit(ctx, stop context.Context, cost imagery.Cost, wait time.Duration) (func(), error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(stop, cancel)()
	return c.w.admitInTurn(ctx, cost, wait)
}

// putOff hides a message until its next try.
func (c *consumer) putOff(h *hold) {
	c.handBack(h, Backoff(h.Receives, c.limits.MaxReceives, c.w.Outage, rand.Float64()))
}

// handBack makes a message visible again after d, if it is still ours.
func (c *consumer) handBack(h *hold, d time.Duration) {
	c.visibility.Lock()
	defer c.visibility.Unlock()
	c.holds.drop(h)
	if !h.own(c.limits.Visibility) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), handBackFor)
	defer cancel()
	if _, err := c.w.Queue.Extend(ctx, d, h.Message); err != nil {
		c.w.Log.Warn("could not hand a message back, it returns by itself", "message", h.ID, "error", err)
	}
}

// Backoff is how long a message waits after its n-th of max deliveries failed: doubling, so that all
// deliveries together span at least the outage, plus up to a quarter by jitter (0 to 1), so that messages
// that failed together do not return together. After the last one it is 0: the next receive moves the
// message to the dead letters.
func Backoff(n, max int, outage time.Duration, jitter float64) time.Duration {
	if max > 0 && n >= max {
		return 0
	}
	if max < 2 {
		max = settings.QueueMaxReceives
	}
	first := outage / (1<<(min(max, 16)-1) - 1)
	d := first << min(n-1, 16)
	return min(d+time.Duration(jitter*float64(d)/4), 12*time.Hour) // SQS's longest visibility
}

// acknowledge deletes finished messages, together what finished while the last call was under way.
func (c *consumer) acknowledge(ctx context.Context) {
	for h := range c.acks {
		batch := []*hold{h}
		for more := true; more && len(batch) < maxReceive; {
			select {
			case next, ok := <-c.acks:
				if more = ok; ok {
					batch = append(batch, next)
				}
			default:
				more = false
			}
		}
		var ms []imagery.Message
		for _, h := range batch {
			ms = append(ms, h.Message)
		}
		if err := c.w.Queue.Delete(ctx, ms...); err != nil {
			// They come again and are found done before.
			c.w.Log.Warn("could not acknowledge", "messages", len(ms), "error", err)
		}
		for _, h := range batch {
			c.holds.drop(h)
		}
	}
}

// delivery is what the log says about where a job came from.
type delivery struct {
	message, trace string
	taken          time.Time
}

// run processes one job and logs one line about it.
func (w *Worker) run(ctx context.Context, j imagery.Job, d delivery) (imagery.JobResult, error) {
	began := time.Now()
	w.running.Add(1)
	r, err := w.Service.Process(ctx, j)
	w.running.Add(-1)
	w.done.Add(1)
	ms := []observe.Measure{observe.Count(settings.MetricJobs, 1), observe.Millis(settings.MetricJobTime, time.Since(began))}
	if !j.Sent.IsZero() {
		ms = append(ms, observe.Millis(settings.MetricQueueWait, max(0, d.taken.Sub(j.Sent))))
	}
	attrs := []slog.Attr{
		slog.String("image", j.Hint.ImageID), slog.String("message", d.message), slog.String("trace", d.trace),
		slog.Int("receives", j.Receives), slog.String("before", string(r.Before)), slog.String("after", string(r.After)),
		slog.String("outcome", string(r.Outcome)),
	}
	level := slog.LevelInfo
	switch {
	case errors.Is(err, imagery.ErrDeferred):
		attrs = append(attrs, slog.String("behind", "a dear photo waits behind others"))
	case err != nil:
		level = slog.LevelWarn
		ms = append(ms, observe.Count(settings.MetricJobsRetried, 1))
		attrs = append(attrs, slog.String("error", err.Error()))
	case r.Outcome == imagery.Done:
		ms = append(ms, observe.Count(settings.MetricJobsDone, 1))
	case r.Outcome == imagery.PermanentFailure:
		ms = append(ms, observe.Count(settings.MetricJobsGivenUp, 1))
		attrs = append(attrs, slog.String("cause", r.Cause.Error()))
	}
	observe.Line(ctx, w.Log, level, "job", ms, attrs...)
	return r, err
}
