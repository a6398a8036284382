package imagery

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Repairs counts what one reconciler pass found and did.
type Repairs struct {
	Leader       bool          // this process holds the lease and did the pass
	OldestAge    time.Duration // age of the oldest unfinished upload; 0 when there is none
	Resent       int           // hints sent again
	MarkedFailed int           // images failed because their hint is a dead letter
	DeadLetters  int           // dead letters seen
	Reads        int           // images read
}

// Reconciler repairs images whose hint was lost: it moves images with a dead letter to Failed, and sends the hints of
// overdue images again. Any number of processes may run one. A lease elects the one that works, only to save cost:
// two leaders, or different clocks, cause extra calls but no wrong result. A Reconciler is not safe for concurrent use.
type Reconciler struct {
	// PushDelivery says that another program receives the hints and sends them by HTTP, so that a worker does not know
	// which delivery is the last. A dead letter then does not imply that the workers crashed.
	PushDelivery bool

	service  *Service
	holder   string
	interval time.Duration

	leads   bool                 // held the lease at the last pass
	covered map[window]time.Time // the Updated up to which each window has been read
	handled map[string]bool      // ids of dead letters of the last pass that need no more work
	first   int                  // index in Shards of the shard that the next pass begins with
}

// NewReconciler returns a reconciler that takes the lease under the name holder. The interval between two passes
// determines the duration of the lease and the time limit of a pass.
func (s *Service) NewReconciler(holder string, interval time.Duration) *Reconciler {
	return &Reconciler{service: s, holder: holder, interval: interval}
}

// Reconcile runs one pass over all images without lease and limits, for tests and operators.
func (s *Service) Reconcile(ctx context.Context, maxReceives int) (Repairs, error) {
	return (&Reconciler{service: s}).RunOnce(ctx, maxReceives)
}

const (
	leaseName = "reconciler"
	// leaseIntervals is the duration of the lease in intervals, so that a late pass does not change the leader.
	leaseIntervals = 3
	// minPassTimeout is the shortest time limit of a pass: the short intervals of tests and laptops would end it before
	// all shards are read. A second leader meanwhile does no harm.
	minPassTimeout = 10 * time.Second
	// readsPerSecond limits the images read per second, averaged over the interval between passes, so that a large
	// backlog takes longer but does not raise the load.
	readsPerSecond = 50
	// maxDeadLetters limits the dead letters read in a pass; the next pass receives others.
	maxDeadLetters = 500
)

// RunOnce runs one pass if this process gets or keeps the lease. maxReceives is the limit of the queue, for the error
// text that users read. Errors of single images are joined; those images are retried in the next pass. A pass stops at
// the end of its lease, or after minPassTimeout if that is later, and the next one continues there.
func (r *Reconciler) RunOnce(ctx context.Context, maxReceives int) (Repairs, error) {
	now, budget := r.service.Now(), -1
	if r.holder != "" {
		leads, err := r.service.Catalog.Lease(ctx, leaseName, r.holder, now, now.Add(leaseIntervals*r.interval))
		if err != nil {
			return Repairs{}, fmt.Errorf("take the lease of the reconciler: %w", err)
		}
		if r.leads = leads; !leads {
			return Repairs{}, nil
		}
		budget = max(pendingPage, int(readsPerSecond*r.interval/time.Second))
		bounded, cancel := context.WithTimeout(ctx, max(leaseIntervals*r.interval, minPassTimeout))
		defer cancel()
		ctx = bounded
	}
	if r.covered == nil {
		r.covered = map[window]time.Time{} // a new process reads every window once
	}
	p := pass{Reconciler: r, now: now, budget: budget, repairs: Repairs{Leader: true}}
	err := errors.Join(p.failDeadLetters(ctx, maxReceives), p.resendOverdue(ctx))
	return p.repairs, err
}

// Resign ends the lease on a clean stop, by taking it until a time in the past, so that another process can take it at
// once. After an error the lease simply expires.
func (r *Reconciler) Resign(ctx context.Context) error {
	if !r.leads {
		return nil
	}
	r.leads = false
	now := r.service.Now()
	if _, err := r.service.Catalog.Lease(ctx, leaseName, r.holder, now, now.Add(-time.Second)); err != nil {
		return fmt.Errorf("end the lease of the reconciler: %w", err)
	}
	return nil
}

// pass is the state of one RunOnce.
type pass struct {
	*Reconciler
	now     time.Time
	budget  int // reads left; negative for no limit
	repairs Repairs
}

// failDeadLetters moves images that are still Uploaded to Failed if the hint of their upload is a dead letter. Workers
// do this themselves at the last delivery, unless they crash or do not know which delivery is the last. It deletes no
// message: an alarm reports dead letters to the operator.
func (p *pass) failDeadLetters(ctx context.Context, maxReceives int) error {
	var received []Message
	defer func() {
		if len(received) > 0 {
			// Made visible only at the end: earlier, this pass would receive them again.
			release, cancel := context.WithTimeout(context.WithoutCancel(ctx), detachedTimeout)
			defer cancel()
			// On an error they become visible at their visibility timeout.
			_, _ = p.service.DeadLetters.Extend(release, 0, received...)
		}
	}()
	var errs []error
	inRow := 0 // errors since the last image that could be read
	handled, seen := map[string]bool{}, map[string]bool{}
	defer func() { p.handled, p.repairs.DeadLetters = handled, len(seen) }()
	for len(seen) < maxDeadLetters && inRow < maxErrors {
		ms, err := p.service.DeadLetters.Receive(ctx, 10, 0)
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("read dead letters: %w", err))...)
		}
		if len(ms) == 0 {
			break
		}
		received = append(received, ms...)
		before := len(seen)
		for _, m := range ms {
			if seen[m.ID] {
				continue // its visibility ended during this pass
			}
			seen[m.ID] = true
			if !p.handled[m.ID] {
				if err := p.failDeadLetter(ctx, m, maxReceives); err != nil {
					errs = append(errs, err)
					if inRow++; inRow == maxErrors {
						break
					}
					continue
				}
				inRow = 0
			}
			handled[m.ID] = true // for good: a later upload is a new attempt
		}
		if len(seen) == before {
			break // only messages that were seen before
		}
	}
	return errors.Join(errs...)
}

// failDeadLetter moves the image of a dead letter to Failed if it is Uploaded and the hint refers to that upload.
func (p *pass) failDeadLetter(ctx context.Context, m Message, maxReceives int) error {
	h, err := ParseHint(m.Body)
	if err != nil {
		return nil // not a hint; the alarm on dead letters reports it
	}
	p.repairs.Reads++
	img, err := p.service.Get(ctx, h.ImageID)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if img.State != Uploaded || !h.refersTo(img, m.Sent) {
		return nil
	}
	reason := fmt.Sprintf("It could not be processed: no worker lived through %d attempts.", maxReceives)
	switch {
	case p.PushDelivery && maxReceives == 0: // the worker may not read the queue's settings
		reason = "It could not be processed in several attempts."
	case p.PushDelivery:
		reason = fmt.Sprintf("It could not be processed in %d attempts.", maxReceives)
	}
	r := JobResult{Image: img}
	e := Event{Receives: maxReceives, Cause: "dead letter " + m.ID}
	if err := p.service.finalize(ctx, &r, Failed, e, func(to *Image) { to.Error = reason }); err != nil {
		return err
	}
	if r.Outcome == PermanentFailure {
		p.repairs.MarkedFailed++
	}
	return nil
}
