// Package worker takes hints from the queue and has their images processed: it receives, keeps what it holds
// from going to others while it works, acknowledges what is done and hands back what it cannot do now.
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

// Options are what a worker needs. All fields must be set unless they say otherwise.
type Options struct {
	Service *imagery.Service
	Queue   imagery.Queue
	// Memory is leased by the photos in work; it must be enough for the largest one that Service.Filter takes.
	Memory budget.Memory
	// Slots is how many jobs run at once, and Waiting how many more may wait for memory meanwhile; it may be 0.
	// settings.PlanWorker plans all three.
	Slots, Waiting int
	// Outage is how long a dependency may be away without costing a photo: the deliveries of one message span
	// at least this.
	Outage time.Duration
	// ReconcileEvery is the pause between two reconciler passes.
	ReconcileEvery time.Duration
	// Probe proves that table and bucket answer. While it fails nothing is received.
	Probe func(context.Context) error
	// Housekeeping, if set, runs at start and with every tenth reconciler pass.
	Housekeeping func(context.Context) error
	// Consume is false where somebody else receives and calls POST /sqs.
	Consume bool
	// Instance is how this process is called where it competes with others; a process that takes the place of a
	// dead one takes its name, too, and so its lease.
	Instance string
	// Release is the sha256 that /version answers.
	Release string
	Log     *slog.Logger
}

// Worker is one worker process. Make it with New.
type Worker struct {
	Options
	slots    *slots
	dear     chan struct{} // full while a dear photo is being processed
	probe    *cachedProbe
	received atomic.Bool // a receive succeeded once
	stopping atomic.Bool
	done     atomic.Int64 // jobs
	running  atomic.Int64
	limits   limits
}

// New returns a worker that does nothing until Run.
func New(o Options) *Worker {
	w := &Worker{Options: o, slots: newSlots(o.Slots, o.Waiting), dear: make(chan struct{}, 1)}
	w.probe = &cachedProbe{call: o.Probe}
	w.limits.read = o.Queue.Limits
	return w
}

// maxConnections is enough for the probes of a machine and the connections of Beanstalk's daemon, 50 at most.
const maxConnections = 128

// Run serves the worker's HTTP side on l and consumes until ctx ends; then it stops receiving, hands back what
// it has not begun, finishes what it has, and returns nil. It returns an error only if the listener breaks.
func (w *Worker) Run(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	srv := httpserver.New(w.routes(), maxConnections, w.Log, slog.LevelWarn)
	var all sync.WaitGroup
	if w.Consume {
		all.Go(func() { w.consume(ctx) })
	}
	all.Go(func() { w.reconcile(ctx) })
	broken := make(chan error, 1)
	go func() { broken <- srv.Serve(l) }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-broken:
		cancel()
	}
	w.stopping.Store(true)
	all.Wait()
	// Jobs that came over HTTP are finished too, within what the service manager grants.
	drain, done := context.WithTimeout(context.Background(), settings.JobBound)
	defer done()
	if sErr := srv.Shutdown(drain); sErr != nil {
		w.Log.Warn("HTTP requests were cut at the stop", "error", sErr)
	}
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP of the worker: %w", err)
	}
	return nil
}

// admit waits until the bytes of a photo are free. A job that has to wait leaves its slot to photos that need less.
func (w *Worker) admit(ctx context.Context, c imagery.Cost) (release func(), err error) {
	if release, ok := w.Memory.TryAcquire(c.Memory); ok {
		return release, nil
	}
	defer w.slots.leave()()
	return w.Memory.Acquire(ctx, c.Memory)
}
