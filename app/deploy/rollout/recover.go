package rollout

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"time"

	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
)

// same reports whether an entry is the rollout that is wanted now.
func (c *controller) same(e record.Entry) bool {
	return e.Release == c.want.Release && maps.Equal(e.New, c.want.Versions)
}

// recover handles a rollout that an earlier run left unfinished: the same rollout is resumed, another one is rolled
// back first, so that both groups have one release to return to. This run holds the lock, so the earlier run has
// ended or stops at its next renewal.
func (c *controller) recover(ctx context.Context) (bool, error) {
	rec := c.journal.latest()
	e := rec.Current()
	switch {
	case e == nil:
		return false, c.rollBackUnrecorded(ctx)
	case c.same(*e) && e.Result == record.RollingBack && e.FinalResult == record.Superseded && len(e.Old) == 0:
		// The run of another release that was to supersede this one was killed. There is nothing to roll back to.
		if err := c.close(ctx, record.Superseded, e.Reason); err != nil {
			return false, err
		}
		return false, c.rollBackUnrecorded(ctx)
	case c.same(*e):
		c.resumed, c.firstDeploy, c.from, c.old, c.before = true, len(e.Old) == 0, e.From, e.Old, e.Before
		c.log("%s began this rollout on %s and did not complete it: continuing", e.By, e.Begin.Format(time.RFC3339))
		if e.Result == record.RollingBack { // it has failed already
			return false, recordedFailure(e)
		}
		return false, nil
	}
	// Checked before anything is rolled back in favour of a release that must not be rolled out.
	if _, err := c.checkBlocked(ctx); err != nil {
		return false, fmt.Errorf("%w. The rollout of release %s that %s began is left as it is: complete it with imagery "+
			"rollout to %[2]s, or roll it back with imagery rollout abort", err, short(e.Release), e.By)
	}
	c.log("%s began to roll out release %s on %s and did not complete it: rolling it back first", e.By,
		short(e.Release), e.Begin.Format(time.RFC3339))
	reason := "superseded by release " + short(c.want.Release)
	if err := c.journal.editLocked(ctx, func(rec *record.Record) {
		if e := rec.Current(); e != nil && e.Result == record.Running {
			e.Result, e.FinalResult, e.Reason = record.RollingBack, record.Superseded, reason
		}
	}); err != nil {
		return false, err
	}
	err := c.restore(ctx, e.Old)
	switch {
	case errors.Is(err, errRollbackStuck):
		// The new release may be the fix, so that a stuck rollback must not prevent it.
		c.log("continuing from the current state of the groups")
		err = c.close(ctx, record.Failed, reason+"; "+err.Error())
	case err == nil:
		err = c.close(ctx, record.RolledBack, "")
	}
	if err != nil {
		return false, err
	}
	return false, c.rollBackUnrecorded(ctx)
}

// recordedFailure returns the failure that the record holds for an entry.
func recordedFailure(e *record.Entry) *Error {
	return &Error{Reason: e.Reason, result: e.FinalResult, Instance: e.Instance, Lines: e.Lines}
}

// rollBackUnrecorded rolls back refreshes that belong to no rollout in the record, such as one that an operator started
// in the console. A refresh to the wanted version is adopted instead.
func (c *controller) rollBackUnrecorded(ctx context.Context) error {
	old := map[settings.Role]string{}
	for _, g := range c.groups {
		if f := g.refresh(); f != nil && (f.version() != c.want.Versions[g.role] || !f.forward()) {
			c.log("%s: a refresh to version %s is in progress that belongs to no rollout: rolling it back first", g.role,
				f.version())
			old[g.role] = g.version
		}
	}
	return c.restore(ctx, old)
}

