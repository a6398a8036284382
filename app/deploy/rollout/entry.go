package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
)

// begin records the rollout before it changes anything.
func (c *controller) begin(ctx context.Context) (bool, error) {
	if c.resumed {
		return false, nil
	}
	c.before = map[string]string{}
	for role, g := range c.groups {
		if n := slices.IndexFunc(g.refreshes, refresh.ended); n >= 0 { // one in progress is adopted
			c.before[string(role)] = deref(g.refreshes[n].InstanceRefreshId)
		}
	}
	e := record.Entry{Release: c.want.Release, By: c.By, Why: c.Why, Begin: time.Now().UTC(), Result: record.Running,
		New: byName(c.want.Versions), Before: c.before}
	if c.fresh {
		c.log("there is no working release to roll back to: if release %s fails it is left as it is", short(e.Release))
	} else {
		c.old, c.from = c.origin()
		e.Old, e.From = byName(c.old), c.from
		c.log("from release %s to %s", short(c.from), short(e.Release))
	}
	return false, c.journal.editLocked(ctx, func(rec *record.Record) {
		if now := rec.Current(); now != nil && now.Begin.Equal(e.Begin) {
			return // the answer to the first write was lost
		}
		rec.Abort = nil // of an earlier rollout
		rec.Entries = slices.Insert(rec.Entries, 0, e)
		for _, release := range c.releases { // of both groups, whether they serve or not
			if c.Block == "" || release == "" || release == e.Release {
				continue
			}
			if rec.Blocked == nil {
				rec.Blocked = map[string]record.Block{}
			}
			rec.Blocked[release] = record.Block{By: c.By, Since: e.Begin, Why: c.Block}
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
		return byRole(good.New), good.Release
	}
	return old, ""
}

// versions returns the current versions of the groups.
func (c *controller) versions() map[settings.Role]string {
	out := map[settings.Role]string{}
	for role, g := range c.groups {
		out[role] = g.version
	}
	return out
}

// lastSuccessful returns the newest rollout that succeeded, or nil.
func (c *controller) lastSuccessful() *record.Entry {
	rec := c.journal.latest()
	if n := slices.IndexFunc(rec.Entries, func(e record.Entry) bool { return e.Result == record.Successful }); n >= 0 {
		return &rec.Entries[n]
	}
	return nil
}

// closeEntry sets the result of the open entry. An empty reason leaves that of the entry.
func closeEntry(rec *record.Record, result record.Result, reason string) {
	if e := rec.Current(); e != nil {
		e.Result, e.End, e.Reason = result, time.Now().UTC(), cmp.Or(reason, e.Reason)
	}
}

// closeRolledBack closes the open entry when both groups are back.
func (c *controller) closeRolledBack(ctx context.Context) error {
	return c.journal.editLocked(ctx, func(rec *record.Record) {
		rec.Abort = nil
		if e := rec.Current(); e != nil {
			closeEntry(rec, cmp.Or(e.FinalResult, record.RolledBack), "")
		}
	})
}

func (c *controller) close(ctx context.Context, result record.Result, reason string) error {
	return c.journal.editLocked(ctx, func(rec *record.Record) {
		rec.Abort = nil
		closeEntry(rec, result, reason)
	})
}

// conclude turns the error of a step into that of the run. A failure is rolled back. After any other error, an
// interruption included, AWS continues with what was started; the entry stays open, and the next run continues it.
func (c *controller) conclude(ctx context.Context, err error) error {
	var f *failure
	if errors.As(err, &f) && ctx.Err() == nil {
		err = c.rollBack(ctx, f)
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
