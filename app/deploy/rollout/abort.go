package rollout

import (
	"context"
	"errors"
	"slices"
	"time"

	"imagery/app/deploy/record"
)

// ErrNothing is returned when there is no rollout to abort.
var ErrNothing = errors.New("nothing is being rolled out")

// Abort rolls back the rollout in progress, and returns when both groups have the old release. If another run has the
// lock, Abort requests the rollback from it, and rolls back itself once the lock of that run has expired. By is the
// user@host of the run that rolled back. It returns ErrNothing if there is no rollout.
func Abort(ctx context.Context, o Options) (by string, err error) {
	for {
		c := newController(o, Target{})
		err := c.locked(ctx, "abort", func(ctx context.Context) error {
			if _, err := c.describe(ctx); err != nil {
				return err
			}
			return c.conclude(ctx, c.abort(ctx))
		})
		var held *HeldError
		if !errors.As(err, &held) {
			return o.By, err
		}
		ended, err := c.requestAbort(ctx, held.Lock.Holder)
		if ended || err != nil {
			return held.Lock.Holder, err
		}
	}
}

// abort rolls back under the lock.
func (c *controller) abort(ctx context.Context) error {
	rec := c.journal.latest()
	e := rec.Current()
	if e == nil {
		if c.workers.refresh() == nil && c.servers.refresh() == nil {
			return ErrNothing
		}
		return c.rollBackUnrecorded(ctx) // no version is wanted, so that every refresh is rolled back
	}
	c.want, c.old, c.from, c.firstDeploy = Target{Release: e.Release}, e.Old, e.From, len(e.Old) == 0
	why := &Error{Reason: c.By + " aborted it"}
	if e.Result == record.RollingBack { // it has failed already
		why = recordedFailure(e)
	}
	var out *Error
	err := c.rollBack(ctx, why)
	if rec := c.journal.latest(); errors.As(err, &out) && rec.Entries[0].Result != record.Failed {
		c.log("%s", out.Outcome)
		return nil
	}
	return err
}

// requestAbort records an abort, which the run with the lock reads at its next renewal, within half a minute, and has
// AWS begin the rollback at once. It returns when the rollout has ended, or, not ended, when the lock has expired.
func (c *controller) requestAbort(ctx context.Context, holder string) (ended bool, err error) {
	if err := c.journal.edit(ctx, func(rec *record.Record) error {
		if rec.Current() == nil {
			return ErrNothing
		}
		rec.Abort = &record.Abort{By: c.By, Since: time.Now().UTC()}
		return nil
	}); err != nil {
		return false, err
	}
	if _, err := c.describe(ctx); err != nil {
		return false, err
	}
	rec := c.journal.latest()
	for _, g := range c.groups {
		// A rollback in progress is left alone.
		if f := g.refresh(); f != nil && f.forward() && f.version() != rec.Entries[0].Old[g.role] {
			if err := c.act.rollBackWithoutLock(ctx, g); err != nil {
				return false, err
			}
		}
	}
	c.log("%s holds the rollout lock and is asked to roll back", holder)
	err = c.poll(ctx, func() (bool, error) {
		if err := c.journal.read(ctx); err != nil {
			return false, err
		}
		now := c.journal.latest()
		n := slices.IndexFunc(now.Entries, func(e record.Entry) bool { return e.Begin.Equal(rec.Entries[0].Begin) })
		if n >= 0 && now.Entries[n].Result == record.Successful {
			return false, &rejected{"too late, the rollout has succeeded: roll back with imagery rollout to RELEASE"}
		}
		ended = n < 0 || !now.Entries[n].Result.Open()
		return ended || !now.Lock.Live(time.Now()), nil
	})
	return ended, err
}
