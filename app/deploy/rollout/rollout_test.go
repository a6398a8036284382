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
	inWorld(t, func(w *world) {
		w.proven()
		var smoked []string
		began := time.Now()
		out, err := w.up(2, func(o *rollout.Options) { o.Smoke = w.smoke(&smoked, time.Minute, nil) })
		if err != nil || out != rollout.Done {
			t.Fatal(out, err)
		}
		w.all(2)
		e := w.wantEntry(2, record.Successful, "")
		if e.From != release(1) || e.Why != "pulumi up" || e.Took(time.Now()) < 5*time.Minute || e.Begin.Location() != time.UTC {
			t.Errorf("%+v", e)
		}
		if !slices.Equal(smoked, []string{release(2)}) {
			t.Errorf("smoked %v", smoked)
		}
		t.Logf("took %s", time.Since(began))
		// A line for each instance on its way, and not for each look.
		for _, line := range []string{"worker i-", "version 2, Pending:Wait", "version 2, InService", "version 1, Terminating", ": gone", "worker to version 2: Baking", "server to version 2: Baking"} {
			if !w.said(line) {
				t.Errorf("nobody said %q", line)
			}
		}
		if looks := int(time.Since(began) / (10 * time.Second)); len(w.lines) > looks {
			t.Errorf("%d lines for about %d looks", len(w.lines), looks)
		}
	})
}

// Run again it does nothing, and asks only a few questions.
func TestConverged(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		if _, err := w.up(2); err != nil {
			t.Fatal(err)
		}
		calls, entries := w.calls, len(w.record().Entries)
		began := time.Now()
		if out, err := w.up(2); err != nil || out != rollout.Done {
			t.Fatal(out, err)
		}
		if n := w.calls - calls; n > 8 || time.Since(began) > time.Second || len(w.record().Entries) != entries {
			t.Errorf("%d calls, %s, %d entries", n, time.Since(began), len(w.record().Entries))
		}
	})
}

func TestBadBinary(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		w.fates[key(worker, 2)] = always(dead())
		began := time.Now()
		_, err := w.up(2)
		e := judged(t, err, "both groups run "+release(1)[:12]+" again", "2 new workers failed")
		if len(e.Lines) == 0 || !strings.Contains(e.Error(), "panic: no such table\n") || !strings.HasSuffix(e.Lines[len(e.Lines)-1], "IMAGERY BOOT FAILED: run the selftest (line 99)") ||
			!strings.Contains(e.Error(), "aws logs tail /imagery/dev/worker") {
			t.Errorf("the instance's last lines are %q", e.Lines)
		}
		w.all(1)
		if took := time.Since(began); took > 10*time.Minute {
			t.Errorf("took %s; AWS itself would have tried for an hour", took)
		}
		if entry := w.wantEntry(2, record.RolledBack, "new "); entry.Instance != e.Instance || len(entry.Lines) == 0 {
			t.Errorf("%+v", entry)
		}
		if w.started["server/2"] > 0 {
			t.Error("a server of the bad release was started")
		}
		// An update that has nothing to do with it does not try again.
		calls := w.started["worker/2"]
		_, err = w.up(2)
		refused(t, err, "release "+release(2)[:12]+" failed on ")
		if w.started["worker/2"] != calls {
			t.Error("it was tried again")
		}
		w.all(1)
		// A new hash is another release.
		if _, err := w.up(3); err != nil {
			t.Error(err)
		}
		w.all(3)
	})
}

// Passing the boot is not enough.
func TestFailsUnderLoad(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		loaded := good()
		loaded.Alarm, loaded.AlarmAfter = "server-errors", 3*time.Minute
		w.fates[key(server, 2)] = always(loaded)
		_, err := w.up(2)
		e := judged(t, err, "both groups run", "alarm server-errors")
		if e.Instance == "" || !strings.Contains(e.Error(), "aws logs tail /imagery/dev/server") {
			t.Errorf("%v names no instance", e)
		}
		w.all(1) // the workers, too
		w.wantEntry(2, record.RolledBack, "server-errors")
	})
}

