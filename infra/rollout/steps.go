package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"imagery/app/ops/record"
	"imagery/app/settings"
)

// same reports whether an entry is the rollout that is wanted now.
func (r *run) same(e record.Entry) bool {
	return e.Release == r.want.Release && maps.Equal(e.New, versions(r.want.Versions))
}

// settle sees to what others left: the same rollout is picked up where it is, another one is taken back first. That
// costs time, but then there is one release to return to again, and not the half of another. The lock is ours, so
// whoever left it is gone, or stops at the next renewal.
func (r *run) settle(ctx context.Context) (bool, error) {
	rec := r.journal.now()
	e := rec.Current()
	switch {
	case e == nil:
		return false, r.clear(ctx)
	case r.same(*e):
		r.resumed, r.fresh, r.from, r.old, r.before = true, len(e.Old) == 0, e.From, roles(e.Old), e.Before
		r.say("%s began this on %s and did not see it through: going on", e.By, e.Begin.Format(time.RFC3339))
		if e.Result == record.RollingBack { // the judgement stands, whoever made it
			return false, &failure{e.Reason, witness{instance: e.Instance, lines: e.Lines}}
		}
		return false, nil
	}
	r.say("%s began to roll out release %s on %s and did not see it through: taking it back first", e.By, short(e.Release), e.Begin.Format(time.RFC3339))
	reason := "release " + short(r.want.Release) + " came before this one was through"
	if err := r.journal.mine(ctx, func(rec *record.Record) {
		if e := rec.Current(); e != nil && e.Result == record.Running {
			e.Result, e.Ends, e.Reason = record.RollingBack, record.Superseded, reason
		}
	}); err != nil {
		return false, err
	}
	if err := r.restore(ctx, roles(e.Old)); err != nil {
		return false, err
	}
	return false, r.closeBack(ctx)
}

// clear rolls back a refresh that no record knows of, begun in the console for example, unless it does what is wanted:
// that one is adopted.
func (r *run) clear(ctx context.Context) error {
	old := map[settings.Role]string{}
	for role, g := range r.groups {
		if f := g.active(); f != nil && (f.version() != r.want.Versions[role] || !f.forward()) {
			r.say("%s: somebody started a refresh to version %s: rolling it back first", role, f.version())
			old[role] = g.version
		}
	}
	return r.restore(ctx, old)
}

func roles(of map[string]string) map[settings.Role]string {
	out := map[settings.Role]string{}
	for role, v := range of {
		out[settings.Role(role)] = v
	}
	return out
}

// converged ends a run that has nothing to do. The first deploy has: to prove that what the groups were made with
// works.
func (r *run) converged(ctx context.Context) (done bool, err error) {
	if r.resumed {
		return false, nil
	}
	there := true
	for role, g := range r.groups {
		there = there && g.at(r.want.Versions[role]) && g.active() == nil
		// All or nothing: without one of the groups there is no release to return to.
		r.fresh = r.fresh || g.dead
	}
	good := r.proven()
	switch {
	case there && good == nil:
		r.fresh, there = true, false
	case good != nil && maps.Equal(roles(good.New), r.versions()):
		// It worked, so it can be returned to, even if nobody serves at this moment.
		r.fresh = false
	}
	return there, nil
}

// proven is the newest rollout that succeeded, or nil.
func (r *run) proven() *record.Entry {
	rec := r.journal.now()
	if n := slices.IndexFunc(rec.Entries, func(e record.Entry) bool { return e.Result == record.Successful }); n >= 0 {
		return &rec.Entries[n]
	}
	return nil
}

// versions are those that the groups have.
func (r *run) versions() map[settings.Role]string {
	out := map[settings.Role]string{}
	for role, g := range r.groups {
		out[role] = g.version
	}
	return out
}

// refuse stops a release that is held, or that went back before, so that an update that has nothing to do with it
// does not try it again. Where there was nothing to go back to, trying again is all that one can do.
func (r *run) refuse(context.Context) (bool, error) {
	if r.resumed {
		return false, nil
	}
	rec := r.journal.now()
	name, why := short(r.want.Release), ""
	if h, held := rec.Held[r.want.Release]; held {
		why = fmt.Sprintf("%s holds release %s since %s: %s", h.By, name, h.Since.Format(time.RFC3339), h.Why)
	} else if e, ok := rec.Last(r.want.Release); ok && e.Result.Bad() && len(e.Old) > 0 && (e.From != e.Release || r.same(e)) {
		why = fmt.Sprintf("release %s failed on %s (%s): %s", name, e.Begin.Format(time.RFC3339), e.Result, e.Reason)
	}
	switch {
	case why == "":
		return false, nil
	case r.Force:
		r.say("forced although %s", why)
		return false, nil
	}
	return false, fmt.Errorf("%s. Nothing was touched. Change the code and so the hash, or force it (imagery:rolloutForce true, or -force)", why)
}

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
		if r.Hold != "" && e.From != "" {
			if rec.Held == nil {
				rec.Held = map[string]record.Hold{}
			}
			rec.Held[e.From] = record.Hold{By: r.By, Since: e.Begin, Why: r.Hold}
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

// succeed ends the rollout when the smoke has passed. A smoke may outlast the bake: AWS will not go back by itself any
// more then, but a failure still goes back, by refreshes of ours.
func (r *run) succeed(ctx context.Context) (bool, error) {
	if r.Smoke != nil && !r.Start {
		r.smoke(ctx)
		select {
		case err := <-r.smoked:
			if err != nil {
				return false, &failure{reason: "the smoke failed: " + err.Error()}
			}
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
	r.say("release %s runs in both groups", short(r.want.Release))
	return true, r.journal.mine(ctx, func(rec *record.Record) {
		rec.Abort = nil
		delete(rec.Held, r.want.Release) // who forced it has lifted the hold
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

// judged turns the end of a step into that of the run: a release that failed goes back, and what else went wrong, an
// interruption too, leaves AWS at work. Then the entry stays open, and the next run picks it up.
func (r *run) judged(ctx context.Context, err error) error {
	var f *failure
	if errors.As(err, &f) && ctx.Err() == nil {
		err = r.goBack(ctx, f)
	}
	rec := r.journal.now()
	if e := rec.Current(); err != nil && e != nil {
		if err = cmp.Or(context.Cause(ctx), err); errors.Is(err, context.Canceled) {
			err = errors.New("interrupted")
		}
		return fmt.Errorf("left as it is: AWS goes on with what was begun for release %s, and nobody watches it; run it again to see it through: %w", short(e.Release), err)
	}
	return err
}
