package rollout

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
)

// errRollbackStuck is returned when a rollback cannot reach the old version.
var errRollbackStuck = errors.New("the rollback does not work")

// rollBack rolls both groups back after a failure, also the one that was healthy, and closes the entry unless AWS could
// not be reached. It returns the failure with an Outcome.
func (c *controller) rollBack(ctx context.Context, f *Error) error {
	name := short(c.want.Release)
	if c.firstDeploy {
		f.Outcome = "release " + name +
			" does not work, and there is none to roll back to; its instances are left as they are"
		if f.result == record.Inconclusive {
			f.Outcome = "release " + name + " was not judged, and there is none to roll back to; " +
				"run this again when the cause is gone"
		}
		return errors.Join(c.pause(ctx), c.close(ctx, cmp.Or(f.result, record.Failed), f.Reason), f)
	}
	c.log("release %s is rolled back: %s", name, f.Reason)
	stuck, err := c.revert(ctx, c.entry.Old, f)
	if err != nil {
		return err
	}
	err = c.closeReverted(ctx, f, stuck)
	f.Outcome = "release " + name + " was rolled back"
	switch from := short(c.entry.From); {
	case stuck != nil:
		f.Outcome, f.Reason = "release "+name+" failed, and "+stuck.Error(), f.Reason+" (the first failure)"
		f.stuck = true
	case from == "":
		f.Outcome += ", each group runs what it ran before, and that was not the same release"
	case f.result != "":
		f.Outcome += " without a verdict and may be rolled out again, both groups run " + from + " again"
	default:
		f.Outcome += ", both groups run " + from + " again"
	}
	return errors.Join(err, f)
}

// revert brings the groups back to old versions because of a failure. Stuck, which wraps errRollbackStuck, is set if
// one of them cannot be brought back. In both cases the caller calls closeReverted.
func (c *controller) revert(ctx context.Context, old map[settings.Role]string, f *Error) (stuck, err error) {
	// Recorded first: the next run must roll back, too.
	if err := c.journal.editLocked(ctx, func(rec *record.Record) {
		if e := rec.Current(); e != nil && e.Result == record.Running {
			e.Result, e.FinalResult = record.RollingBack, f.result
			e.Reason, e.Instance, e.Lines = f.Reason, f.Instance, f.Lines
		}
	}); err != nil {
		return nil, err
	}
	if err = c.restore(ctx, old); errors.Is(err, errRollbackStuck) {
		return err, nil
	}
	return nil, err
}

// closeReverted closes the entry of a failure once revert has ended.
func (c *controller) closeReverted(ctx context.Context, f *Error, stuck error) error {
	if stuck != nil {
		return c.close(ctx, record.Failed, f.Reason+"; "+stuck.Error())
	}
	return c.close(ctx, record.RolledBack, "")
}

// restore brings groups back to old versions, all at the same time, and returns when they are healthy. It returns an
// error that wraps errRollbackStuck if a group cannot be brought back; the other group is brought back nevertheless.
func (c *controller) restore(ctx context.Context, old map[settings.Role]string) error {
	var targets []*target
	for _, g := range c.groups {
		if version, ok := old[g.role]; ok {
			targets = append(targets, &target{group: g, want: version, began: time.Now()})
		}
		g.blocked = nil // of the other release, like the failures
		clear(g.failed)
	}
	err := c.poll(ctx, func() (bool, error) { return advanceAll(ctx, targets, c.advanceRollback) })
	for _, t := range targets {
		err = cmp.Or(err, t.stuck)
	}
	return err
}

// advanceRollback observes a group and takes the next action towards the old version; done is true when the group has
// it and is healthy, or is stuck and without a refresh that leads nowhere.
func (c *controller) advanceRollback(ctx context.Context, t *target) (done bool, err error) {
	if err := c.observe.group(ctx, t.group); err != nil {
		return false, err
	}
	if err := c.checkSuspended(t.group); err != nil {
		return false, err
	}
	d := decideRollback(t, time.Now())
	switch d.action {
	case actionAwaitHealthy:
		problem, err := c.observe.health(ctx, t.group)
		if problem != "" {
			c.once("waits "+problem, "%s: version %s is back, waiting: %s", t.role, t.want, problem)
		}
		return problem == "" && err == nil, err
	case actionWatchRefresh:
		err := c.observe.checkLaunches(ctx, t.group, t.want, maxFailedRollbackLaunches, d.refresh.covers)
		if f := (*Error)(nil); errors.As(err, &f) {
			d = stuck("version %s of the %ss does not come up any more: %s", t.want, t.role, f.Reason)
			break
		}
		return false, err
	case actionRollBack:
		return false, c.act.rollBack(ctx, t.group)
	case actionCancel:
		if err := c.journal.confirmLock(ctx); err != nil {
			return false, err
		}
		return false, c.act.cancel(ctx, t.group)
	case actionSetVersion:
		return false, c.act.setVersion(ctx, t)
	case actionStartRefresh:
		// Neither alarms nor a bake may stop it: alarms are in state ALARM because of the release that is removed.
		return false, c.act.startRefresh(ctx, t, types.RefreshPreferences{})
	}
	if d.err != nil {
		c.log("%v", d.err)
		t.stuck = d.err
	}
	return d.action == actionStop, nil
}

// pause suspends the launches of every group that has fewer instances in service than its minimum, after a first
// deploy that failed: Auto Scaling would start instances for a day, each of which fails. The next run resumes them.
func (c *controller) pause(ctx context.Context) error {
	var errs []error
	for _, g := range c.groups {
		if err := c.observe.group(ctx, g); err != nil {
			return err
		}
		if g.serving() >= g.minimum() && !c.paused(g) { // or is still suspended from an earlier run
			continue
		}
		// Recorded first: a suspension that is not in the record would have to be resumed by hand.
		if err := c.setPaused(ctx, g, true); err != nil {
			return err
		}
		if err := c.act.suspendLaunches(ctx, g); err != nil {
			errs = append(errs, err, c.setPaused(ctx, g, false))
		}
	}
	return errors.Join(errs...)
}

// paused reports whether an earlier run suspended the launches of the group by pause.
func (c *controller) paused(g *group) bool {
	return slices.Contains(c.journal.latest().Paused, g.role)
}

func (c *controller) setPaused(ctx context.Context, g *group, paused bool) error {
	return c.journal.editLocked(ctx, func(rec *record.Record) {
		rec.Paused = slices.DeleteFunc(rec.Paused, func(role settings.Role) bool { return role == g.role })
		if paused {
			rec.Paused = append(rec.Paused, g.role)
		}
	})
}

// unpause resumes the launches that an earlier run suspended by pause, when the group is about to get its version.
func (c *controller) unpause(ctx context.Context, g *group) error {
	if !c.paused(g) {
		return nil
	}
	if _, suspended := g.suspended[launchProcess]; suspended {
		if err := c.act.resume(ctx, g, []string{launchProcess}); err != nil {
			return err
		}
	}
	return c.setPaused(ctx, g, false)
}
