package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
)

const (
	// pollInterval keeps the calls for both groups far below AWS's rate limits.
	pollInterval = 10 * time.Second
	// apiOutageTimeout bounds how long a rollout tolerates AWS API errors, on top of the SDK's own retries.
	apiOutageTimeout = 5 * time.Minute
	// maxAlarms is the number of alarms that AWS accepts for a refresh.
	maxAlarms = 10
)

// poll calls step every poll interval until it is done or fails. Transient AWS errors, which the SDK has already
// retried, do not fail a release: poll tolerates them for apiOutageTimeout. Errors that a retry cannot change are
// returned at once.
func (c *controller) poll(ctx context.Context, step func() (done bool, err error)) error {
	var since time.Time // of the outage
	for {
		done, err := step()
		var failed *Error
		var rejection *rejected
		switch {
		case err == nil && done:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil:
			since = time.Time{}
		case errors.As(err, &failed) || errors.As(err, &rejection) || answered(err) || errors.Is(err, errLockLost):
			return err
		case since.IsZero():
			since = time.Now()
			c.log("AWS cannot be reached, retrying: %v", err)
		case time.Since(since) > apiOutageTimeout:
			return err
		}
		if err := sleep(ctx, cmp.Or(c.Poll, pollInterval)); err != nil {
			return err
		}
	}
}

// targetsOf returns the targets of groups that are to get the new release.
func (c *controller) targetsOf(groups ...*group) (targets []*target) {
	for _, g := range groups {
		targets = append(targets, &target{group: g, want: c.want.Versions[g.role], before: c.entry.Before[g.role],
			began: time.Now()})
	}
	return targets
}

// advanceAll calls advance for each target, and reports whether all of them are done.
func advanceAll(
	ctx context.Context, targets []*target, advance func(context.Context, *target) (bool, error),
) (all bool, err error) {
	all = true
	for _, t := range targets {
		done, err := advance(ctx, t)
		if err != nil {
			return false, err
		}
		all = all && done
	}
	return all, nil
}

// roll drives the groups to their target launch template versions, one after the other. It is a reconcile loop: every
// iteration derives the next action from the observed state, so that roll may be restarted at any point.
func (c *controller) roll(ctx context.Context) (bool, error) {
	for _, g := range c.groups {
		c.workers.marked = nil // while the servers are rolled, checkWorkers counts failures from now on
		targets := c.targetsOf(g)
		if err := c.poll(ctx, func() (bool, error) { return advanceAll(ctx, targets, c.advance) }); err != nil {
			return false, err
		}
	}
	return false, nil
}

// advance observes a group and takes the next action towards the new release; done is true when the group is there and
// healthy.
func (c *controller) advance(ctx context.Context, t *target) (done bool, err error) {
	if err := c.stopRequested(); err != nil {
		return false, err
	}
	if err := c.observe.group(ctx, t.group); err != nil {
		return false, err
	}
	if err := c.checkSuspended(t.group); err != nil {
		return false, err
	}
	smokes := t.group == c.servers && !c.Start
	if smokes {
		if err := c.checkWorkers(ctx); err != nil {
			return false, err
		}
	}
	d := decideForward(t, time.Now())
	if d.action == actionSetVersion { // before unpause, so that no instance of the failed version is launched
		if err := c.act.setVersion(ctx, t); err != nil {
			return false, err
		}
	}
	if err := c.unpause(ctx, t.group); err != nil {
		return false, err
	}
	switch d.action {
	case actionWatchBake, actionWatchRefresh:
		if d.action == actionWatchBake && smokes {
			c.smoke.start(ctx, c.want.Release)
		}
		return false, c.observe.checkLaunches(ctx, t.group, t.want, maxFailedLaunches, d.refresh.covers)
	case actionAwaitHealthy:
		return c.healthy(ctx, t, maxFailedLaunches)
	case actionAwaitVersion:
		t.starts++
		return false, nil
	case actionSetVersion:
		return false, nil
	case actionStartRefresh:
		if ok, err := c.alarmsOK(ctx); !ok || err != nil { // an alarm would end the refresh at once
			return false, err
		}
		// AWS rolls the refresh back when an instance fails, or an alarm goes off until the end of the bake time.
		p := types.RefreshPreferences{AutoRollback: aws.Bool(true), BakeTime: aws.Int32(int32(c.Bake / time.Second))}
		alarms := c.alarms(t.group)
		if smokes {
			alarms = c.alarms(t.group, c.workers) // those of the workers may need longer than the workers bake
		}
		if len(alarms) > 0 {
			p.AlarmSpecification = &types.AlarmSpecification{Alarms: alarms[:min(len(alarms), maxAlarms)]}
		}
		return false, c.act.startRefresh(ctx, t, p)
	case actionExplain:
		if err := c.journal.read(ctx); err != nil { // an abort is recorded before AWS shows it
			return false, err
		}
		if err := c.stopRequested(); err != nil {
			return false, err
		}
		return false, c.observe.explain(ctx, t.group, *d.refresh)
	default:
		return false, d.err
	}
}

