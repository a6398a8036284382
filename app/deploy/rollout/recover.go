package rollout

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
)

// same reports whether an entry is the rollout that is wanted now.
func (r *run) same(e record.Entry) bool {
	return e.Release == r.want.Release && maps.Equal(e.New, versions(r.want.Versions))
}

// recover handles a rollout that an earlier run left unfinished: the same rollout is resumed, another one is rolled
// back first, so that both groups have one release to return to. This run holds the lock, so the earlier run has
// ended or stops at its next renewal.
func (r *run) recover(ctx context.Context) (bool, error) {
	rec := r.journal.now()
	e := rec.Current()
	switch {
	case e == nil:
		return false, r.clear(ctx)
	case r.same(*e) && e.Result == record.RollingBack && e.Ends == record.Superseded && len(e.Old) == 0:
		// Another release began to take its place and was killed. Nothing was judged, and nothing is there to return to.
		if err := r.close(ctx, record.Superseded, e.Reason); err != nil {
			return false, err
		}
		return false, r.clear(ctx)
	case r.same(*e):
		r.resumed, r.fresh, r.from, r.old, r.before = true, len(e.Old) == 0, e.From, roles(e.Old), e.Before
		r.say("%s began this on %s and did not see it through: going on", e.By, e.Begin.Format(time.RFC3339))
		if e.Result == record.RollingBack { // the judgement stands, whoever made it
			return false, again(e)
		}
		return false, nil
	}
	// Before anything is taken back for the sake of a release that must not come.
	if _, err := r.checkBlocked(ctx); err != nil {
		return false, fmt.Errorf("%w. The rollout of release %s that %s began is left where it is: see it through by imagery rollout to %[2]s, or take it back by imagery rollout abort",
			err, short(e.Release), e.By)
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
	err := r.restore(ctx, roles(e.Old))
	switch {
	case errors.Is(err, errRollbackStuck):
		// What cannot be returned to must not keep out what may mend it.
		r.say("going on from where the groups are")
		result, stuck := record.Failed, err
		if now := r.journal.now(); now.Current() != nil && now.Current().Ends != "" {
			result = now.Current().Ends // nobody has judged it
		}
		err = r.close(ctx, result, reason+"; "+stuck.Error())
	case err == nil:
		err = r.closeBack(ctx)
	}
	if err != nil {
		return false, err
	}
	return false, r.clear(ctx)
}

// again returns the failure that the record holds for an entry.
func again(e *record.Entry) *failure {
	return &failure{reason: e.Reason, failedInstance: failedInstance{instance: e.Instance, lines: e.Lines}, ends: e.Ends}
}

// clear rolls back a refresh that no record knows of, begun in the console for example, unless it does what is wanted:
// that one is adopted.
func (r *run) clear(ctx context.Context) error {
	old := map[settings.Role]string{}
	for role, g := range r.groups {
		if f := g.active(); f != nil && (f.version() != r.want.Versions[role] || !f.forward()) {
			r.say("%s: a refresh to version %s is under way that no rollout knows of: rolling it back first", role, f.version())
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

// converged ends a run that has nothing to do, if what is there is well. The first deploy has: to prove that what the groups were made with
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
	if !there {
		return false, nil
	}
	return true, r.well(ctx)
}

// well ends a run that has nothing to do. That both groups have the version says nothing about whether it works, and no
// rollout would mend it.
func (r *run) well(ctx context.Context) error {
	name := short(r.want.Release)
	if h, held := r.journal.now().Blocked[r.want.Release]; held && !r.Force {
		return &rejected{fmt.Sprintf("both groups run release %s, but %s holds it since %s: %s. Roll out another one, or force it (imagery:rolloutForce true, or -force), which ends the hold",
			name, h.By, h.Since.Format(time.RFC3339), h.Why)}
	} else if held {
		if err := r.journal.mine(ctx, func(rec *record.Record) { delete(rec.Blocked, r.want.Release) }); err != nil {
			return err
		}
	}
	looked := true
	return r.poll(ctx, func() (bool, error) {
		for _, role := range Order {
			g := r.groups[role]
			if !looked {
				if err := r.read(ctx, g); err != nil {
					return false, err
				}
			}
			ok, missing, err := r.healthy(ctx, g)
			if ok && err == nil {
				continue
			}
			switch {
			case err != nil:
			case r.Start:
				r.outcome = Started
				return true, nil
			case time.Since(r.began) > healthyTimeout:
				err = &rejected{fmt.Sprintf("both groups have release %s already, but the %ss are not well after %s: %s. Nothing was touched. Look at its instances and its log group %s, or go back by imagery rollout to RELEASE",
					name, role, healthyTimeout, missing, g.Logs)}
			default:
				r.once("waits "+missing, "%s: nothing to roll out, waiting: %s", role, missing)
				// Only for a launch that AWS refuses: what fails otherwise is judged by no rollout here.
				err = r.launches(ctx, g, r.want.Versions[role], math.MaxInt, r.sinceMark(ctx, g))
				if f := (*failure)(nil); errors.As(err, &f) {
					err = &rejected{fmt.Sprintf("both groups have release %s already, but %s. Nothing was touched", name, f.reason)}
				}
			}
			looked = false
			return false, err
		}
		return true, nil
	})
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

// checkBlocked stops a release that is held, or that went back before, so that an update that has nothing to do with it
// does not try it again. Where there was nothing to go back to, trying again is all that one can do.
func (r *run) checkBlocked(context.Context) (bool, error) {
	if r.resumed {
		return false, nil
	}
	rec := r.journal.now()
	name, why := short(r.want.Release), ""
	if h, held := rec.Blocked[r.want.Release]; held {
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
	return false, &rejected{why + ". Nothing was touched. Change the code and so the hash, or force it (imagery:rolloutForce true, or -force)"}
}
