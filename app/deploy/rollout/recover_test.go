package rollout_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"imagery/app/deploy/record"
	"imagery/app/deploy/rollout"
)

// interrupted runs something that is stopped after a while, as by Ctrl-C.
func (w *world) interrupted(after time.Duration, do func(ctx context.Context) (rollout.Outcome, error)) {
	w.t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), after)
	defer stop()
	if _, err := do(ctx); err == nil {
		w.t.Fatal("too quick")
	}
}

// Who goes back by hand and is interrupted has said what must not run: an update with the old source does not bring it
// back, and whoever reads its refusal learns what to do.
func TestInterruptedRollbackByHandStands(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		if _, err := w.up(2); err != nil {
			t.Fatal(err)
		}
		w.interrupted(4*time.Minute, func(ctx context.Context) (rollout.Outcome, error) {
			return rollout.To(ctx, w.options(), release(1)[:8])
		})
		_, err := w.up(2)
		refused(t, err, "ann@laptop blocked release "+release(2)[:12])
		refused(t, err, "Nothing was changed.")
		refused(t, err, "complete it by imagery rollout to "+release(1)[:12])
		if r := w.record(); r.Current() == nil || r.Entries[0].Release != release(1) || r.Entries[0].Result != record.Running {
			t.Errorf("the way to release 1 was touched: %+v", r.Entries[0])
		}
		if _, err := w.to(release(1)[:8]); err != nil {
			t.Fatal(err)
		}
		w.all(1)
		if h := w.record().Blocked; h[release(2)].By != "ann@laptop" {
			t.Errorf("held: %+v", h)
		}
	})
}

// A release that failed is refused before a colleague's good one, that was only interrupted, is taken back.
func TestRefusalTouchesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		w.fates[key(worker, 2)] = always(dead())
		_, err := w.up(2)
		judged(t, err, "both groups run", "new workers failed")
		w.interrupted(12*time.Minute, func(ctx context.Context) (rollout.Outcome, error) { return w.upWith(ctx, 3) })
		w.setHook(func(call string, _ int) (error, error) {
			if acts(call) {
				t.Errorf("a refused run made a call to %s", call)
			}
			return nil, nil
		})
		_, err = w.up(2)
		refused(t, err, "failed on")
		refused(t, err, "The rollout of release "+release(3)[:12])
		w.setHook(nil)
		if _, err := w.up(3); err != nil {
			t.Fatal(err)
		}
		w.all(3)
	})
}

// acts reports whether a call changes a group.
func acts(call string) bool {
	switch call {
	case "StartInstanceRefresh", "RollbackInstanceRefresh", "CancelInstanceRefresh", "UpdateAutoScalingGroup":
		return true
	}
	return false
}

// What is held and runs all the same is no success, until somebody means it.
func TestHeldReleaseThatRuns(t *testing.T) {
	inWorld(t, func(w *world) {
		w.nothing()
		w.proven()
		w.edit(func(r *record.Record) { r.Blocked = map[string]record.Block{release(1): {By: "bob@desk", Why: "slow"}} })
		_, err := w.up(1)
		refused(t, err, "both groups run release "+release(1)[:12]+", but bob@desk blocked it")
		if _, err := w.up(1, force); err != nil {
			t.Fatal(err)
		}
		if h := w.record().Blocked; len(h) > 0 {
			t.Errorf("the hold outlived the force: %+v", h)
		}
		if _, err := w.up(1); err != nil {
			t.Error(err)
		}
	})
}

// A group that has the version and serves nobody is no release that runs.
func TestConvergedAndDead(t *testing.T) {
	inWorld(t, func(w *world) {
		w.nothing()
		w.proven()
		w.fates[key(server, 1)] = always(dead())
		w.kill(server)
		time.Sleep(10 * time.Minute)
		_, err := w.up(1)
		refused(t, err, "the servers are not healthy after 20m0s: 0 of at least 2 instances are in service")
		if out, err := w.up(1, func(o *rollout.Options) { o.Start = true }); err != nil || out != rollout.Started {
			t.Errorf("without waiting: %s, %v", out, err)
		}
		// It is only a moment: the run waits for it.
		w.fates[key(server, 1)] = nil
		if out, err := w.up(1); err != nil || out != rollout.Done {
			t.Errorf("%s, %v", out, err)
		}
		w.all(1)
	})
}

// An old release that does not come up any more, because its image is gone for example, keeps no fix out: the way back
// to it ends when enough of its instances failed, and the next release goes on from there.
func TestOldReleaseDoesNotReturn(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		w.interrupted(12*time.Minute, func(ctx context.Context) (rollout.Outcome, error) { return w.upWith(ctx, 2) })
		w.fates[key(worker, 1)] = always(dead())
		began := time.Now()
		if _, err := w.up(3); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > time.Hour {
			t.Errorf("took %s", took)
		}
		if !w.said("version 1 of the workers does not come up any more: 6 new workers failed") {
			t.Error("nobody said which group is stuck, and why")
		}
		w.all(3)
		if e := w.wantEntry(3, record.Successful, ""); e.From != release(1) {
			t.Errorf("%+v", e)
		}
		if e := w.record().Entries[1]; e.Result != record.Superseded || !strings.Contains(e.Reason, "the rollback does not work") {
			t.Errorf("%+v", e)
		}
	})
}

// After a first deploy that was never proven, a rollout that is interrupted is in nobody's way, and no stranger is blamed.
func TestInterruptedAfterAFailedFirstDeploy(t *testing.T) {
	inEmptyWorld(t, func(w *world) {
		w.fates[key(server, 1)] = always(dead())
		w.create()
		if _, err := w.up(1); err == nil {
			t.Fatal("dead servers are a success")
		}
		w.interrupted(2*time.Minute, func(ctx context.Context) (rollout.Outcome, error) { return w.upWith(ctx, 2) })
		if _, err := w.up(3); err != nil {
			t.Fatal(err)
		}
		w.all(3)
		w.wantEntry(3, record.Successful, "")
	})
}
