package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
)

// errRollbackStuck is returned when a rollback cannot reach the old version.
var errRollbackStuck = errors.New("the way back does not work")

// goBack takes a release back that was judged, in both groups, the one that was well included. The error says how that
// went, and the entry is closed unless AWS could not be reached.
func (r *run) goBack(ctx context.Context, f *failure) error {
	out := &Error{Reason: f.reason, Instance: f.instance, Lines: f.lines, Logs: f.logs}
	name := short(r.want.Release)
	if r.fresh {
		out.Outcome = "release " + name + " does not work, and there is none to return to; everything is left as it is, to be looked at"
		if f.ends == record.NotJudged {
			out.Outcome = "release " + name + " was not judged, and there is none to return to; " +
				"run this again when the cause is gone"
		}
		return first(errors.Join(r.pause(ctx), r.close(ctx, cmp.Or(f.ends, record.Failed), f.reason)), out)
	}
	r.say("release %s goes back: %s", name, f.reason)
	// Written first: whoever comes after us must go back as well.
	if err := r.journal.mine(ctx, func(rec *record.Record) {
		if e := rec.Current(); e != nil {
			e.Result, e.Ends, e.Reason, e.Instance, e.Lines = record.RollingBack, f.ends, f.reason, f.instance, f.lines
		}
	}); err != nil {
		return err
	}
	if err := r.restore(ctx, r.old); err != nil && !errors.Is(err, errRollbackStuck) {
		return err
	} else if err != nil {
		out.Outcome, out.Reason = "release "+name+" failed, and "+err.Error(), out.Reason+" (went wrong first)"
		result := record.Failed
		if f.ends == record.NotJudged {
			result = f.ends
		}
		return first(r.close(ctx, result, f.reason+"; "+err.Error()), out)
	}
	out.Outcome = fmt.Sprintf("release %s was taken back, both groups run %s again", name, short(r.from))
	if f.ends != "" {
		out.Outcome = fmt.Sprintf("release %s was taken back without a verdict and may come again, both groups run %s again", name, short(r.from))
	}
	if r.from == "" {
		out.Outcome = "release " + name + " was taken back, each group runs what it ran before, and that was not the same release"
	}
	return first(r.closeBack(ctx), out)
}

// first is out, with what went wrong before it if anything did.
func first(err error, out *Error) error {
	if err == nil {
		return out
	}
	return errors.Join(err, out)
}

// restore brings groups back to old versions, all at the same time: nobody waits for the other one's bad release.
// Old instances that run are never replaced.
func (r *run) restore(ctx context.Context, old map[settings.Role]string) error {
	back, stuck := map[settings.Role]*roll{}, map[settings.Role]error{}
	for role := range old {
		back[role] = &roll{group: r.groups[role], began: time.Now()}
	}
	r.lost = map[string]*failure{} // what failed of the other release is no matter of this one
	clear(r.blocked)
	err := r.poll(ctx, func() (bool, error) {
		all := true
		for _, role := range slices.Sorted(maps.Keys(back)) {
			done, err := r.retreat(ctx, back[role], old[role])
			if errors.Is(err, errRollbackStuck) && stuck[role] == nil {
				// The other group still gets there, and nobody finds a refresh that leads nowhere.
				stuck[role] = err
				r.say("%v", err)
			}
			if stuck[role] != nil {
				done, err = r.halt(ctx, back[role].group)
			}
			if err != nil {
				return false, err
			}
			all = all && done
		}
		return all, nil
	})
	for _, e := range stuck {
		err = cmp.Or(err, e)
	}
	return err
}

// halt stops a refresh that gets nowhere; done is true when there is none.
func (r *run) halt(ctx context.Context, g *group) (done bool, err error) {
	if err := r.read(ctx, g); err != nil {
		return false, err
	}
	if f := g.active(); f == nil {
		return true, nil
	} else if f.Status == types.InstanceRefreshStatusCancelling {
		return false, nil
	}
	if err := r.holds(ctx); err != nil {
		return false, err
	}
	return false, r.cancel(ctx, g)
}

// retreat does the next thing to bring a group back to a version; done is true when it is there.
func (r *run) retreat(ctx context.Context, to *roll, version string) (done bool, err error) {
	g := to.group
	if err := r.read(ctx, g); err != nil {
		return false, err
	}
	if err := r.checkProcesses(g); err != nil {
		return false, err
	}
	switch active := g.active(); {
	case active == nil && g.at(version):
		ok, missing, err := r.healthy(ctx, g)
		if !ok && time.Since(to.began) > healthyTimeout {
			return true, nil // it is what it was; that it is not well has another cause, and alarms that ring
		} else if !ok && err == nil {
			r.once("waits "+missing, "%s: version %s is back, waiting: %s", g.role, version, missing)
		}
		return ok, err
	case time.Since(to.began) > refreshTimeout:
		return false, fmt.Errorf("%w: the %ss are not back at version %s after %s", errRollbackStuck, g.role, version, refreshTimeout)
	case active != nil && active.forward() && active.version() == version:
		err := r.launches(ctx, g, version, maxFailedRollbackLaunches, active.covers)
		if f := (*failure)(nil); errors.As(err, &f) {
			return false, fmt.Errorf("%w: version %s of the %ss does not come up any more: %s", errRollbackStuck, version, g.role, f.reason)
		}
		return false, err
	case active != nil && !active.forward():
		return false, nil // AWS takes it back
	case active != nil:
		// AWS's own rollback replaces only what the refresh had replaced.
		return false, r.rollBack(ctx, g)
	case g.version != version && !g.serves(version):
		return false, r.replace(ctx, to, version) // a refresh would wait for those that it must keep, in vain
	case g.version == version && !g.serves(version):
		return false, nil // what is left of the other version fails, and goes by itself
	case to.started >= maxRefreshes:
		return false, fmt.Errorf("%w: %d refreshes of the %ss to version %s ended, and there are still other instances: look at its scaling activities",
			errRollbackStuck, to.started, g.role, version)
	}
	// What has ended can only be undone by a refresh to the old number. It skips the instances that have it, and neither
	// alarm nor bake may stop it: alarms ring because of what is being taken away.
	return false, r.launch(ctx, to, version, false)
}
