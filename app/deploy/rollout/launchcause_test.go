package rollout_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"imagery/app/deploy/record"
	"imagery/app/deploy/rollout"
	"imagery/infra/testing/asgsim"
)

func (e launchExample) classify() (row, cause, advice string) {
	instance := ""
	if strings.Contains(e.text, "Termination Reason") || strings.HasPrefix(e.text, "Instance ") {
		instance = "i-0123456789abcdef0"
	}
	return rollout.Classify(instance, e.text)
}

// Every row matches its own example before another row does, and has a source and advice. A failure of an instance that
// is in no row is the release's.
func TestLaunchMessages(t *testing.T) {
	t.Parallel()
	var rows []string
	for _, e := range launchExamples {
		row, cause, advice := e.classify()
		if row != e.name && (row != "" || cause != "release") {
			t.Errorf("%s: its example is classified as %s, cause %s", e.name, row, cause)
		}
		if !strings.HasPrefix(e.source, "https://") || (advice == "") != (cause == "release") {
			t.Errorf("%s: source %q, advice %q", e.name, e.source, advice)
		}
		if row != "" {
			rows = append(rows, row)
		}
	}
	if want := rollout.LaunchMessages(); !slices.Equal(rows, want) {
		t.Errorf("examples of %q, want of %q", rows, want)
	}
	for _, c := range []struct{ instance, message, cause string }{
		{"i-1", "", "release"},
		{"i-1", "something new", "release"},
		{"", "something new", "unknown"},
		{"", "RequestLimitExceeded - Request limit exceeded.", "transient"},
		{"", "Instance became unhealthy while waiting for instance to be in InService state.", "unknown"},
	} {
		if _, cause, _ := rollout.Classify(c.instance, c.message); cause != c.cause {
			t.Errorf("%q of instance %q is classified as %s, want %s", c.message, c.instance, cause, c.cause)
		}
	}
}

// launchCase is a rollout in which launches fail.
type launchCase struct {
	launchExample
	cause, advice string
	rollout       bool          // of version 2, else a first deploy of version 1
	zones         string        // in which launches fail
	duration      time.Duration // how long they fail; 0: until the end
}

// script returns the scripts of a simulation in which launches of a version fail.
func (c launchCase) script(env *testEnv, version string) func(asgsim.Machine) asgsim.Script {
	begun := time.Now()
	return func(m asgsim.Machine) asgsim.Script {
		script := env.script(m)
		over := c.duration > 0 && time.Since(begun) > c.duration
		if m.Version != version || over || !strings.Contains(c.zones, m.Zone) {
			return script
		}
		switch _, reason, died := strings.Cut(c.text, "Termination Reason: "); {
		case died:
			script.Died = reason
		case c.cause == "release":
			return failedBoot()
		default:
			script.Refused = c.text
		}
		return script
	}
}

// setUp prepares the groups and returns the version to roll out.
func (c launchCase) setUp(env *testEnv) int {
	if c.rollout {
		env.createGroups()
		env.waitServing()
		env.guard.Arm()
		env.deployFirst()
		env.mem.Script = c.script(env, "2")
		return 2
	}
	env.mem.Script = c.script(env, "1")
	env.createGroups()
	return 1
}

// Each message of AWS, at a first deploy and in a rollout, in one zone and in both: only failures that the release
// caused count against it, the others end with advice, and the next run succeeds when the cause is gone.
func TestLaunchFailuresAreJudgedByTheirCause(t *testing.T) {
	t.Parallel()
	for _, e := range launchExamples {
		_, cause, advice := e.classify()
		for _, rolls := range []bool{false, true} {
			what := map[bool]string{false: "first deploy", true: "rollout"}[rolls]
			run := func(name, zones string, duration time.Duration, want func(launchCase, *testEnv)) {
				t.Run(e.name+"/"+what+"/"+name, func(t *testing.T) {
					t.Parallel()
					c := launchCase{e, cause, advice, rolls, zones, duration}
					simulateEmpty(t, func(env *testEnv) { want(c, env) })
				})
			}
			run("both zones", "ab", 0, launchCase.wantNoSuccess)
			if cause != "release" {
				run("one zone", "a", 0, launchCase.wantSuccess)
				run("for six minutes", "ab", 6*time.Minute, launchCase.wantSuccess)
			}
		}
	}
}

func (c launchCase) wantSuccess(env *testEnv) {
	n := c.setUp(env)
	env.deploy(n)
	failed := func(a asgsim.Activity) bool { return a.StatusCode == types.ScalingActivityStatusCodeFailed }
	if !slices.ContainsFunc(env.sim.Activities("worker"), failed) ||
		!env.logged("AWS could not launch an instance (cause: "+c.cause) {
		env.t.Error("no launch failed, or the failure is not logged")
	}
}

