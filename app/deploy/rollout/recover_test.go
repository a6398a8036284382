package rollout_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"imagery/app/deploy/record"
	"imagery/app/deploy/rollout"
	"imagery/infra/testing/asgsim"
)

// An interrupted manual rollback has blocked the release that ran: a further `pulumi up` does not roll it out again,
// and its error names the command that completes the rollback.
func TestInterruptedManualRollbackBlocksTheRelease(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		env.deploy(2)
		env.runInterrupted(4*time.Minute, func(ctx context.Context) (rollout.Outcome, error) {
			return rollout.To(ctx, env.options(), release(1)[:8])
		})
		_, err := env.up(2)
		wantRejected(t, err, "ann@laptop blocked release "+release(2)[:12])
		wantRejected(t, err, "Nothing was changed.")
		wantRejected(t, err, "complete it with imagery rollout to "+release(1)[:12])
		r := env.record()
		if r.Current() == nil || r.Entries[0].Release != release(1) || r.Entries[0].Result != record.Running {
			t.Errorf("the entry of the manual rollback was changed: %+v", r.Entries[0])
		}
		if _, err := env.to(release(1)[:8]); err != nil {
			t.Fatal(err)
		}
		env.wantRunning(1)
		if b := env.record().Blocked; b[release(2)].By != "ann@laptop" {
			t.Errorf("blocked: %+v", b)
		}
	})
}

// A release that failed before is rejected without a rollback of the interrupted rollout of another one.
func TestRejectedRunChangesNothing(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		env.scripts[key(worker, 2)] = always(failedBoot())
		_, err := env.up(2)
		wantFailure(t, err, "both groups run", "new workers failed")
		env.upInterrupted(12*time.Minute, 3)
		env.forbidChanges()
		_, err = env.up(2)
		wantRejected(t, err, "failed on")
		wantRejected(t, err, "The rollout of release "+release(3)[:12])
		env.setHook(nil)
		env.deploy(3)
	})
}

// A run of a blocked release fails even if the groups have it already, unless it is forced, which unblocks it.
func TestBlockedReleaseThatRuns(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.expectNoRefresh()
		env.deployFirst()
		env.editRecord(func(r *record.Record) {
			r.Blocked = map[string]record.Block{release(1): {By: "bob@desk", Why: "slow"}}
		})
		_, err := env.up(1)
		wantRejected(t, err, "both groups run release "+release(1)[:12]+", but bob@desk blocked it")
		env.deploy(1, force)
		if b := env.record().Blocked; len(b) > 0 {
			t.Errorf("blocked after it was forced: %+v", b)
		}
		env.deploy(1)
	})
}

// A run that has nothing to roll out fails if a group has the version but no healthy instances.
func TestConvergedAndUnhealthy(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.expectNoRefresh()
		env.deployFirst()
		env.scripts[key(server, 1)] = always(failedBoot())
		env.terminateAll(server)
		time.Sleep(10 * time.Minute)
		_, err := env.up(1)
		wantRejected(t, err, "the servers are not healthy after 20m0s: 0 of at least 2 instances are in service")
		wantRejected(t, err, "log group /imagery/dev/server")
		if out, err := env.up(1, startOnly); err != nil || out != rollout.Started {
			t.Errorf("without waiting: %s, %v", out, err)
		}
		// If the group recovers in time, the run waits for it.
		env.scripts[key(server, 1)] = nil
		if out, err := env.up(1); err != nil || out != rollout.Done {
			t.Errorf("%s, %v", out, err)
		}
		env.wantRunning(1)
	})
}

// Launches of the old version that fail once the group has the new one do not count against the new release.
func TestFailedLaunchesOfTheOldVersionDoNotCount(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.expectNoRefresh()
		env.deployFirst()
		late := failedBoot()
		late.Boot = 10 * time.Minute
		env.scripts[key(server, 1)] = always(late)
		env.terminateAll(server)
		time.Sleep(5 * time.Minute)
		env.deploy(2)
		if env.launched[key(server, 1)] < 4 {
			t.Errorf("launches %v: no old version failed", env.launched)
		}
	})
}

// An old release that does not start any more, because its image is gone for example, does not prevent a fix: the
// rollback to it ends after six failed launches, and the next release is rolled out nevertheless.
func TestOldReleaseDoesNotStartAnyMore(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		env.upInterrupted(12*time.Minute, 2)
		env.scripts[key(worker, 1)] = always(failedBoot())
		began := time.Now()
		env.deploy(3)
		if took := time.Since(began); took > time.Hour {
			t.Errorf("took %s", took)
		}
		if !env.logged("version 1 of the workers does not come up any more: 6 new workers failed") {
			t.Error("the group that cannot be rolled back is not logged")
		}
		env.wantRunning(3)
		if e := env.wantEntry(3, record.Successful, ""); e.From != release(1) {
			t.Errorf("%+v", e)
		}
		e := env.record().Entries[1]
		if e.Result != record.Superseded || !strings.Contains(e.Reason, "the rollback does not work") {
			t.Errorf("%+v", e)
		}
	})
}

