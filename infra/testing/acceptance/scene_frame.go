package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"imagery/app/admin/smoke"
)

// firstUp creates the stack and brings it up, to a URL at which photos are processed.
func firstUp(ctx context.Context, t *T) (err error) {
	if err := t.create(ctx); err != nil {
		return err
	}
	for _, kv := range t.settings() {
		if err := t.set(ctx, kv[0], kv[1]); err != nil {
			return err
		}
	}
	region, err := t.setting(ctx, "aws:region") // without it, pulumi too uses that of the environment
	if err != nil {
		return err
	}
	t.aws.Region = cmp.Or(region, t.aws.Region)
	if t.before, err = t.take(ctx); err != nil {
		return err
	}
	begun := time.Now()
	if _, err := t.up(ctx); err != nil {
		return err
	}
	took := time.Since(begun)
	if err := t.serve(ctx); err != nil {
		return err
	}
	report, err := smoke.Run(ctx, smoke.Options{URL: t.current.URL, Release: t.current.Release, Wait: t.side.firstUp})
	if err != nil {
		return fmt.Errorf("the URL does not work: %w", err)
	}
	t.figure("`pulumi up` took %.0f s (limit %.0f s), the smoke test of the URL after it %.1f s", took.Seconds(),
		t.side.firstUp.Seconds(), float64(report.Took)/1000)
	if took > t.side.firstUp {
		return fmt.Errorf("pulumi up took %.0f s, more than %.0f", took.Seconds(), t.side.firstUp.Seconds())
	}
	return nil
}

// destroy removes the stack and compares the account with what it had before.
func destroy(ctx context.Context, t *T) error {
	lost := t.finish(ctx)
	if err := t.removeAll(ctx); err != nil {
		return errors.Join(lost, err)
	}
	if t.before == nil {
		return errors.Join(lost, errors.New("the account was not listed before the stack was made"))
	}
	err := t.until(ctx, "nothing is left", 10*time.Minute, func(ctx context.Context) (bool, error) {
		now, err := t.take(ctx)
		if left := now.left(t.before); err == nil && len(left) > 0 {
			err = fmt.Errorf("left after destroy: %s", left)
		}
		return err == nil, err
	})
	if err == nil {
		t.figure("nothing is left of %d kinds of resources", len(t.before))
		for _, kind := range sorted(t.side.untold) {
			t.figure("%s are not compared: %s", kind, t.side.untold[kind])
		}
	}
	return errors.Join(lost, err)
}

// removeAll destroys the stack. An update that was killed leaves a lock.
func (t *T) removeAll(ctx context.Context) error {
	if err := t.rejoin(ctx); err != nil { // an ACL of a run that was killed would keep the VPC
		return err
	}
	err := t.remove(ctx)
	if err == nil {
		return nil
	}
	t.logf("%v; once more, without the lock of an update that was killed", err)
	if err := t.unlock(ctx); err != nil {
		t.logf("%v", err)
	}
	return t.remove(ctx)
}