// converged ends a run if the groups have its target already, once they are healthy. It does not end a first deploy,
// which has to prove that the version that the groups were created with works.
func (c *controller) converged(ctx context.Context) (done bool, err error) {
	if c.resumed {
		return false, nil
	}
	arrived := true
	for _, g := range c.groups {
		arrived = arrived && g.at(c.want.Versions[g.role]) && g.refresh() == nil
		// With one of the groups down there is no release to roll back to.
		c.firstDeploy = c.firstDeploy || g.wasDown
	}
	good := c.lastSuccessful()
	switch {
	case arrived && good == nil:
		c.firstDeploy, arrived = true, false
	case good != nil && maps.Equal(good.New, c.versions()):
		// It worked, so it can be rolled back to, even if no instance serves at this moment.
		c.firstDeploy = false
	}
	if !arrived {
		return false, nil
	}
	return true, c.awaitHealthy(ctx)
}

// awaitHealthy ends a run that has nothing to roll out: it waits until both groups are healthy, or returns a *rejected
// that says why they are not.
func (c *controller) awaitHealthy(ctx context.Context) error {
	name := short(c.want.Release)
	if h, blocked := c.journal.latest().Blocked[c.want.Release]; blocked && !c.Force {
		return &rejected{fmt.Sprintf("both groups run release %s, but %s blocked it on %s: %s. Roll out another one, or "+
			"force it (imagery:rolloutForce true, or -force), which unblocks it",
			name, h.By, h.Since.Format(time.RFC3339), h.Why)}
	} else if blocked {
		if err := c.journal.editLocked(ctx, func(rec *record.Record) { delete(rec.Blocked, c.want.Release) }); err != nil {
			return err
		}
	}
	again := false // describe has just read the groups
	return c.poll(ctx, func() (bool, error) {
		defer func() { again = true }()
		for _, g := range c.groups {
			if again {
				if err := c.observe.group(ctx, g); err != nil {
					return false, err
				}
			}
			ok, problem, err := c.observe.health(ctx, g)
			switch {
			case err != nil:
				return false, err
			case ok:
				continue
			case c.Start:
				c.outcome = Started
				return true, nil
			case time.Since(c.began) > healthyTimeout:
				return false, &rejected{fmt.Sprintf("both groups have release %s already, but the %ss are not healthy after "+
					"%s: %s. Nothing was changed. Look at their instances and log group %s, or roll back with imagery rollout "+
					"to RELEASE", name, g.role, healthyTimeout, problem, g.Logs)}
			}
			c.once("waits "+problem, "%s: nothing to roll out, waiting: %s", g.role, problem)
			// Without a limit: only launches that AWS refuses end this wait early.
			err = c.observe.checkLaunches(ctx, g, c.want.Versions[g.role], math.MaxInt, c.observe.sinceMark(ctx, g))
			if f := (*Error)(nil); errors.As(err, &f) {
				err = &rejected{fmt.Sprintf("both groups have release %s already, but %s. Nothing was changed", name, f.Reason)}
			}
			return false, err
		}
		return true, nil
	})
}

// checkBlocked returns a *rejected for a release that is blocked or was rolled back before, so that an unrelated update
// of the stack does not roll it out again. A failed release that had nothing to roll back to may be tried again.
func (c *controller) checkBlocked(context.Context) (bool, error) {
	if c.resumed {
		return false, nil
	}
	rec := c.journal.latest()
	name, why := short(c.want.Release), ""
	if h, blocked := rec.Blocked[c.want.Release]; blocked {
		why = fmt.Sprintf("%s blocked release %s on %s: %s", h.By, name, h.Since.Format(time.RFC3339), h.Why)
	} else if e, ok := rec.Last(c.want.Release); ok && e.Result.Bad() && len(e.Old) > 0 &&
		(e.From != e.Release || c.same(e)) {
		why = fmt.Sprintf("release %s failed on %s (%s): %s", name, e.Begin.Format(time.RFC3339), e.Result, e.Reason)
	}
	switch {
	case why == "":
		return false, nil
	case c.Force:
		c.log("forced although %s", why)
		return false, nil
	}
	return false, &rejected{why + ". Nothing was changed. Roll out another release, or force this one " +
		"(imagery:rolloutForce true, or -force)"}
}
