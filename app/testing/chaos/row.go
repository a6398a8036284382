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
	// rowBound ends a row that hangs.
	rowBound = 5 * time.Minute
	// finalBound is the promise: after the last kill of a small run every accepted photo is final within it.
	finalBound = 2 * time.Minute
	// leastAround is how many photos must be accepted in the seconds around a blow; else it hit an idle service.
	around, leastAround = 10 * time.Second, 20
)

// row is one attack on one backend, and what came of it.
type row struct {
	backend string
	attack
	blow
	figures
	problems []error // broken promises, and whatever kept the row from proving anything
}

// figures are a row's columns.
type figures struct {
	accepted  int           // photos in all
	near      int           // of them in the seconds around the blow
	inFlight  int           // begun and not final when the blow fell
	recovered time.Duration // from the blow until the last of those was final
	lost      int
	doubled   int
	orphans   int // before the sweep
	left      int // after it
}

// play runs the row to its end, which is that it has figures, or problems.
func (r *row) play(ctx context.Context, s setup, dir string) {
	ctx, cancel := context.WithTimeout(ctx, rowBound)
	defer cancel()
	st, err := newStage(ctx, r, s, dir)
	defer st.clear()
	if err == nil {
		err = r.fall(ctx, st)
	}
	if err == nil {
		err = r.inspect(ctx, st)
	}
	if err != nil {
		r.problems = append(r.problems, err)
	}
}

// fall keeps uploading while the blow falls, and waits until all is healed.
func (r *row) fall(ctx context.Context, st *stage) (err error) {
	flow, dry := context.WithCancel(ctx)
	defer dry()
	pace, calm := context.WithCancel(flow)
	var flowing sync.WaitGroup
	flowing.Go(func() { st.traffic.flow(flow, pace) })
	sleep(ctx, st.seconds/2)
	if r.blow, err = r.strike(ctx, st); err != nil {
		dry()
	}
	sleep(flow, time.Until(r.at.Add(st.seconds/2)))
	calm()
	flowing.Wait()
	if err != nil {
		return err
	}
	bounded, cancel := context.WithDeadline(ctx, r.at.Add(finalBound+st.seconds/2))
	defer cancel()
	r.problems = append(st.traffic.broken, st.traffic.settle(bounded)...)
	return st.stop(ctx)
}

// inspect looks at what is stored, sweeps, and looks again.
func (r *row) inspect(ctx context.Context, st *stage) error {
	before, err := st.store.snapshot(ctx)
	if err != nil {
		return err
	}
	r.measure(st.traffic.journal, before)
	if err := st.sweep(ctx); err != nil {
		return err
	}
	after, err := st.store.snapshot(ctx)
	if err != nil {
		return err
	}
	r.left = r.count(after, fsck.Orphan)
	if r.left > 0 {
		r.problems = append(r.problems, fmt.Errorf("%d orphans are left after the sweep", r.left))
	}
	return nil
}

// measure fills the figures from what was promised and what is stored.
func (r *row) measure(journal []upload, s fsck.Snapshot) {
	items := map[string]fsck.Item{}
	for _, i := range s.Items {
		items[i.ID] = i
	}
	r.accepted = len(journal)
	for _, u := range journal {
		if u.accepted.Sub(r.at).Abs() <= around/2 {
			r.near++
		}
		i := items[u.id]
		if i.State != string(imagery.Processed) || i.RawKey != imagery.RawKey(u.id, u.hash) {
			r.lost++
			r.problems = append(r.problems, fmt.Errorf("lost: image %s was accepted with %s and is %+v", u.id, u.hash, i))
		} else if i.Version != 2 {
			r.doubled++
			r.problems = append(r.problems, fmt.Errorf("image %s was settled more than once: %+v", u.id, i.History))
		}
		final := time.UnixMilli(i.Updated)
		if u.begun.Before(r.at) && (final.After(r.at) || !imagery.State(i.State).Final()) {
			r.inFlight++
			r.recovered = max(r.recovered, final.Sub(r.at))
		}
	}
	if r.near < leastAround {
		r.problems = append(r.problems, fmt.Errorf("only %d photos were accepted around the blow", r.near))
	}
	r.lost += r.count(s, fsck.Lost)
	r.doubled += r.count(s, fsck.Duplicated)
	r.count(s, fsck.Broken)
	r.count(s, fsck.Unhinted)
	r.orphans = r.count(s, fsck.Orphan)
}

// count says how often the checker finds something of a class; all but orphans are problems.
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

// sleep pauses for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
