package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
)

// errRollbackStuck is returned when a rollback cannot reach the old version.
var errRollbackStuck = errors.New("the rollback does not work")

// rollBack rolls both groups back after a failure, also the one that was healthy, and closes the entry unless AWS could
// not be reached. It returns an *Error that says what the groups run now, joined with what went wrong meanwhile.
func (c *controller) rollBack(ctx context.Context, f *failure) error {
	out := &Error{Reason: f.reason, Instance: f.instance, Lines: f.lines, Logs: f.logs}
	name := short(c.want.Release)
	if c.fresh {
		out.Outcome = "release " + name +
			" does not work, and there is none to roll back to; its instances are left as they are"
		if f.finalResult == record.Inconclusive {
			out.Outcome = "release " + name + " was not judged, and there is none to roll back to; " +
				"run this again when the cause is gone"
		}
		return join(errors.Join(c.pause(ctx), c.close(ctx, cmp.Or(f.finalResult, record.Failed), f.reason)), out)
	}
	c.log("release %s is rolled back: %s", name, f.reason)
	// Recorded first: the next run must roll back, too.
	if err := c.journal.editLocked(ctx, func(rec *record.Record) {
		if e := rec.Current(); e != nil {
			e.Result, e.FinalResult = record.RollingBack, f.finalResult
			e.Reason, e.Instance, e.Lines = f.reason, f.instance, f.lines
		}
	}); err != nil {
		return err
	}
	if err := c.restore(ctx, c.old); err != nil && !errors.Is(err, errRollbackStuck) {
		return err
	} else if err != nil {
		out.Outcome, out.Reason = "release "+name+" failed, and "+err.Error(), out.Reason+" (the first failure)"
		result := record.Failed
		if f.finalResult == record.Inconclusive {
			result = f.finalResult
		}
		return join(c.close(ctx, result, f.reason+"; "+err.Error()), out)
	}
	switch {
	case c.from == "":
		out.Outcome = "release " + name +
			" was rolled back, each group runs what it ran before, and that was not the same release"
	case f.finalResult != "":
		out.Outcome = fmt.Sprintf("release %s was rolled back without a verdict and may be rolled out again, both groups "+
			"run %s again", name, short(c.from))
	default:
		out.Outcome = fmt.Sprintf("release %s was rolled back, both groups run %s again", name, short(c.from))
	}
	return join(c.closeRolledBack(ctx), out)
}

// join returns out, joined with err if it is not nil.
func join(err error, out *Error) error {
	if err == nil {
		return out
	}
	return errors.Join(err, out)
}

// restore brings groups back to old versions, all at the same time, and returns when they are healthy. It returns an
// error that wraps errRollbackStuck if a group cannot be brought back; the other group is brought back nevertheless.
func (c *controller) restore(ctx context.Context, old map[settings.Role]string) error {
	back, lost := map[settings.Role]*target{}, map[settings.Role]error{}
	for role, version := range old {
		back[role] = &target{group: c.groups[role], want: version, began: time.Now()}
	}
	clear(c.observe.failures) // of the other release
	clear(c.observe.blocked)
	err := c.poll(ctx, func() (bool, error) {
		all := true
		for _, role := range slices.Sorted(maps.Keys(back)) {
			done, err := c.advanceRollback(ctx, back[role])
			if errors.Is(err, errRollbackStuck) && lost[role] == nil {
				lost[role] = err
				c.log("%v", err)
			}
			if lost[role] != nil { // leave no refresh behind that leads nowhere
				done, err = c.endRefresh(ctx, back[role].group)
			}
			if err != nil {
				return false, err
			}
			all = all && done
		}
		return all, nil
	})
	for _, e := range lost {
		err = cmp.Or(err, e)
	}
	return err
}

// endRefresh observes a group and ends its refresh; done is true when none is in progress.
func (c *controller) endRefresh(ctx context.Context, g *group) (done bool, err error) {
	if err := c.observe.group(ctx, g); err != nil {
		return false, err
	}
	next := decideEndRefresh(g)
	if next == actionCancel {
		if err := c.act.confirmLock(ctx); err != nil {
			return false, err
		}
		return false, c.act.cancel(ctx, g)
	}
	return next == actionStop, nil
}

// advanceRollback observes a group and takes the next action towards the old version; done is true when the group has
// it and is healthy.
func (c *controller) advanceRollback(ctx context.Context, t *target) (done bool, err error) {
	if err := c.observe.group(ctx, t.group); err != nil {
		return false, err
	}
	if err := c.checkSuspended(t.group); err != nil {
		return false, err
	}
	switch d := decideRollback(t, time.Now()); d.action {
	case actionAwaitHealthy:
		ok, problem, err := c.observe.health(ctx, t.group)
		if !ok && err == nil {
			c.once("waits "+problem, "%s: version %s is back, waiting: %s", t.role, t.want, problem)
		}
		return ok, err
	case actionWatchRefresh:
		err := c.observe.checkLaunches(ctx, t.group, t.want, maxFailedRollbackLaunches, d.refresh.covers)
		if f := (*failure)(nil); errors.As(err, &f) {
			return false, stuck("version %s of the %ss does not come up any more: %s", t.want, t.role, f.reason).err
		}
		return false, err
	case actionRollBack:
		return false, c.act.rollBack(ctx, t.group)
	case actionSetVersion:
		return false, c.act.setVersion(ctx, t.group, t.want)
	case actionStartRefresh:
		// Neither alarms nor a bake may stop it: alarms are in state ALARM because of the release that is removed.
		return false, c.startRefresh(ctx, t, nil)
	default:
		return d.action == actionStop, d.err
	}
}