func TestAlarmIsRedBefore(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		w.sim.Red("server-errors")
		_, err := w.up(2)
		refused(t, err, "alarm server-errors is in state ALARM")
		w.all(1)
		w.wantEntry(1, record.Successful, "") // nothing was begun
		// What mends it can be forced.
		if _, err := w.up(2, func(o *rollout.Options) { o.Force = true }); err != nil {
			t.Error(err)
		}
		w.all(2)
	})
}

// An alarm that is new knows nothing for some minutes; AWS starts nothing with it.
func TestAlarmKnowsNothingYet(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		w.sim.SetAlarm("worker-failures", "INSUFFICIENT_DATA", "")
		go func() { time.Sleep(4 * time.Minute); w.sim.Green("worker-failures") }()
		if _, err := w.up(2); err != nil {
			t.Error(err)
		}
		w.all(2)
		w.sim.SetAlarm("worker-failures", "INSUFFICIENT_DATA", "")
		_, err := w.up(3)
		refused(t, err, "insufficient data after 10m0s")
		w.all(2)
	})
}

// One launch may fail, AWS repeats it; two are enough. Whether it is the first or the last instance makes no
// difference to what runs in the end.
func TestInstancesThatFail(t *testing.T) {
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
			inWorld(t, func(w *world) {
				w.proven()
				w.fates[key(server, 2)] = func(n int) asgsim.Script {
					if c.fails(n) {
						return dead()
					}
					return good()
				}
				_, err := w.up(2)
				if !w.said(" failed: ") {
					t.Error("nobody said that an instance failed")
				}
				if c.ok {
					if err != nil {
						t.Error(err)
					}
					w.all(2)
					return
				}
				judged(t, err, "both groups run", "2 new servers failed")
				w.all(1)
				w.wantEntry(2, record.RolledBack, "new ")
			})
		})
	}
}

func TestSmokeFails(t *testing.T) {
	for _, late := range []bool{false, true} {
		inWorld(t, func(w *world) {
			w.proven()
			delay := time.Minute
			if late {
				delay = 10 * time.Minute // long after the bake, when AWS would not go back by itself
			}
			var smoked []string
			// The record says that it goes back before AWS is told: whoever comes after a kill must not go on.
			w.setHook(func(call string, _ int) (error, error) {
				r := w.record()
				if e := r.Current(); (call == "RollbackInstanceRefresh" || call == "StartInstanceRefresh" && len(smoked) > 0) && e.Result != record.RollingBack {
					t.Errorf("%s while the record says %s", call, e.Result)
				}
				return nil, nil
			})
			_, err := w.up(2, func(o *rollout.Options) { o.Smoke = w.smoke(&smoked, delay, errSmoke) })
			judged(t, err, "both groups run", "the smoke test failed: the photo is green")
			w.all(1)
			w.wantEntry(2, record.RolledBack, "the photo is green")
			if g, _ := w.group(server); g.Version != "1" {
				t.Error(g.Version)
			}
		})
	}
}

// A version that is missing, has no image of its own, or another release, and a binary that is not there.
func TestPreflight(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		_, err := w.up(9)
		refused(t, err, "has no version 9")
		w.missing["releases/"+release(2)+"/imagery"] = true
		_, err = w.up(2)
		refused(t, err, "find release "+release(2)[:12])
		want := target(3)
		want.Release = release(4)
		_, err = rollout.Run(context.Background(), w.options(), want)
		refused(t, err, `starts release "`+release(3)[:12]+`", not `+release(4)[:12])
		w.sim.SetTemplate("lt-worker", asgsim.TemplateVersion{Number: 1}, asgsim.TemplateVersion{Number: 5, Image: "resolve:ssm:/x"})
		_, err = w.up(5)
		refused(t, err, "the id of an image, ami-")
		w.all(1)
		if len(w.record().Entries) != 1 {
			t.Error("a rollout was begun")
		}
		w.sim.SetTemplate("lt-worker", asgsim.TemplateVersion{Number: 1})
		w.nothing()
	})
}
