package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
)

// begin records the rollout before it changes anything.
func (c *controller) begin(ctx context.Context) (bool, error) {
	if c.resumed {
		return false, nil
	}
	c.entry = record.Entry{Release: c.want.Release, By: c.By, Why: c.Why, Begin: time.Now().UTC(), Result: record.Running,
		New: c.want.Versions, Before: map[settings.Role]string{}}
	e := &c.entry
	for _, g := range c.groups {
		if n := slices.IndexFunc(g.refreshes, refresh.ended); n >= 0 { // one in progress is adopted
			e.Before[g.role] = aws.ToString(g.refreshes[n].InstanceRefreshId)
		}
	}
	if c.firstDeploy {
		c.log("there is no working release to roll back to: if release %s fails it is left as it is", short(e.Release))
	} else {
		e.Old, e.From = c.origin()
		c.log("from release %s to %s", short(e.From), short(e.Release))
	}
	return false, c.journal.editLocked(ctx, func(rec *record.Record) {
		if now := rec.Current(); now != nil && now.Begin.Equal(e.Begin) {
			return // the answer to the first write was lost
		}
		rec.Abort = nil // of an earlier rollout
		rec.Entries = slices.Insert(rec.Entries, 0, *e)
		for _, release := range c.releases { // of both groups, whether they serve or not
			if c.Block != "" && release != "" && release != e.Release {
				rec.Blocked[release] = record.Block{By: c.By, Since: e.Begin, Why: c.Block}
			}
		}
	})
}

// origin returns the versions and the release to which a failure is rolled back: those that the groups have now, or, if
// the groups have different releases, those of the last successful rollout.
func (c *controller) origin() (old map[settings.Role]string, release string) {
	// During a refresh the group still has the old version: AWS changes it at the end.
	old, release = c.versions(), c.releases[settings.Server]
	if release == c.releases[settings.Worker] {
		return old, release
	}
	if good := c.lastSuccessful(); good != nil {
		return good.New, good.Release
	}
	return old, ""
}

// versions returns the current versions of the groups.
func (c *controller) versions() map[settings.Role]string {
	return map[settings.Role]string{settings.Worker: c.workers.version, settings.Server: c.servers.version}
}

// lastSuccessful returns the newest rollout that succeeded, or nil.
func (c *controller) lastSuccessful() *record.Entry {
	return c.journal.latest().Newest(func(e record.Entry) bool { return e.Result == record.Successful })
}

// close ends the open entry. The final result that it has from before a rollback takes precedence over result, and an
// empty reason leaves that of the entry.
func (c *controller) close(ctx context.Context, result record.Result, reason string) error {
	return c.journal.editLocked(ctx, func(rec *record.Record) {
		rec.Abort = nil
		e := rec.Current()
		if e == nil {
			return
		}
		if result == record.Successful {
			delete(rec.Blocked, e.Release) // a forced release is no longer blocked
		}
		e.Result, e.End, e.Reason = cmp.Or(e.FinalResult, result), time.Now().UTC(), cmp.Or(reason, e.Reason)
	})
}

// conclude turns the error of a step into that of the run. A failure is rolled back. After any other error, an
// interruption included, AWS continues with what was started; the entry stays open, and the next run continues it.
func (c *controller) conclude(ctx context.Context, err error) error {
	var failed *Error
	if errors.As(err, &failed) && failed.Outcome == "" && ctx.Err() == nil {
		err = c.rollBack(ctx, failed)
	}
	e := c.journal.latest().Current()
	if rejection := (*rejected)(nil); errors.As(err, &rejection) && e != nil && !c.same(*e) {
		return err // this run has changed nothing, and the open entry belongs to another one
	}
	if err != nil && e != nil {
		if err = cmp.Or(context.Cause(ctx), err); errors.Is(err, context.Canceled) {
			err = errors.New("interrupted")
		}
		return fmt.Errorf("stopped before the end: AWS continues what was started for release %s, and nothing watches it; "+
			"run it again to complete it: %w", short(e.Release), err)
	}
	return err
}

// same reports whether an entry is the rollout that is wanted now.
func (c *controller) same(e record.Entry) bool {
	return e.Release == c.want.Release && maps.Equal(e.New, c.want.Versions)
}

// recover handles a rollout that an earlier run left unfinished: the same rollout is resumed, another one is rolled
// back first, so that both groups have one release to return to. This run holds the lock, so the earlier run has
// ended or stops at its next renewal.
func (c *controller) recover(ctx context.Context) (bool, error) {
	var err error
	switch e := c.journal.latest().Current(); {
	case e == nil:
	case !c.same(*e):
		err = c.supersede(ctx, e)
	case e.Result == record.RollingBack && e.FinalResult == record.Superseded && len(e.Old) == 0:
		// The run of another release that was to supersede this one was killed. There is nothing to roll back to.
		err = c.close(ctx, record.Superseded, "")
	default:
		c.resumed, c.firstDeploy, c.entry = true, len(e.Old) == 0, *e
		c.log("%s began this rollout on %s and did not complete it: continuing", e.By, e.Begin.Format(time.RFC3339))
		if e.Result == record.RollingBack { // it has failed already
			return false, recordedFailure(e)
		}
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return false, c.rollBackUnrecorded(ctx)
}

// supersede rolls back an unfinished rollout of another release.
func (c *controller) supersede(ctx context.Context, e *record.Entry) error {
	// Checked before anything is rolled back in favour of a release that must not be rolled out.
	if _, err := c.checkBlocked(ctx); err != nil {
		return fmt.Errorf("%w. The rollout of release %s that %s began is left as it is: complete it with imagery "+
			"rollout to %[2]s, or roll it back with imagery rollout abort", err, short(e.Release), e.By)
	}
	c.log("%s began to roll out release %s on %s and did not complete it: rolling it back first", e.By,
		short(e.Release), e.Begin.Format(time.RFC3339))
	why := &Error{result: record.Superseded, Reason: "superseded by release " + short(c.want.Release)}
	stuck, err := c.revert(ctx, e.Old, why)
	if err != nil {
		return err
	}
	if stuck != nil { // the new release may be the fix
		c.log("continuing from the current state of the groups")
	}
	return c.closeReverted(ctx, why, stuck)
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
	targets, again := c.targetsOf(c.groups...), false
	err := c.poll(ctx, func() (bool, error) {
		all, err := advanceAll(ctx, targets, func(ctx context.Context, t *target) (bool, error) {
			if again { // describe has just read the groups
				if err := c.observe.group(ctx, t.group); err != nil {
					return false, err
				}
			}
			// Without a limit: only launches that AWS refuses end this wait early.
			return c.healthy(ctx, t, math.MaxInt)
		})
		again = true
		if err == nil && !all && c.Start {
			c.outcome = Started
			return true, nil
		}
		return all, err
	})
	if f := (*Error)(nil); errors.As(err, &f) {
		logs := "logs"
		if len(f.Logs) > 0 {
			logs = "log group " + strings.Join(f.Logs, ", ")
		}
		return &rejected{fmt.Sprintf("both groups have release %s already, but %s. Nothing was changed. Look at their "+
			"instances and %s, or roll back with imagery rollout to RELEASE", name, f.Reason, logs)}
	}
	return err
}
