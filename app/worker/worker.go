// Package worker receives hints from the queue and processes their images. It extends the visibility of the messages in
// flight, deletes those that are done, and returns the others to the queue with a backoff.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"imagery/app/budget"
	"imagery/app/deploy/settings"
	"imagery/app/httpserver"
	"imagery/app/imagery"
)

// Options configures a worker. All fields are required unless they say otherwise.
type Options struct {
	Service *imagery.Service
	Queue   imagery.Queue
	// Memory is the pool from which photos reserve memory while they are processed. It must suffice for the largest photo
	// that Service.Filter accepts. settings.PlanWorker computes Memory, Slots and Waiting.
	Memory budget.Memory
	// Slots is the number of jobs that run at once. Waiting, which may be 0, is the number of further jobs that may wait
	// for memory or for an expensive photo.
	Slots, Waiting int
	// Outage sets how long a dependency may be unavailable without failing a photo: the deliveries of one message are
	// spread over at least this time.
	Outage time.Duration
	// ReconcileEvery is the pause between two reconciler passes.
	ReconcileEvery time.Duration
	// Probe checks that table and bucket answer. While it fails the worker receives nothing. It should cache its result.
	Probe func(context.Context) error
	// Housekeeping is optional. It runs before the first and then every tenth reconciler pass.
	Housekeeping func(context.Context) error
	// Consume is false where the Elastic Beanstalk daemon receives the messages and posts them to /sqs.
	Consume bool
	// Instance names this process as the holder of the reconciler lease. A process that replaces a dead one has the
	// same name, and so keeps the lease.
	Instance string
	// Release is the SHA-256 of the binary, the answer to /version.
	Release string
	Log     *slog.Logger
}

// Worker is one worker process. Use New to create it.
type Worker struct {
	Options
	slots     *slots
	expensive chan struct{} // full while an expensive photo is processed
	received  atomic.Bool   // at least one receive has succeeded
	repairing atomic.Bool   // the last reconciler pass succeeded, or there was none
	stopping  atomic.Bool
	done      atomic.Int64 // jobs that have ended
	running   atomic.Int64
}

// New returns a worker. It does nothing until Run is called.
func New(o Options) *Worker {
	w := &Worker{Options: o, slots: newSlots(o.Slots, o.Waiting), expensive: make(chan struct{}, 1)}
	w.repairing.Store(true)
	return w
}

// maxConnections suffices for health checks and for the Elastic Beanstalk daemon, which opens at most 50.
const maxConnections = 128

// Run serves HTTP on l and consumes messages until ctx ends. Then it stops receiving, returns the messages whose jobs
// have not started, finishes the others, and returns nil. It returns an error only if the listener fails.
func (w *Worker) Run(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	srv := httpserver.New(w.routes(), maxConnections, w.Log, slog.LevelWarn)
	var all sync.WaitGroup
	all.Go(func() {
		if !w.Consume {
			w.reconcile(ctx, imagery.Limits{})
		} else if limits, ok := w.queueLimits(ctx); ok {
			all.Go(func() { w.consume(ctx, limits) })
			w.reconcile(ctx, limits)
		}
	})
	listenerErr := make(chan error, 1)
	go func() { listenerErr <- srv.Serve(l) }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-listenerErr:
		cancel()
	}
	w.stopping.Store(true)
	all.Wait()
	// Jobs of POST /sqs are finished too; the service manager allows for this time.
	drain, done := context.WithTimeout(context.Background(), settings.JobTimeout)
	defer done()
	if sErr := srv.Shutdown(drain); sErr != nil {
		w.Log.Warn("HTTP requests were aborted at shutdown", "error", sErr)
	}
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP of the worker: %w", err)
	}
	return nil
}

// reserve reserves memory and returns the function that releases it. While it waits it yields its slot to other photos.
func (w *Worker) reserve(ctx context.Context, bytes int64) (release func(), err error) {
	if release, ok := w.Memory.TryAcquire(bytes); ok {
		return release, nil
	}
	defer w.slots.yield()()
	return w.Memory.Acquire(ctx, bytes)
}
