package worker

import (
	"context"
	"log/slog"
	"time"

	"imagery/app/deploy/settings"
	"imagery/app/imagery"
	"imagery/app/observe"
)

// queueLimits reads the settings of the queue. It retries until it succeeds; ok is false when ctx ends first.
func (w *Worker) queueLimits(ctx context.Context) (l imagery.Limits, ok bool) {
	for {
		l, err := w.Queue.Limits(ctx)
		if err == nil || ctx.Err() != nil {
			return l, err == nil
		}
		w.Log.Warn("could not read the queue's settings", "error", err)
		sleep(ctx, retryPause)
	}
}

// reconcile runs a reconciler pass at once and then every ReconcileEvery until ctx ends. A pass sends lost hints again.
// Without limits it reads them before each pass until it succeeds: the role of a worker that a daemon feeds may not be
// allowed to, which must not stop the repairs.
func (w *Worker) reconcile(ctx context.Context, limits imagery.Limits) {
	reconciler := w.Service.NewReconciler(w.Instance, w.ReconcileEvery)
	reconciler.PushDelivery = !w.Consume
	defer func() {
		resignCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), returnTimeout)
		defer cancel()
		if err := reconciler.Resign(resignCtx); err != nil {
			w.Log.Warn("could not release the reconciler lease; the next leader waits until it expires", "error", err)
		}
	}()
	for pass := 0; ctx.Err() == nil; pass++ {
		if w.Housekeeping != nil && pass%10 == 0 {
			if err := w.Housekeeping(ctx); err != nil && ctx.Err() == nil {
				w.Log.Warn("housekeeping failed", "error", err)
			}
		}
		if limits == (imagery.Limits{}) {
			var err error
			if limits, err = w.Queue.Limits(ctx); err != nil && ctx.Err() == nil {
				w.Log.Warn("could not read the queue's settings; reasons of failures will not say how many attempts there were",
					"error", err)
			}
		}
		r, err := reconciler.RunOnce(ctx, limits.MaxReceives)
		if ctx.Err() != nil {
			return
		}
		w.repairing.Store(err == nil)
		w.logPass(ctx, r, err)
		sleep(ctx, w.ReconcileEvery)
	}
}

// logPass logs the result of a reconciler pass. A successful pass always has the age of the oldest unfinished image,
// because an alarm treats missing data as breaching.
func (w *Worker) logPass(ctx context.Context, r imagery.Repairs, err error) {
	level := slog.LevelDebug
	if err == nil && !r.Leader {
		return // another process is the leader and logs the pass
	}
	attrs := []slog.Attr{slog.Int("reads", r.Reads), slog.Int("resent", r.Resent),
		slog.Int("explained", r.MarkedFailed), slog.Int("dead_letters", r.DeadLetters)}
	var measures []observe.Measure
	if err == nil { // a failed pass does not know the oldest image
		measures = append(measures, observe.Seconds(settings.MetricOldestUnfinished, r.OldestAge))
	} else {
		level = slog.LevelWarn
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	// Short intervals are for tests and laptops, where a pass that changed nothing is not worth a line.
	if r.Resent+r.MarkedFailed+r.DeadLetters > 0 || w.ReconcileEvery >= time.Minute {
		level = max(level, slog.LevelInfo)
	}
	observe.Line(ctx, w.Log, level, "reconciled", measures, attrs...)
}
