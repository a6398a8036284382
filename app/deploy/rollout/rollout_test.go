package rollout_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"imagery/app/deploy/record"
	"imagery/app/deploy/rollout"
	"imagery/infra/testing/asgsim"
)

func TestGoodRelease(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		var smoked []string
		began := time.Now()
		out, err := env.up(2, func(o *rollout.Options) {
			o.Poll, o.Smoke = 0, smokeTest(&smoked, time.Minute, nil) // every 10 s
		})
		if err != nil || out != rollout.Done {
			t.Fatal(out, err)
		}
		env.wantRunning(2)
		e := env.wantEntry(2, record.Successful, "")
		if e.From != release(1) || e.Why != "pulumi up" || e.Took(time.Now()) < 5*time.Minute ||
			e.Begin.Location() != time.UTC {
			t.Errorf("%+v", e)
		}
		if !slices.Equal(smoked, []string{release(2)}) {
			t.Errorf("smoke tests of %v", smoked)
		}
		t.Logf("took %s", time.Since(began))
		// A line for each change of an instance, and not for each poll.
		for _, line := range []string{"worker i-", "version 2, Pending:Wait", "version 2, InService",
			"version 1, Terminating", ": gone", "worker to version 2: Baking", "server to version 2: Baking"} {
			if !env.logged(line) {
				t.Errorf("not logged: %q", line)
			}
		}
		if polls := int(time.Since(began) / (10 * time.Second)); len(env.lines) > polls {
			t.Errorf("%d lines for about %d polls", len(env.lines), polls)
		}
	})
}

// A second run of the same release changes nothing and makes few calls.
func TestConverged(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		env.deploy(2)
		calls, entries := env.calls, len(env.record().Entries)
		began := time.Now()
		if out, err := env.up(2); err != nil || out != rollout.Done {
			t.Fatal(out, err)
		}
		if n := env.calls - calls; n > 8 || time.Since(began) > time.Second || len(env.record().Entries) != entries {
			t.Errorf("%d calls, %s, %d entries", n, time.Since(began), len(env.record().Entries))
		}
	})
}

func TestBadBinary(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		env.scripts[key(worker, 2)] = always(failedBoot())
		began := time.Now()
		_, err := env.up(2)
		e := wantFailure(t, err, "both groups run "+release(1)[:12]+" again", "2 new workers failed")
		if len(e.Lines) == 0 || !strings.Contains(e.Error(), "panic: no such table\n") ||
			!strings.HasSuffix(e.Lines[len(e.Lines)-1], "IMAGERY BOOT FAILED: run the selftest (line 99)") ||
			!strings.Contains(e.Error(), "aws logs tail /imagery/dev/worker") {
			t.Errorf("the instance's last lines are %q", e.Lines)
		}
		env.wantRunning(1)
		if took := time.Since(began); took > 10*time.Minute {
			t.Errorf("took %s; AWS itself would have retried for an hour", took)
		}
		if entry := env.wantEntry(2, record.RolledBack, "new "); entry.Instance != e.Instance || len(entry.Lines) == 0 {
			t.Errorf("%+v", entry)
		}
		if env.launched["server/2"] > 0 {
			t.Error("a server of the failed release was launched")
		}
		// An unrelated `pulumi up` does not roll it out again.
		launched := env.launched["worker/2"]
		_, err = env.up(2)
		wantRejected(t, err, "release "+release(2)[:12]+" failed on ")
		if env.launched["worker/2"] != launched {
			t.Error("it was rolled out again")
		}
		env.wantRunning(1)
		// A new hash is another release.
		env.deploy(3)
	})
}

// A release whose servers boot, and then cause an alarm, is rolled back in both groups.
func TestAlarmDuringTheRollout(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		loaded := healthy()
		loaded.Alarm, loaded.AlarmAfter = "server-errors", 3*time.Minute
		env.scripts[key(server, 2)] = always(loaded)
		_, err := env.up(2)
		e := wantFailure(t, err, "both groups run", "alarm server-errors")
		if e.Instance == "" || !strings.Contains(e.Error(), "aws logs tail /imagery/dev/server") {
			t.Errorf("%v names no instance", e)
		}
		env.wantRunning(1)
		env.wantEntry(2, record.RolledBack, "server-errors")
	})
}

