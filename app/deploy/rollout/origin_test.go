package rollout_test

import (
	"testing"
	"time"

	"imagery/app/deploy/record"
	"imagery/app/deploy/rollout"
	"imagery/infra/testing/asgsim"
)

// A group in which no instance serves for a moment, because they are being replaced, does not make the rollout a first
// deploy: a failed release is rolled back, and not rolled out again.
func TestRollbackToAReleaseThatDidNotServe(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 2} {
		for _, role := range rollout.Order {
			simulate(t, func(env *testEnv) {
				env.deployFirst()
				env.guard.Disarm()
				if err := env.sim.Update(string(role), asgsim.Change{Min: &size, Desired: &size}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Minute)
				env.scripts[key(server, 2)] = always(failedBoot())
				env.terminateAll(role)
				time.Sleep(30 * time.Second)
				_, err := env.up(2)
				wantFailure(t, err, "both groups run "+release(1)[:12]+" again", "new servers failed")
				env.wantRunning(1)
				e := env.wantEntry(2, record.RolledBack, "new servers failed")
				if e.From != release(1) || e.Old["worker"] != "1" || e.Old["server"] != "1" {
					t.Errorf("%+v", e)
				}
				launched := env.launched[key(server, 2)]
				_, err = env.up(2)
				wantRejected(t, err, "release "+release(2)[:12]+" failed on ")
				if env.launched[key(server, 2)] != launched {
					t.Error("it was rolled out again")
				}
			})
		}
	}
}

// A release that repairs a group without healthy instances waits neither for instances that cannot become healthy nor
// for alarms that are in state ALARM because of them.
func TestReleaseRepairsAGroup(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		env.scripts[key(server, 1)] = always(failedBoot())
		env.terminateAll(server)
		env.sim.SetAlarms("ALARM", "server-errors")
		time.Sleep(10 * time.Minute)
		began := time.Now()
		e := env.deploy(2)
		if e.From != release(1) || time.Since(began) > 30*time.Minute {
			t.Errorf("%+v after %s", e, time.Since(began))
		}
	})
}

// Groups that have different releases are rolled back to the last release that was rolled out successfully.
func TestGroupsThatDiffer(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		env.startRefresh(worker, "2", false)
		env.waitFor("the workers have version 2", func() bool { g, _ := env.group(worker); return g.Version == "2" })
		env.scripts[key(server, 3)] = always(failedBoot())
		_, err := env.up(3)
		wantFailure(t, err, "both groups run "+release(1)[:12]+" again", "new servers failed")
		env.wantRunning(1)
		if e := env.wantEntry(3, record.RolledBack, ""); e.From != release(1) || e.Old["worker"] != "1" {
			t.Errorf("%+v", e)
		}
	})
}
