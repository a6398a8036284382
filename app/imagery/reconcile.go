package imagery

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Repairs is what one reconciler pass found and did.
type Repairs struct {
	Leader    bool          // this process did the pass; else another one holds the lease
	OldestAge time.Duration // age of the oldest unfinished upload; 0 when there is none
	Resent    int           // hints sent again
	Explained int           // images failed because their hint is a dead letter
	Dead      int           // dead letters seen
	Reads     int           // images read
}

// Reconciler makes the queue a mere hint: it turns dead letters into explained failures, and sends the hints of
// overdue images again. Any number may run, one of them leads: it holds a lease, which only saves cost. Two
// leaders, or clocks that differ, cost calls and time and harm nothing. Use it from one goroutine.
type Reconciler struct {
	// PushDelivery says that hints are posted by another program, which takes a last try for any other: then a dead letter
	// does not tell that workers died.
	PushDelivery bool

	service *Service
	holder  string
	every   time.Duration

	leads   bool               // at the last pass
	covered map[step]time.Time // per step, the Updated up to which its window has been looked at
	settled map[string]bool    // dead letters of the last pass that nothing follows from any more
	first   int                // the shard that the next pass begins with
}

// NewReconciler returns one of many reconcilers. Holder names it in the lease; every is the pause between two
// passes, from which the lease's length and the bound of a pass follow.
func (s *Service) NewReconciler(holder string, every time.Duration) *Reconciler {
	return &Reconciler{service: s, holder: holder, every: every}
}

// Reconcile is one pass over everything, without lease and without bound: for tests, and for operators.
func (s *Service) Reconcile(ctx context.Context, attempts int) (Repairs, error) {
	return (&Reconciler{service: s}).RunOnce(ctx, attempts)
}

const (
	leaseName = "reconciler"
	// leasePasses is how many passes a lease outlives: one may be late without a change of leaders.
	leasePasses = 3
	// readsPerSecond bounds what a pass reads and sends, on average over the time between passes: a backlog of
	// a million costs no more than this, only longer.
	readsPerSecond = 50
	// maxDeadLetters is how many dead letters a pass looks at; a queue gives others in the next one.
	maxDeadLetters = 500
)

// RunOnce repairs what is due now. attempts is how many receives the queue grants a hint, for the sentence that
// users read. Errors of single images are joined, and their images are looked at again in the next pass. A pass of a
// leader ends with its lease: what is left is due in the next one.
func (r *Reconciler) RunOnce(ctx context.Context, attempts int) (Repairs, error) {
	now, budget := r.service.Now(), -1
	if r.holder != "" {
		leads, err := r.service.Catalog.Lease(ctx, leaseName, r.holder, now, now.Add(leasePasses*r.every))
		if err != nil {
			return Repairs{}, fmt.Errorf("take the lease of the reconciler: %w", err)
		}
		if r.leads = leads; !leads {
			return Repairs{}, nil
		}
		budget = max(pendingPage, int(readsPerSecond*r.every/time.Second))
		bounded, cancel := context.WithTimeout(ctx, leasePasses*r.every)
		defer cancel()
		ctx = bounded
	}
	if r.covered == nil {
		r.covered = map[step]time.Time{} // a new leader looks at everything once
	}
	p := pass{Reconciler: r, now: now, budget: budget, repairs: Repairs{Leader: true}}
	err := errors.Join(p.explainDeadLetters(ctx, attempts), p.resendOverdue(ctx))
	return p.repairs, err
}

// Resign ends the lease, so that another process leads at once instead of when it runs out. It is for a clean
// stop; an error costs only that time.
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

// pass is one run of a Reconciler.
type pass struct {
	*Reconciler
	now     time.Time
	budget  int // reads left; negative for no bound
	repairs Repairs
}

// explainDeadLetters fails the images whose present upload became a dead letter and that do not say why: its workers
// died, or its hints were posted, where no try is known to be the last. It deletes nothing; an alarm, and a person,
// follow the letters.
func (p *pass) explainDeadLetters(ctx context.Context, attempts int) error {
	var held []Message
	defer func() {
		if len(held) > 0 {
			// Given back at the end, for a letter given back at once would be received again in this pass.
			give, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
			defer cancel()
			_, _ = p.service.DeadLetters.Extend(give, 0, held...) // else they come back when their visibility ends
		}
	}()
	var errs []error
	inRow := 0 // errors since the last image that could be read
	settled, seen := map[string]bool{}, map[string]bool{}
	defer func() { p.settled, p.repairs.Dead = settled, len(seen) }()
	for len(seen) < maxDeadLetters && inRow < maxErrors {
		ms, err := p.service.DeadLetters.Receive(ctx, 10, 0)
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("read dead letters: %w", err))...)
		}
		if len(ms) == 0 {
			break
		}
		held = append(held, ms...)
		before := len(seen)
		for _, m := range ms {
			if seen[m.ID] {
				continue // its visibility ended during this pass
			}
			seen[m.ID] = true
			if !p.settled[m.ID] {
				if err := p.explain(ctx, m, attempts); err != nil {
					errs = append(errs, err)
					if inRow++; inRow == maxErrors {
						break
					}
					continue
				}
				inRow = 0
			}
			settled[m.ID] = true // what follows from a letter has followed: an upload after it is a new try
		}
		if len(seen) == before {
			break // the queue gives the same ones again
		}
	}
	return errors.Join(errs...)
}

// explain fails the image of one dead letter if it is still Uploaded with the letter's bytes.
func (p *pass) explain(ctx context.Context, m Message, attempts int) error {
	h, err := ParseHint(m.Body)
	if err != nil {
		return nil // not about an image; the alarm on the dead letters speaks of it
	}
	p.repairs.Reads++
	img, err := p.service.Get(ctx, h.ImageID)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if img.State != Uploaded || !h.speaksOf(img, m.Sent) {
		return nil
	}
	reason := fmt.Sprintf("It could not be processed: no worker lived through %d attempts.", attempts)
	if p.PushDelivery {
		reason = fmt.Sprintf("It could not be processed in %d attempts.", attempts)
	}
	rep := Report{Image: img}
	e := Event{Receives: attempts, Cause: "dead letter " + m.ID}
	if err := p.service.settle(ctx, &rep, Failed, e, func(to *Image) { to.Error = reason }); err != nil {
		return err
	}
	if rep.Outcome == GivenUp {
		p.repairs.Explained++
	}
	return nil
}
