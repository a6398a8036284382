package model

import (
	"context"
	"slices"
	"time"

	"imagery/app/imagery"
)

// heal ends all faults and runs the fleet until everything is final. Clocks stay wrong.
func (w *world) heal() {
	w.tracef("all faults end")
	w.healed, w.src.calm = true, true
	for len(w.late) > 0 {
		w.applyLate()
	}
	for _, r := range w.rows {
		w.reindex(r)
	}
	w.finish()
	for round := 0; !w.final(); round++ {
		must(round < maxRounds, nothingLost, "after %d rounds an hour apart: %s", round, w.unfinished())
		for len(w.queue.waiting()) > 0 {
			w.worker()
			w.finish()
		}
		w.reconcile()
		w.finish()
		w.now = w.now.Add(time.Hour)
	}
	w.checkEnd()
}

// maxRounds limits the rounds of an hour until the last image is final: the longest interval between two hints, the
// difference of the clocks, and a few attempts.
const maxRounds = 24

// finish runs all actors to their ends.
func (w *world) finish() {
	for limit := w.steps + 10_000; len(w.actors) > 0; {
		w.steps++
		w.run(w.actors[0])
		w.check()
		must(w.steps < limit, nothingLost, "%d actors do not come to an end", len(w.actors))
	}
}

// final reports whether no image is waiting to be processed.
func (w *world) final() bool {
	return !slices.ContainsFunc(w.rows, func(r *row) bool { return r.last().img.State == imagery.Uploaded })
}

func (w *world) unfinished() (list []string) {
	for _, r := range w.rows {
		list = append(list, r.last().String())
	}
	return list
}

// checkEnd checks that every accepted upload is final, whatever happened to the messages, and that the reconciler then
// finds nothing to do.
func (w *world) checkEnd() {
	for _, r := range w.rows {
		for _, a := range r.accepted {
			m := r.last()
			must(a.replaced || m.exists && m.img.State.Final() && m.img.RawKey == a.key, nothingLost,
				"%s was accepted, and the row holds %s", a.key, m)
		}
	}
	for _, r := range w.rows {
		if m := r.last(); m.img.State.Final() {
			w.index[r.id] = indexed{r.id[:1], m.img.Updated} // the index may still show what is long done
		}
	}
	before := w.seq
	w.now = w.now.Add(time.Hour)
	w.spawn(w.console, "reconcile", func(a *actor) {
		a.begin(w)
		r, err := w.console.Reconcile(context.Background(), w.cfg.maxReceives)
		must(err == nil && r.OldestAge < resendAfter && r.Resent == 0 && r.MarkedFailed == 0, idle, "%+v, %v", r, err)
	})
	w.finish()
	must(w.seq == before, idle, "%d writes", w.seq-before)
}
