package rollout_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"imagery/app/deploy/record"
	"imagery/app/deploy/rollout"
)

// A manual rollback works although alarms are in state ALARM and the smoke test fails, and blocks the release that ran.
func TestToAnOlderRelease(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		env.deploy(2)
		env.sim.SetAlarms("ALARM", "server-errors")
		failingSmoke := func(o *rollout.Options) {
			o.Smoke = func(context.Context, string) error { return errSmoke }
		}
		if out, err := env.to(release(1)[:8], failingSmoke); err != nil || out != rollout.Done {
			t.Fatal(out, err)
		}
		env.wantRunning(1)
		if e := env.wantEntry(1, record.Successful, ""); e.From != release(2) || e.Why != "to "+release(1)[:12] {
			t.Errorf("%+v", e)
		}
		b := env.record().Blocked[release(2)]
		if b.By != "ann@laptop" || b.Why != "rolled back by hand to "+release(1)[:12] {
			t.Errorf("%+v", b)
		}
		// Neither a further `pulumi up` nor the command rolls it out again.
		env.sim.SetAlarms("OK", "server-errors")
		_, err := env.up(2)
		wantRejected(t, err, "ann@laptop blocked release "+release(2)[:12])
		_, err = env.to(release(2))
		wantRejected(t, err, "blocked release")
		env.wantRunning(1)
		if _, err := env.to(release(2), force); err != nil {
			t.Fatal(err)
		}
		env.wantRunning(2)
		if r := env.record(); len(r.Blocked) > 0 {
			t.Errorf("blocked after it was forced: %+v", r.Blocked)
		}
		env.deploy(2)
	})
}

// A newer release is judged as by `pulumi up`, and no release is blocked.
func TestToANewerRelease(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		env.sim.SetAlarms("ALARM", "server-errors")
		_, err := env.to(release(2))
		wantRejected(t, err, "is in state ALARM")
		env.sim.SetAlarms("OK", "server-errors")
		if _, err := env.to(release(2)); err != nil {
			t.Fatal(err)
		}
		env.wantRunning(2)
		if r := env.record(); len(r.Blocked) > 0 {
			t.Errorf("%+v", r.Blocked)
		}
	})
}

func TestToNeedsOneRelease(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.noRefresh = true
		for prefix, why := range map[string]string{
			"": "no version starts", "ff": "no version starts", "0": "the prefix of several releases",
		} {
			_, err := env.to(prefix)
			wantRejected(t, err, why)
		}
	})
}

// An abort is requested from the run that has the lock, which rolls both groups back.
func TestAbort(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{2 * time.Minute, 9 * time.Minute} { // while the workers roll, and the servers
		simulate(t, func(env *testEnv) {
			env.deployFirst()
			done := env.upAsync(2)
			time.Sleep(after)
			if by, err := env.abort(); err != nil || by != "ann@laptop" {
				t.Errorf("%s, %v", by, err)
			}
			wantFailure(t, <-done, "both groups run", "bob@desk aborted it")
			env.wantRunning(1)
			env.wantEntry(2, record.RolledBack, "bob@desk aborted it")
			_, err := env.up(2)
			wantRejected(t, err, "bob@desk aborted it")
		})
	}
}

// If no run has the lock, the abort rolls back itself.
func TestAbortAfterAnInterruption(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		env.upInterrupted(9*time.Minute, 2)
		if by, err := env.abort(); err != nil || by != "bob@desk" {
			t.Errorf("%s, %v", by, err)
		}
		env.wantRunning(1)
		env.wantEntry(2, record.RolledBack, "bob@desk aborted it")
		if _, err := env.abort(); !errors.Is(err, rollout.ErrNothing) {
			t.Errorf("nothing to abort: %v", err)
		}
	})
}

// If the run that has the lock was killed, the abort waits until the lock expires and then rolls back itself.
func TestAbortOfAKilledRun(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		ctx, kill := context.WithCancel(context.Background())
		defer kill()
		time.AfterFunc(9*time.Minute, func() {
			env.setHook(func(string, int) (error, error) { return errKilled, nil })
			kill()
		})
		if _, err := env.upContext(ctx, 2); err == nil {
			t.Fatal("it ended before it was killed")
		}
		env.setHook(nil)
		if l := env.record().Lock; !l.Live(time.Now()) {
			t.Fatalf("the killed run released its lock: %+v", l)
		}
		if by, err := env.abort(); err != nil || by != "bob@desk" {
			t.Errorf("%s, %v", by, err)
		}
		env.wantRunning(1)
		env.wantEntry(2, record.RolledBack, "bob@desk aborted it")
	})
}

