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

// limits caches the settings of the queue.
type limits struct {
	read  func(context.Context) (imagery.Limits, error)
	mu    sync.Mutex
	known *imagery.Limits
}

// get returns the cached limits, or reads them.
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

// wait retries get until it succeeds. It returns false when ctx ends first.
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

// reconcile runs a reconciler pass at once and then every ReconcileEvery until ctx ends. A pass sends lost hints again.
func (w *Worker) reconcile(ctx context.Context) {
	l, ok := w.limits.wait(ctx, w.Log)
	reconciler := w.Service.NewReconciler(w.Instance, w.ReconcileEvery)
	reconciler.PushDelivery = !w.Consume
	defer func() {
		resignCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), returnTimeout)
		defer cancel()
		if err := reconciler.Resign(resignCtx); err != nil {
			w.Log.Warn("could not release the reconciler lease; the next leader waits until it expires", "error", err)
		}
	}()
	for pass := 0; ok && ctx.Err() == nil; pass++ {
		if w.Housekeeping != nil && pass%10 == 0 {
			if err := w.Housekeeping(ctx); err != nil && ctx.Err() == nil {
				w.Log.Warn("housekeeping failed", "error", err)
			}
		}
		r, err := reconciler.RunOnce(ctx, l.MaxReceives)
		if ctx.Err() != nil {
			return
		}
		w.logPass(ctx, r, err)
		sleep(ctx, w.ReconcileEvery)
	}
}

// logPass logs the result of a reconciler pass. A successful one always has the age of the oldest unfinished image,
// because an alarm treats missing data as breaching.
func (w *Worker) logPass(ctx context.Context, r imagery.Repairs, err error) {
	level := slog.LevelDebug
	if err == nil && !r.Leader {
		return // another process is the leader and logs the pass
	}
	attrs := []slog.Attr{slog.Int("reads", r.Reads), slog.Int("resent", r.Resent),
		slog.Int("explained", r.MarkedFailed), slog.Int("dead_letters", r.DeadLetters)}
	var ms []observe.Measure
	if err == nil { // a failed pass does not know the oldest image
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

// cachedProbe calls the dependencies at most once per probeTTL.
type cachedProbe struct {
	call func(context.Context) error
	mu   sync.Mutex
	at   time.Time
	err  error
}

const probeTTL = 2 * time.Second

func (p *cachedProbe) check(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at.IsZero() || time.Since(p.at) > probeTTL {
		err := p.call(ctx)
		if ctx.Err() != nil {
			return err // the caller gave up, which says nothing about the dependencies
		}
		p.at, p.err = time.Now(), err
	}
	return p.err
}