// An alarm in state ALARM prevents a rollout unless it is forced: the release may be the fix.
func TestAlarmBeforeTheRollout(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		env.sim.SetAlarms("ALARM", "server-errors")
		_, err := env.up(2)
		wantRejected(t, err, "alarm server-errors is in state ALARM")
		env.wantRunning(1)
		env.wantEntry(1, record.Successful, "") // of the first deploy
		env.deploy(2, force)
	})
}

// A rollout waits some minutes for an alarm with insufficient data, as a new alarm has: AWS starts no refresh with it.
func TestAlarmWithInsufficientData(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		env.sim.SetAlarms("INSUFFICIENT_DATA", "worker-failures")
		go func() { time.Sleep(4 * time.Minute); env.sim.SetAlarms("OK", "worker-failures") }()
		env.deploy(2)
		env.sim.SetAlarms("INSUFFICIENT_DATA", "worker-failures")
		_, err := env.up(3)
		wantRejected(t, err, "insufficient data after 10m0s")
		env.wantRunning(2)
	})
}

// One failed launch is tolerated, since AWS retries it, and two fail the release: those of the first instance as well
// as those of the last one.
func TestFailedLaunches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fails func(n int) bool // of the n-th launch of a server
		ok    bool
	}{
		{"the first, once", func(n int) bool { return n == 1 }, true},
		{"the last, once", func(n int) bool { return n == 2 }, true},
		{"from the first on", func(n int) bool { return true }, false},
		{"from the last on", func(n int) bool { return n >= 2 }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			simulate(t, func(env *testEnv) {
				env.deployFirst()
				env.scripts[key(server, 2)] = func(n int) asgsim.Script {
					if c.fails(n) {
						return failedBoot()
					}
					return healthy()
				}
				_, err := env.up(2)
				if !env.logged(" failed: ") {
					t.Error("the failed instance is not logged")
				}
				if c.ok {
					if err != nil {
						t.Error(err)
					}
					env.wantRunning(2)
					return
				}
				wantFailure(t, err, "both groups run", "2 new servers failed")
				env.wantRunning(1)
				env.wantEntry(2, record.RolledBack, "new ")
			})
		})
	}
}

func TestSmokeTestFails(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		simulate(t, func(env *testEnv) {
			env.deployFirst()
			delay := time.Minute
			if late {
				delay = 10 * time.Minute // after the bake, when AWS would not roll back by itself
			}
			var smoked []string
			// The rollback is recorded before it begins, so that a run after a kill rolls back, too.
			env.setHook(func(call string, _ int) (error, error) {
				r := env.record()
				begins := call == "RollbackInstanceRefresh" || call == "StartInstanceRefresh" && len(smoked) > 0
				if e := r.Current(); begins && e.Result != record.RollingBack {
					t.Errorf("%s while the record says %s", call, e.Result)
				}
				return nil, nil
			})
			_, err := env.up(2, func(o *rollout.Options) { o.Smoke = smokeTest(&smoked, delay, errSmoke) })
			wantFailure(t, err, "both groups run", "the smoke test failed: the photo is green")
			if want := "green\nMore: aws logs tail /imagery/dev/server --since 1h\n" +
				"More: aws logs tail /imagery/dev/worker --since 1h"; !strings.HasSuffix(err.Error(), want) {
				t.Errorf("%q does not end with %q", err, want)
			}
			env.wantRunning(1)
			env.wantEntry(2, record.RolledBack, "the photo is green")
			if g, _ := env.group(server); g.Version != "1" {
				t.Error(g.Version)
			}
		})
	}
}

// A version that is missing, has no image id or starts another release, and a missing binary, are found before anything
// is changed.
func TestPreflight(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.expectNoRefresh()
		env.deployFirst()
		_, err := env.up(9)
		wantRejected(t, err, "has no version 9")
		env.missing["releases/"+release(2)+"/imagery"] = true
		_, err = env.up(2)
		wantRejected(t, err, "find the release that the workers download, s3://releases/releases/"+release(2))
		want := target(3)
		want.Release = release(4)
		_, err = rollout.Run(context.Background(), env.options(), want)
		wantRejected(t, err, `starts release "`+release(3)[:12]+`", not `+release(4)[:12])
		env.sim.SetTemplate("lt-worker", asgsim.TemplateVersion{Number: 1},
			asgsim.TemplateVersion{Number: 5, Image: "resolve:ssm:/x"})
		_, err = env.up(5)
		wantRejected(t, err, "the id of an image, ami-")
		env.wantRunning(1)
		if len(env.record().Entries) != 1 {
			t.Error("a rollout was begun")
		}
	})
}
