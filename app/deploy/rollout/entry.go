package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
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
	c.before = map[settings.Role]string{}
	for _, g := range c.groups {
		if n := slices.IndexFunc(g.refreshes, refresh.ended); n >= 0 { // one in progress is adopted
			c.before[g.role] = aws.ToString(g.refreshes[n].InstanceRefreshId)
		}
	}
	if c.firstDeploy {
		c.log("there is no working release to roll back to: if release %s fails it is left as it is", short(c.want.Release))
	} else {
		c.old, c.from = c.origin()
		c.log("from release %s to %s", short(c.from), short(c.want.Release))
	}
	e := record.Entry{Release: c.want.Release, From: c.from, By: c.By, Why: c.Why, Begin: time.Now().UTC(),
		Result: record.Running, New: c.want.Versions, Old: c.old, Before: c.before}
	return false, c.journal.editLocked(ctx, func(rec *record.Record) {
		if now := rec.Current(); now != nil && now.Begin.Equal(e.Begin) {
			return // the answer to the first write was lost
		}
		rec.Abort = nil // of an earlier rollout
		rec.Entries = slices.Insert(rec.Entries, 0, e)
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
	rec := c.journal.latest()
	if n := slices.IndexFunc(rec.Entries, func(e record.Entry) bool { return e.Result == record.Successful }); n >= 0 {
		return &rec.Entries[n]
	}
	return nil
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
	rec := c.journal.latest()
	e := rec.Current()
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
