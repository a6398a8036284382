package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"imagery/app/admin/fsck"
	"imagery/app/imagery"
)

const (
	// rowTimeout ends a row that hangs.
	rowTimeout = 5 * time.Minute
	// finalTimeout is the time after the fault within which every accepted photo must be final.
	finalTimeout = 2 * time.Minute
	// At least minNearby photos must be accepted in the period around the fault: a fault of an idle service proves
	// nothing.
	around, minNearby = 10 * time.Second, 20
)

// row is one scenario on one backend with its results.
type row struct {
	backend string
	scenario
	fault
	figures
	problems []error // invariants that do not hold, and errors that ended the row early
}

// figures are the columns of a row.
type figures struct {
	accepted         int           // photos in total
	nearby           int           // accepted in the period around the fault
	inFlight         int           // started before the fault and not final at that time
	recovered        time.Duration // from the fault until the last photo in flight was final
	lost             int
	duplicated       int
	orphans          int // before the repair
	remainingOrphans int // after the repair
}

// run executes the row and fills its figures and problems.
func (r *row) run(ctx context.Context, s setup, dir string) {
	ctx, cancel := context.WithTimeout(ctx, rowTimeout)
	defer cancel()
	e, err := newEnv(ctx, r, s, dir)
	defer e.cleanup()
	if err == nil {
		err = r.injectUnderLoad(ctx, e)
	}
	if err == nil {
		err = r.inspect(ctx, e)
	}
	if err != nil {
		r.problems = append(r.problems, err)
	}
}

// injectUnderLoad uploads photos before and after the fault, and waits until all accepted ones are final.
func (r *row) injectUnderLoad(ctx context.Context, e *env) (err error) {
	uploads, cancelUploads := context.WithCancel(ctx)
	defer cancelUploads()
	start, stopStarting := context.WithCancel(uploads)
	var load sync.WaitGroup
	load.Go(func() { e.traffic.run(uploads, start) })
	sleep(ctx, e.seconds/2)
	if r.fault, err = r.inject(ctx, e); err != nil {
		cancelUploads()
	}
	sleep(uploads, time.Until(r.at.Add(e.seconds/2)))
	stopStarting()
	load.Wait()
	if err != nil {
		return err
	}
	bounded, cancel := context.WithDeadline(ctx, r.at.Add(finalTimeout+e.seconds/2))
	defer cancel()
	r.problems = append(e.traffic.rejected, e.traffic.awaitFinal(bounded)...)
	return e.stop(ctx)
}

// inspect checks the stored state before and after the repair.
func (r *row) inspect(ctx context.Context, e *env) error {
	before, err := e.store.snapshot(ctx)
	if err != nil {
		return err
	}
	r.measure(e.traffic.accepted, before)
	if err := e.repair(ctx); err != nil {
		return err
	}
	after, err := e.store.snapshot(ctx)
	if err != nil {
		return err
	}
	r.remainingOrphans = r.count(after, fsck.Orphan)
	if r.remainingOrphans > 0 {
		r.problems = append(r.problems, fmt.Errorf("%d orphans remain after the repair", r.remainingOrphans))
	}
	return nil
}

// measure compares the accepted uploads with the stored state and fills the figures.
func (r *row) measure(accepted []upload, s fsck.Snapshot) {
	items := map[string]fsck.Item{}
	for _, i := range s.Items {
		items[i.ID] = i
	}
	r.accepted = len(accepted)
	for _, u := range accepted {
		if u.accepted.Sub(r.at).Abs() <= around/2 {
			r.nearby++
		}
		i := items[u.id]
		if i.State != string(imagery.Processed) || i.RawKey != imagery.RawKey(u.id, u.hash) {
			r.lost++
			r.problems = append(r.problems, fmt.Errorf("lost: image %s was accepted with %s and is %+v", u.id, u.hash, i))
		} else if i.Version != 2 {
			r.duplicated++
			r.problems = append(r.problems, fmt.Errorf("image %s was processed more than once: %+v", u.id, i.History))
		}
		final := time.UnixMilli(i.Updated)
		if u.begun.Before(r.at) && (final.After(r.at) || !imagery.State(i.State).Final()) {
			r.inFlight++
			r.recovered = max(r.recovered, final.Sub(r.at))
		}
	}
	if r.nearby < minNearby {
		r.problems = append(r.problems, fmt.Errorf("only %d photos were accepted around the fault", r.nearby))
	}
	r.lost += r.count(s, fsck.Lost)
	r.duplicated += r.count(s, fsck.Duplicated)
	r.count(s, fsck.Broken)
	r.count(s, fsck.Unhinted)
	r.orphans = r.count(s, fsck.Orphan)
}

// count returns the number of findings of a class. All findings but orphans are problems of the row.
func (r *row) count(s fsck.Snapshot, class fsck.Class) (n int) {
	for _, f := range fsck.Check(s) {
		if f.Class != class {
			continue
		}
		if n++; class != fsck.Orphan {
			r.problems = append(r.problems, errors.New(f.String()))
		}
	}
	return n
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
