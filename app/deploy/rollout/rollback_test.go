package rollout_test

import (
	"context"
	"testing"
	"time"

	"imagery/app/deploy/record"
	"imagery/app/deploy/rollout"
	"imagery/infra/testing/asgsim"
)

// Servers that boot but fail the health checks of the load balancer fail a release. AWS alone would retry for an hour.
func TestUnhealthyServersAreRolledBack(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		env.scripts[key(server, 2)] = always(unhealthy())
		began := time.Now()
		_, err := env.up(2)
		wantFailure(t, err, "both groups run", "2 new servers failed, one of them: it was in service and is unhealthy")
		env.wantRunning(1)
		if took := time.Since(began); took > 40*time.Minute {
			t.Errorf("took %s", took)
		}
	})
}

// A rollback whose instances fail, too, ends with an error, and leaves the instances that serve.
func TestRollbackFails(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		env.scripts[key(server, 2)] = always(failedBoot())
		env.scripts[key(worker, 1)] = func(n int) asgsim.Script {
			if n <= 2 {
				return healthy()
			}
			return failedBoot()
		}
		_, err := env.up(2)
		e := wantFailure(t, err, "the rollback does not work", "2 new servers failed")
		env.wantEntry(2, record.Failed, "the rollback does not work")
		if env.serving(worker, 2) != 2 {
			t.Error("workers that served were terminated:", e)
		}
		_, err = env.up(2)
		wantRejected(t, err, "failed on")
	})
}

// Two template versions that differ only in their configuration start the same release: the failure of one does not
// block the other.
func TestSameReleaseOtherTemplate(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.sim.SetTemplate("lt-worker", templates(1, 1, 1)...)
		env.sim.SetTemplate("lt-server", templates(1, 1, 1)...)
		env.deployFirst()
		up := func(version int) (rollout.Outcome, error) {
			want := target(version)
			want.Release = release(1)
			return rollout.Run(context.Background(), env.options(), want)
		}
		env.scripts[key(worker, 2)] = always(failedBoot())
		_, err := up(2)
		wantFailure(t, err, "both groups run", "new ")
		_, err = up(2)
		wantRejected(t, err, "failed on")
		for range 2 {
			if _, err := up(3); err != nil {
				t.Error(err)
			}
		}
		env.wantRunning(3)
	})
}