// An abort fails if the old release does not come back, also one that completes the rollback of a superseded rollout.
func TestAbortThatDoesNotBringTheOldReleaseBack(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		env.upInterrupted(12*time.Minute, 2)
		env.scripts[key(worker, 1)] = always(failedBoot())
		env.upInterrupted(time.Minute, 3)
		if e := env.record().Current(); e == nil || e.FinalResult != record.Superseded {
			t.Fatalf("%+v", env.record().Entries[0])
		}
		_, err := env.abort()
		wantFailure(t, err, "the rollback does not work", "superseded by release "+release(3)[:12])
	})
}

// If the end of a rollback cannot be recorded, the error still says why the release failed.
func TestRollbackWhoseEndIsNotRecorded(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		env.scripts[key(worker, 2)] = always(failedBoot())
		env.setHook(func(call string, _ int) (before, after error) {
			if call == "PutItem" && env.record().Entries[0].Result == record.RollingBack {
				return errNetwork, nil
			}
			return nil, nil
		})
		_, err := env.up(2)
		wantFailure(t, err, "both groups run "+release(1)[:12]+" again", "new workers failed")
		if !strings.Contains(err.Error(), "run it again to complete it") {
			t.Errorf("%v", err)
		}
	})
}

// After a first deploy that failed, an interrupted rollout does not prevent the next one.
func TestInterruptedAfterAFailedFirstDeploy(t *testing.T) {
	t.Parallel()
	simulateEmpty(t, func(env *testEnv) {
		env.scripts[key(server, 1)] = always(failedBoot())
		env.createGroups()
		if _, err := env.up(1); err == nil {
			t.Fatal("no error although the servers fail")
		}
		env.upInterrupted(2*time.Minute, 2)
		env.deploy(3)
	})
}

// An interrupted run leaves AWS refreshing and releases the lock. The next run completes the rollout.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
		defer stop()
		_, err := env.upContext(ctx, 2)
		if err == nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if r := env.record(); r.Lock != nil || r.Current() == nil {
			t.Errorf("%+v", r)
		}
		env.deploy(2)
		if !env.logged("continuing") {
			t.Error("it is not logged that the rollout continues")
		}
		env.wantRunning(2)
		if e := env.wantEntry(2, record.Successful, ""); len(env.record().Entries) != 2 || e.From != release(1) {
			t.Errorf("%+v", e)
		}
	})
}

// A rollout that was interrupted is rolled back before another release is rolled out.
func TestSuperseded(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{2 * time.Minute, 12 * time.Minute} { // while the workers roll, and the servers
		simulate(t, func(env *testEnv) {
			env.deployFirst()
			env.upInterrupted(after, 2)
			if e := env.deploy(3); e.From != release(1) {
				t.Errorf("%+v", e)
			}
			if e := env.record().Entries[1]; e.Release != release(2) || e.Result != record.Superseded {
				t.Errorf("%+v", e)
			}
			// It was not judged, so that it may be rolled out again.
			env.deploy(2)
		})
	}
}

// A refresh that an operator started in the console is adopted if its version is the wanted one, else rolled back.
func TestRefreshFromTheConsole(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"2", "3"} {
		simulate(t, func(env *testEnv) {
			env.deployFirst()
			env.startRefresh(worker, version, true)
			time.Sleep(time.Minute)
			env.deploy(2)
			if all, _ := env.sim.Refreshes("worker"); (len(all) == 1) != (version == "2") {
				t.Errorf("%d refreshes of the workers", len(all))
			}
		})
	}
}

// A run with Start returns at once, and the next run reads how the rollout ended.
func TestStart(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		began := time.Now()
		if out, err := env.up(2, startOnly); err != nil || out != rollout.Started || time.Since(began) > time.Minute {
			t.Fatal(out, err)
		}
		if out, err := env.up(2, startOnly); err != nil || out != rollout.Started {
			t.Error(out, err)
		}
		time.Sleep(20 * time.Minute)
		if out, err := env.up(2, startOnly); err != nil || out != rollout.Done {
			t.Error(out, err)
		}
		env.wantRunning(2)
		env.wantEntry(2, record.Successful, "")
		// AWS rolls back the group that fails; the next run rolls back the other one.
		env.scripts[key(server, 3)] = always(asgsim.Script{Boot: time.Minute, Answer: asgsim.Continue, Unhealthy: true})
		if _, err := env.up(3, startOnly); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Hour)
		_, err := env.up(3, startOnly)
		wantFailure(t, err, "both groups run "+release(2)[:12], "the refresh of the servers")
		env.wantRunning(2)
	})
}
