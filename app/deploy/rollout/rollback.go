package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
)

// errRollbackStuck is returned when a rollback cannot reach the old version.
var errRollbackStuck = errors.New("the rollback does not work")

// rollBack rolls both groups back after a failure, also the one that was healthy, and closes the entry unless AWS could
// not be reached. It returns the failure with an Outcome, joined with what went wrong meanwhile.
func (c *controller) rollBack(ctx context.Context, f *Error) error {
	name := short(c.want.Release)
	if c.firstDeploy {
		f.Outcome = "release " + name +
			" does not work, and there is none to roll back to; its instances are left as they are"
		if f.result == record.Inconclusive {
			f.Outcome = "release " + name + " was not judged, and there is none to roll back to; " +
				"run this again when the cause is gone"
		}
		return join(f, c.pause(ctx), c.close(ctx, cmp.Or(f.result, record.Failed), f.Reason))
	}
	c.log("release %s is rolled back: %s", name, f.Reason)
	// Recorded first: the next run must roll back, too.
	if err := c.journal.editLocked(ctx, func(rec *record.Record) {
		if e := rec.Current(); e != nil {
			e.Result, e.FinalResult = record.RollingBack, f.result
			e.Reason, e.Instance, e.Lines = f.Reason, f.Instance, f.Lines
		}
	}); err != nil {
		return err
	}
	switch err := c.restore(ctx, c.old); {
	case errors.Is(err, errRollbackStuck):
		reason := f.Reason + "; " + err.Error()
		f.Outcome, f.Reason = "release "+name+" failed, and "+err.Error(), f.Reason+" (the first failure)"
		return join(f, c.close(ctx, record.Failed, reason))
	case err != nil:
		return err
	case c.from == "":
		f.Outcome = "release " + name +
			" was rolled back, each group runs what it ran before, and that was not the same release"
	case f.result != "":
		f.Outcome = fmt.Sprintf("release %s was rolled back without a verdict and may be rolled out again, both groups "+
			"run %s again", name, short(c.from))
	default:
		f.Outcome = fmt.Sprintf("release %s was rolled back, both groups run %s again", name, short(c.from))
	}
	return join(f, c.close(ctx, record.RolledBack, ""))
}

// join returns f, joined with the other errors if there are any.
func join(f *Error, others ...error) error {
	if err := errors.Join(others...); err != nil {
		return errors.Join(err, f)
	}
	return f
}

// restore brings groups back to old versions, all at the same time, and returns when they are healthy. It returns an
// error that wraps errRollbackStuck if a group cannot be brought back; the other group is brought back nevertheless.
func (c *controller) restore(ctx context.Context, old map[settings.Role]string) error {
	var targets []*target
	for _, g := range c.groups {
		if version, ok := old[g.role]; ok {
			targets = append(targets, &target{group: g, want: version, began: time.Now()})
		}
		g.blocked = nil // by the other release, like these failures
		clear(g.failedLaunches)
		clear(g.failedInService)
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
		ok, problem, err := c.observe.health(ctx, t.group)
		if !ok && err == nil {
			c.once("waits "+problem, "%s: version %s is back, waiting: %s", t.role, t.want, problem)
		}
		return ok, err
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