// An abort at the very end succeeds if and only if the rollout fails.
func TestAbortComesTooLate(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		done := env.upAsync(2)
		for _, line := range []string{"server to version 2: Baking", "server to version 2: Successful"} {
			env.waitFor(line, func() bool { return env.logged(line) })
		}
		_, err := env.abort()
		ran := <-done
		if (err == nil) != (ran != nil) {
			t.Errorf("the abort returned %v, the rollout %v", err, ran)
		}
		if ran == nil {
			env.wantRunning(2)
		} else {
			env.wantRunning(1)
		}
	})
}

// An abort during a rollback leaves the rollback alone and waits for its end.
func TestAbortDuringARollback(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		env.scripts[key(server, 2)] = always(failedBoot())
		done := env.upAsync(2)
		env.waitFor("it rolls back", func() bool { return env.logged("is rolled back: 2 new servers failed") })
		time.Sleep(30 * time.Second)
		if _, err := env.abort(); err != nil {
			t.Error(err)
		}
		wantFailure(t, <-done, "both groups run", "2 new servers failed")
		env.wantRunning(1)
		env.wantEntry(2, record.RolledBack, "2 new servers failed")
	})
}

// An abort leaves a refresh alone that brings the old release back.
func TestAbortWhileARefreshBringsTheOldReleaseBack(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		env.scripts[key(server, 2)] = always(failedBoot())
		done := env.upAsync(2)
		env.waitFor("the workers go back", func() bool { return env.logged("worker: refresh to version 1 started") })
		time.Sleep(time.Minute) // until the refresh of the servers is rolled back, too
		env.setHook(func(call string, _ int) (before, after error) {
			if call == "RollbackInstanceRefresh" {
				t.Error("the rollback is rolled back")
			}
			return nil, nil
		})
		if _, err := env.abort(); err != nil {
			t.Error(err)
		}
		wantFailure(t, <-done, "both groups run", "2 new servers failed")
		env.wantRunning(1)
	})
}

// An abort rolls back a refresh that an operator started without a rollout.
func TestAbortOfARefreshFromTheConsole(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		env.startRefresh(server, "2", true)
		time.Sleep(time.Minute)
		if _, err := env.abort(); err != nil {
			t.Error(err)
		}
		env.wantRunning(1)
	})
}

func TestStatus(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		env.upInterrupted(90*time.Second, 2)
		before := env.record().Lock
		s, err := rollout.Status(context.Background(), env.options())
		if err != nil || len(s.Groups) != 2 || s.Record.Current() == nil {
			t.Fatalf("%+v, %v", s, err)
		}
		g := s.Groups[0]
		if g.Role != worker || g.Version != "1" || g.Release != release(1) || g.Minimum != 2 || len(g.Instances) != 3 ||
			g.Refresh == nil || g.Refresh.Version != "2" || !g.Refresh.Active {
			t.Errorf("%+v", g)
		}
		if g := s.Groups[1]; g.Refresh != nil || g.Role != server {
			t.Errorf("%+v", g)
		}
		if after := env.record().Lock; before != nil || after != nil {
			t.Errorf("lock before Status %+v, and after it %+v", before, after)
		}
		if _, err := env.abort(); err != nil {
			t.Error(err)
		}
	})
}

// A manual rollback blocks the release that ran even if none of its instances serves any more.
func TestToBlocksAReleaseThatDoesNotServe(t *testing.T) {
	t.Parallel()
	for _, role := range rollout.Order {
		simulate(t, func(env *testEnv) {
			env.deployFirst()
			env.deploy(2)
			env.scripts[key(role, 2)] = always(failedBoot())
			env.terminateAll(role)
			if _, err := env.to(release(1)[:8]); err != nil {
				t.Fatal(err)
			}
			env.wantRunning(1)
			if b := env.record().Blocked[release(2)]; b.By != "ann@laptop" {
				t.Errorf("%+v", env.record().Blocked)
			}
			_, err := env.up(2)
			wantRejected(t, err, "ann@laptop blocked release "+release(2)[:12])
			env.wantRunning(1)
		})
	}
}

// A release whose template version has a new number after a revert is older all the same.
func TestToARevertedRelease(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.sim.SetTemplate("lt-worker", templates(1, 2, 1)...)
		env.sim.SetTemplate("lt-server", templates(1, 2, 1)...)
		env.deployFirst()
		env.deploy(2)
		env.sim.SetAlarms("ALARM", "server-errors")
		if _, err := env.to(release(1)[:8]); err != nil {
			t.Fatal(err)
		}
		env.wantRunning(3)
		b := env.record().Blocked
		if len(b) != 1 || b[release(2)].Why != "rolled back by hand to "+release(1)[:12] {
			t.Errorf("%+v", b)
		}
	})
}
