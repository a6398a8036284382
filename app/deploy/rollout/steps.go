package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
)

// begin writes into the record what is about to happen, before it does.
func (r *run) begin(ctx context.Context) (bool, error) {
	if r.resumed {
		return false, nil
	}
	before := map[string]string{}
	for role, g := range r.groups {
		for _, f := range g.refreshes {
			if f.ended() { // an active one is adopted
				before[string(role)] = deref(f.InstanceRefreshId)
				break
			}
		}
	}
	r.before = before
	e := record.Entry{Release: r.want.Release, By: r.By, Why: r.Why, Begin: time.Now().UTC(), Result: record.Running,
		New: versions(r.want.Versions), Before: before}
	if r.fresh {
		r.say("nothing that works is there to return to: if release %s fails it is left as it is", short(e.Release))
	} else {
		r.old, r.from = r.origin()
		e.Old, e.From = versions(r.old), r.from
		r.say("from release %s to %s", short(r.from), short(e.Release))
	}
	return false, r.journal.mine(ctx, func(rec *record.Record) {
		if now := rec.Current(); now != nil && now.Begin.Equal(e.Begin) {
			return // the answer to the first write was lost
		}
		rec.Abort = nil // of something that is over
		rec.Entries = slices.Insert(rec.Entries, 0, e)
		for _, left := range r.runs { // also what serves nothing, or runs in one group only
			if r.Hold == "" || left == "" || left == e.Release {
				continue
			}
			if rec.Blocked == nil {
				rec.Blocked = map[string]record.Block{}
			}
			rec.Blocked[left] = record.Block{By: r.By, Since: e.Begin, Why: r.Hold}
		}
	})
}

// origin is where a failure goes back to. Two groups that run different releases are no such place, if one that worked
// is known.
func (r *run) origin() (old map[settings.Role]string, release string) {
	// The version of a group is the old one even while a refresh leads away from it: AWS writes it at the end.
	old, release = r.versions(), r.runs[settings.Server]
	if release == r.runs[settings.Worker] {
		return old, release
	}
	if good := r.proven(); good != nil {
		return roles(good.New), good.Release
	}
	return old, ""
}

// start begins both at once for a run that nobody waits for. A later run sees how that ended.
func (r *run) start(ctx context.Context) (done bool, err error) {
	rec := r.journal.now()
	if e := rec.Current(); r.Start && r.resumed && r.fresh && e != nil && time.Since(e.Begin) > healthyTimeout {
		r.say("the first deploy began %s ago and does not serve yet: watching it", time.Since(e.Begin).Round(time.Minute))
		r.Start = false // else it would never be judged, and its groups would launch for ever
	}
	if !r.Start {
		return false, nil
	}
	all := true
	for _, role := range Order {
		ok, err := r.advance(ctx, &roll{group: r.groups[role], began: time.Now()})
		if err != nil {
			return false, err
		}
		all = all && ok
	}
	if !all {
		r.outcome = Started
	}
	return !all, nil
}

// succeed ends the rollout when the smoke has passed and both groups are as they should be: one was looked at last
// before the other began. A smoke may outlast the bake: AWS will not go back by itself any more then, but a failure still
// goes back, by refreshes of ours.
func (r *run) succeed(ctx context.Context) (bool, error) {
	if !r.Start {
		r.smoke(ctx)
	}
	to := map[settings.Role]*roll{}
	for _, role := range Order {
		to[role] = &roll{group: r.groups[role], began: time.Now()}
	}
	if err := r.poll(ctx, func() (bool, error) {
		all := r.smokeIsOver() // asked before its result is, which may come at any time
		for _, role := range Order {
			done, err := r.advance(ctx, to[role])
			if err != nil {
				return false, err
			}
			all = all && done
		}
		if _, err := r.quiet(ctx); err != nil { // one that knows nothing is no reason to go back
			return false, err
		}
		return all, nil
	}); err != nil {
		return false, err
	}
	r.say("release %s runs in both groups", short(r.want.Release))
	return true, r.journal.mine(ctx, func(rec *record.Record) {
		rec.Abort = nil
		delete(rec.Blocked, r.want.Release) // who forced it has lifted the hold
		end(rec, record.Successful, "")
	})
}

// end closes the open entry.
func end(rec *record.Record, result record.Result, reason string) {
	if e := rec.Current(); e != nil {
		e.Result, e.End = result, time.Now().UTC()
		if reason != "" {
			e.Reason = reason
		}
	}
}

// closeBack closes the open entry when everything is back.
func (r *run) closeBack(ctx context.Context) error {
	return r.journal.mine(ctx, func(rec *record.Record) {
		rec.Abort = nil
		if e := rec.Current(); e != nil {
			end(rec, cmp.Or(e.Ends, record.RolledBack), "")
		}
	})
}

func (r *run) close(ctx context.Context, result record.Result, reason string) error {
	return r.journal.mine(ctx, func(rec *record.Record) {
		rec.Abort = nil
		end(rec, result, reason)
	})
}

// conclude turns the end of a step into that of the run: a release that failed goes back, and what else went wrong, an
// interruption too, leaves AWS at work. Then the entry stays open, and the next run picks it up.
func (r *run) conclude(ctx context.Context, err error) error {
	var f *failure
	if errors.As(err, &f) && ctx.Err() == nil {
		err = r.goBack(ctx, f)
	}
	rec := r.journal.now()
	e := rec.Current()
	if refused := (*rejected)(nil); errors.As(err, &refused) && e != nil && !r.same(*e) {
		return err // whoever refuses has touched nothing, and what another run began is not its own
	}
	if err != nil && e != nil {
		if err = cmp.Or(context.Cause(ctx), err); errors.Is(err, context.Canceled) {
			err = errors.New("interrupted")
		}
		return fmt.Errorf("left as it is: AWS goes on with what was begun for release %s, and nobody watches it; run it again to see it through: %w", short(e.Release), err)
	}
	return err
}
