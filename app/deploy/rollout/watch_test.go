package rollout_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"imagery/app/deploy/record"
	"imagery/app/deploy/rollout"
	"imagery/infra/testing/asgsim"
)

// A release is judged in both groups until the end: failing workers while the servers roll, and a failure of either
// group during a smoke test that takes longer than the bake, roll it back.
func TestBothGroupsAreWatchedToTheEnd(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		line   string        // of the log, after which
		delay  time.Duration // and a delay
		event  func(env *testEnv)
		reason string
	}{
		{"late alarm of the workers", "server: refresh to version 2 started", 20 * time.Second,
			func(env *testEnv) { env.sim.SetAlarms("ALARM", "worker-failures") },
			"the refresh of the servers to version 2 failed"},
		{"alarm of the servers after their bake", "server to version 2: Successful", 10 * time.Second,
			func(env *testEnv) { env.sim.SetAlarms("ALARM", "server-errors") }, "alarm server-errors is in state ALARM"},
		{"all workers terminate and their replacements fail", "server to version 2: Baking", 0, func(env *testEnv) {
			env.mu.Lock()
			env.scripts[key(worker, 2)] = always(failedBoot())
			env.mu.Unlock()
			env.terminateAll(worker)
		}, "2 new workers failed"},
		{"an operator starts another refresh of the workers", "server: refresh to version 2 started", time.Minute,
			func(env *testEnv) { env.startRefresh(worker, "3", false) },
			"another refresh, of the workers to version 3, was started"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			simulate(t, func(env *testEnv) {
				env.deployFirst()
				done := env.upAsync(2, func(o *rollout.Options) { o.Smoke = smokeTest(new([]string), 10*time.Minute, nil) })
				env.waitFor(c.line, func() bool { return env.logged(c.line) })
				time.Sleep(c.delay)
				c.event(env)
				wantFailure(t, <-done, "both groups run "+release(1)[:12]+" again", c.reason)
				env.wantRunning(1)
				result := record.RolledBack
				if strings.HasPrefix(c.reason, "another refresh") { // an operator's action does not judge the release
					result = record.Inconclusive
				}
				env.wantEntry(2, result, c.reason)
			})
		})
	}
}

// One worker that is replaced while the servers roll does not fail the release. The run ends when the replacement
// serves.
func TestOneWorkerIsReplacedMeanwhile(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		env.guard.Disarm()
		env.expectNoRefresh()
		done := env.upAsync(2)
		env.waitFor("the servers bake", func() bool { return env.logged("server to version 2: Baking") })
		time.Sleep(170 * time.Second) // just before the end of the bake
		_, instances := env.group(worker)
		if err := env.sim.Terminate(instances[0].ID); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		env.wantRunning(2) // with the minimum of instances
		env.wantEntry(2, record.Successful, "")
	})
}

// Instances that a scale-out adds meanwhile have the new release, and the rollout does not change the capacity.
func TestScaleOut(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		go func() {
			time.Sleep(3 * time.Minute)
			for _, role := range rollout.Order {
				four := 4
				if err := env.sim.Update(string(role), asgsim.Change{Desired: &four}); err != nil {
					t.Error(err)
				}
			}
		}()
		env.deploy(2)
		for _, role := range rollout.Order {
			if g, instances := env.group(role); g.Desired != 4 || len(instances) < 4 {
				t.Errorf("%+v, %d instances", g, len(instances))
			}
		}
	})
}

// A rollout returns only after its smoke test has ended, so that the test writes no lines and uploads no photo later.
func TestSmokeTestEndsWithTheRollout(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		ctx, interrupt := context.WithCancel(context.Background())
		defer interrupt()
		ended := false
		_, err := env.upContext(ctx, 2, func(o *rollout.Options) {
			o.Smoke = func(ctx context.Context, _ string) error {
				interrupt()
				<-ctx.Done()
				time.Sleep(time.Second) // its last request
				ended = true
				return ctx.Err()
			}
		})
		if err == nil || !ended {
			t.Errorf("the rollout returned %v; its smoke test had ended: %t", err, ended)
		}
	})
}
