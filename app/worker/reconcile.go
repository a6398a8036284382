package worker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"imagery/app/deploy/settings"
	"imagery/app/imagery"
	"imagery/app/observe"
)

// limits are the queue's settings, read once they can be.
type limits struct {
	read  func(context.Context) (imagery.Limits, error)
	mu    sync.Mutex
	known *imagery.Limits
}

// get reads the limits at the first call that succeeds.
func (l *limits) get(ctx context.Context) (imagery.Limits, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == nil {
		v, err := l.read(ctx)
		if err != nil {
			return imagery.Limits{}, err
		}
		l.known = &v
	}
	return *l.known, nil
}

// wait asks until the queue answers; false when ctx ended first.
func (l *limits) wait(ctx context.Context, log *slog.Logger) (imagery.Limits, bool) {
	for {
		v, err := l.get(ctx)
		if err == nil {
			return v, true
		}
		if ctx.Err() != nil {
			return v, false
		}
		log.Warn("could not read the queue's settings", "error", err)
		sleep(ctx, retryPause)
	}
}

// reconcile repairs what messages lost, at once and then at intervals, until ctx ends.
func (w *Worker) reconcile(ctx context.Context) {
	l, ok := w.limits.wait(ctx, w.Log)
	reconciler := w.Service.NewReconciler(w.Instance, w.ReconcileEvery)
	reconciler.PushDelivery = !w.Consume
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), handBackFor)
		defer cancel()
		if err := reconciler.Resign(last); err != nil {
			w.Log.Warn("the next leader has to wait", "error", err)
		}
	}()
	for pass := 0; ok && ctx.Err() == nil; pass++ {
		if w.Housekeeping != nil && pass%10 == 0 {
			if err := w.Housekeeping(ctx); err != nil && ctx.Err() == nil {
				w.Log.Warn("housekeeping", "error", err)
			}
		}
		r, err := reconciler.RunOnce(ctx, l.MaxReceives)
		if ctx.Err() != nil {
			return
		}
		w.report(ctx, r, err)
		sleep(ctx, w.ReconcileEvery)
	}
}

// report logs a pass: the age of the oldest unfinished image each time, for a missing datapoint is an alarm.
func (w *Worker) report(ctx context.Context, r imagery.Repairs, err error) {
	level := slog.LevelDebug
	if err == nil && !r.Leader {
		return // another process leads, and says all this
	}
	attrs := []slog.Attr{slog.Int("reads", r.Reads), slog.Int("resent", r.Resent),
		slog.Int("explained", r.MarkedFailed), slog.Int("dead_letters", r.DeadLetters)}
	var ms []observe.Measure
	if err == nil { // a pass that failed half-way does not know the oldest
		ms = append(ms, observe.Seconds(settings.MetricOldestUnfinished, r.OldestAge))
	} else {
		level = slog.LevelWarn
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	if r.Resent+r.MarkedFailed+r.DeadLetters > 0 || w.ReconcileEvery >= time.Minute {
		level = max(level, slog.LevelInfo)
	}
	observe.Line(ctx, w.Log, level, "reconciled", ms, attrs...)
}

// cachedProbe asks the dependencies at most every two seconds, however many ask it.
type cachedProbe struct {
	call func(context.Context) error
	mu   sync.Mutex
	at   time.Time
	err  error
}

const probeFresh = 2 * time.Second

func (p *cachedProbe) check(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at.IsZero() || time.Since(p.at) > probeFresh {
		err := p.call(ctx)
		if ctx.Err() != nil {
			return err // says nothing about the dependencies
		}
		p.at, p.err = time.Now(), err
	}
	return p.err
}
