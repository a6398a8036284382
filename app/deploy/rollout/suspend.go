package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
)

// launchProcess is the process that pause suspends.
const launchProcess = "Launch"

// needed lists the processes without which a group cannot replace instances or a rollout cannot see a new one fail.
// Others (AZRebalance, AlarmNotification, ScheduledActions) may stay suspended.
var needed = []string{launchProcess, "Terminate", "AddToLoadBalancer", "HealthCheck", "InstanceRefresh",
	"ReplaceUnhealthy"}

// checkSuspended returns a *rejected if a needed process of the group is suspended: an operator did that, or AWS, which
// does it to "groups that have been trying to launch instances for over 24 hours but have not succeeded". A rollout
// would wait for it in vain.
func (c *controller) checkSuspended(g *group) error {
	var lines []string
	for _, p := range slices.Sorted(maps.Keys(g.suspended)) {
		why := g.suspended[p]
		if p == launchProcess && c.paused(g) {
			continue // unpause resumes it when the group is rolled
		}
		if slices.Contains(needed, p) {
			lines = append(lines, fmt.Sprintf("%s (%s)", p, why))
		} else {
			c.once("suspended "+g.Name+p, "%s: process %s is suspended: %s", g.role, p, why)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return &rejected{fmt.Sprintf("processes of Auto Scaling group %s are suspended: %s. Resume them with "+
		"imagery rollout resume, and run this again", g.Name, strings.Join(lines, ", "))}
}

// checkProcesses is checkSuspended for both groups, also when there is nothing to roll out.
func (c *controller) checkProcesses(context.Context) (bool, error) {
	return false, cmp.Or(c.checkSuspended(c.workers), c.checkSuspended(c.servers))
}

// pause suspends the launches of every group that has fewer instances in service than its minimum, after a first
// deploy that failed: Auto Scaling would start instances for a day, each of which fails. The next run resumes them.
func (c *controller) pause(ctx context.Context) error {
	var errs []error
	for _, g := range c.groups {
		if err := c.observe.group(ctx, g); err != nil {
			return err
		}
		if len(g.serving()) >= g.minimum() && !c.paused(g) { // or is still suspended from an earlier run
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

// Resume resumes every suspended process of both groups, and returns what it resumed, as group/process.
func Resume(ctx context.Context, o Options) (resumed []string, err error) {
	c := newController(o, Target{})
	err = c.locked(ctx, "resume", func(ctx context.Context) error {
		if _, err := c.describe(ctx); err != nil {
			return err
		}
		for _, g := range c.groups {
			names := slices.Sorted(maps.Keys(g.suspended))
			if len(names) == 0 {
				continue
			}
			if err := c.act.resume(ctx, g, names); err != nil {
				return err
			}
			for _, p := range names {
				resumed = append(resumed, g.Name+"/"+p)
			}
		}
		return c.journal.editLocked(ctx, func(rec *record.Record) { rec.Paused = nil })
	})
	return resumed, err
}