func (c launchCase) wantNoSuccess(env *testEnv) {
	n := c.setUp(env)
	_, err := env.up(n)
	switch {
	case c.cause == "release" && c.rollout:
		wantFailure(env.t, err, "was rolled back, both groups run", "new workers failed")
		env.wantEntry(n, record.RolledBack, "")
	case c.cause == "release":
		wantFailure(env.t, err, "does not work, and there is none to roll back to", "new workers failed")
		env.wantEntry(n, record.Failed, "")
	default:
		outcome := "was not judged, and there is none to roll back to"
		if c.rollout {
			outcome = "rolled back without a verdict and may be rolled out again"
		}
		e := wantFailure(env.t, err, outcome, strings.TrimSuffix(c.text, "."))
		if !strings.Contains(e.Reason, c.advice) {
			env.t.Errorf("%q does not contain the advice %q", e.Reason, c.advice)
		}
		env.wantEntry(n, record.Inconclusive, "AWS has launched no new worker for 1")
	}
	if c.rollout {
		env.wantRunning(1)
	} else {
		c.wantSuspended(env)
	}
	if c.cause == "release" && c.rollout {
		return // from now on the release is rejected, see TestBadBinary
	}
	env.mem.Script = env.script
	if _, err := env.up(n); err != nil {
		env.t.Fatalf("when the cause is gone: %v", err)
	}
	env.wantRunning(n)
	env.wantEntry(n, record.Successful, "")
}

// wantSuspended fails the test unless the launches of exactly those groups are suspended that do not serve.
func (c launchCase) wantSuspended(env *testEnv) {
	time.Sleep(20 * time.Minute) // until no instance boots any more
	for _, role := range rollout.Order {
		_, suspended := env.sim.Suspended(string(role))["Launch"]
		if serves := env.serving(role, 1) == 2; serves == suspended {
			env.t.Errorf("%s: serves %t, launches suspended %t", role, serves, suspended)
		}
		newest := env.sim.Activities(string(role))[0]
		if suspended && time.Since(*newest.StartTime) < 15*time.Minute {
			env.t.Errorf("%s still launches: %+v", role, newest)
		}
	}
}

// The time of a group that is blocked late, after an instance of the release failed, counts from then on.
func TestBlockedLate(t *testing.T) {
	t.Parallel()
	simulateEmpty(t, func(env *testEnv) {
		env.scripts[key(worker, 1)] = func(n int) asgsim.Script {
			switch n {
			case 1:
				return healthy()
			case 2:
				return asgsim.Script{} // until its hook times out, after 15 minutes
			default:
				return asgsim.Script{Refused: "Request limit exceeded."}
			}
		}
		env.createGroups()
		_, err := env.up(1)
		wantFailure(t, err, "was not judged", "AWS has launched no new worker for 15m")
		env.wantEntry(1, record.Inconclusive, "")
	})
}

// If AWS refuses all launches, the rollback fails as well, and the release is not judged.
func TestBlockedRollback(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		blocked := false
		env.mem.Script = func(m asgsim.Machine) asgsim.Script {
			if blocked && m.Group == "worker" {
				return asgsim.Script{Refused: "Request limit exceeded."}
			}
			blocked = blocked || m.Group == "worker" && m.Version == "2"
			return env.script(m)
		}
		_, err := env.up(2)
		wantFailure(t, err, "the rollback does not work", "AWS has launched no new worker for 15m")
		env.wantEntry(2, record.Inconclusive, "the rollback does not work")
		env.mem.Script = env.script
		env.deploy(2)
	})
}

// A run is rejected while a needed process is suspended by an operator or AWS. The command in its error resumes it.
func TestSuspendedProcesses(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		const reason = "AWS suspended this group, which has been failing to launch instances for more than 24 hours"
		if err := env.sim.Suspend("server", reason, "Launch", "AZRebalance"); err != nil {
			t.Fatal(err)
		}
		_, err := env.up(2)
		wantRejected(t, err, "processes of Auto Scaling group server are suspended: Launch ("+reason+")")
		wantRejected(t, err, "imagery rollout resume")
		if !env.logged("process AZRebalance is suspended") || strings.Contains(err.Error(), "AZRebalance") {
			t.Error("AZRebalance, which is not needed, must be logged but not fail the run")
		}
		env.wantRunning(1)
		env.wantEntry(1, record.Successful, "")
		done, err := rollout.Resume(context.Background(), env.options())
		if err != nil || strings.Join(done, " ") != "server/AZRebalance server/Launch" {
			t.Fatal(done, err)
		}
		env.deploy(2)
	})
}

// A process that is suspended during a rollout ends the run. The next run completes the rollout.
func TestSuspendedDuringTheRollout(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		go func() {
			time.Sleep(2 * time.Minute)
			if err := env.sim.Suspend("worker", ""); err != nil {
				t.Error(err)
			}
		}()
		_, err := env.up(2)
		wantRejected(t, err, "stopped before the end")
		wantRejected(t, err, "Launch (User suspended at ")
		if e := env.record().Entries[0]; e.Result != record.Running {
			t.Errorf("%+v", e)
		}
		if _, err := rollout.Resume(context.Background(), env.options()); err != nil {
			t.Fatal(err)
		}
		env.deploy(2)
	})
}