// stopRequested returns a failure if an operator has requested an abort, as of the last renewal of the lock, or if the
// smoke test has failed.
func (c *controller) stopRequested() error {
	if a := c.journal.latest().Abort; a != nil {
		return &Error{Reason: a.By + " aborted it"}
	}
	_, err := c.smoke.result()
	return err
}

// checkWorkers returns a failure if the workers fail or are replaced while the servers are rolled: their own refresh
// has ended, so that AWS does not watch them any more.
func (c *controller) checkWorkers(ctx context.Context) error {
	g, want := c.workers, c.want.Versions[settings.Worker]
	if err := c.observe.group(ctx, g); err != nil {
		return err
	}
	if f := g.refresh(); f != nil && f.version() != want {
		return inconclusive("another refresh, of the %ss to version %s, was started meanwhile", g.role, f.version()).err
	} else if g.version != want {
		return inconclusive("the %ss were given version %s meanwhile", g.role, g.version).err
	}
	return c.observe.checkLaunches(ctx, g, want, maxFailedLaunches, c.observe.sinceMark(ctx, g))
}

// healthy waits for the health of a group: the proof of a first deploy, and a formality after a refresh. It counts only
// launches that failed since this run gave the group the version, since the same release may have failed before for
// another reason.
func (c *controller) healthy(ctx context.Context, t *target, limit int) (bool, error) {
	problem, err := c.observe.health(ctx, t.group)
	if problem == "" && !t.at(t.want) {
		problem = "instances of another version are left"
	}
	if problem == "" || err != nil {
		return err == nil, err
	}
	counts := c.observe.sinceMark(ctx, t.group)
	if err := c.observe.checkLaunches(ctx, t.group, t.want, limit, counts); err != nil {
		return false, err
	}
	if t.blocked == nil && time.Since(t.began) > healthyTimeout {
		return false, &Error{Logs: logGroups(t.Group),
			Reason: fmt.Sprintf("the %ss are not healthy after %s: %s", t.role, healthyTimeout, problem)}
	}
	c.once("waits "+problem, "%s: waiting for version %s: %s", t.role, t.want, problem)
	return false, nil
}

// alarms returns the alarms that judge groups, each once. There are none of a group in which no instance served before:
// its alarms are in state ALARM because of that, and the release may be the fix.
func (c *controller) alarms(groups ...*group) (names []string) {
	for _, g := range groups {
		if c.Force || c.IgnoreAlarms || c.firstDeploy || g.wasDown {
			continue
		}
		for _, a := range g.Alarms {
			if !slices.Contains(names, a) {
				names = append(names, a)
			}
		}
	}
	return names
}

// alarmsOK reports whether all alarms that judge the release are in state OK, see observer.alarms.
func (c *controller) alarmsOK(ctx context.Context) (bool, error) {
	return c.observe.alarms(ctx, c.alarms(c.groups...))
}

// start begins the rollout of both groups if the run does not wait for its end.
func (c *controller) start(ctx context.Context) (done bool, err error) {
	age := time.Since(c.entry.Begin)
	if c.Start && c.resumed && c.firstDeploy && age > healthyTimeout {
		c.log("the first deploy began %s ago and does not serve yet: watching it", age.Round(time.Minute))
		c.Start = false // else it would never fail, and its groups would launch instances for ever
	}
	if !c.Start {
		return false, nil
	}
	all, err := advanceAll(ctx, c.targetsOf(c.groups...), c.advance)
	if err == nil && !all {
		c.outcome = Started
	}
	return !all, err
}

// succeed closes the record as successful once the smoke test has passed and both groups are healthy at the same time.
// The smoke test may take longer than the bake: a failure is then rolled back by refreshes to the old versions.
func (c *controller) succeed(ctx context.Context) (bool, error) {
	if !c.Start {
		c.smoke.start(ctx, c.want.Release)
	}
	targets := c.targetsOf(c.groups...)
	if err := c.poll(ctx, func() (bool, error) {
		running, _ := c.smoke.result() // read before advance, since the result may come at any time
		all, err := advanceAll(ctx, targets, c.advance)
		if err != nil {
			return false, err
		}
		_, err = c.alarmsOK(ctx) // insufficient data does not fail a release
		return all && !running, err
	}); err != nil {
		return false, err
	}
	c.log("release %s runs in both groups", short(c.want.Release))
	return true, c.close(ctx, record.Successful, "")
}
