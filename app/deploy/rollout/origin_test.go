package rollout_test

import (
	"testing"
	"time"

	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
	"imagery/infra/testing/asgsim"
)

// kill terminates every instance of a group, as an accident or a spot market would.
func (w *world) kill(role settings.Role) {
	w.t.Helper()
	w.guard.Disarm() // that is about what the controller takes away
	w.nothing()
	_, instances := w.group(role)
	for _, i := range instances {
		if _, err := w.sim.Terminate(i.ID, false); err != nil {
			w.t.Fatal(err)
		}
	}
}

// A moment in which nobody of a group serves, because its only instance is being replaced, makes no first deploy: a
// bad release still goes back, and is not tried again.
func TestNobodyServesForAMoment(t *testing.T) {
	for _, size := range []int{1, 2} {
		for _, role := range []settings.Role{worker, server} {
			inWorld(t, func(w *world) {
				w.proven()
				w.guard.Disarm()
				if err := w.sim.Update(string(role), asgsim.Change{Min: &size, Desired: &size}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Minute)
				w.fates[key(server, 2)] = always(dead())
				w.kill(role)
				time.Sleep(30 * time.Second)
				_, err := w.up(2)
				judged(t, err, "both groups run "+release(1)[:12]+" again", "new servers failed")
				w.all(1)
				if e := w.wantEntry(2, record.RolledBack, "new servers failed"); e.From != release(1) || e.Old["worker"] != "1" || e.Old["server"] != "1" {
					t.Errorf("%+v", e)
				}
				tried := w.started["server/2"]
				_, err = w.up(2)
				refused(t, err, "release "+release(2)[:12]+" failed on ")
				if w.started["server/2"] != tried {
					t.Error("it was tried again")
				}
			})
		}
	}
}

// A release that mends a dead group waits neither for instances that never come nor for alarms that ring because of it.
func TestDeadGroupIsMended(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		w.fates[key(server, 1)] = always(dead())
		w.kill(server)
		w.sim.Red("server-errors")
		time.Sleep(10 * time.Minute)
		began := time.Now()
		if _, err := w.up(2); err != nil {
			t.Fatal(err)
		}
		w.all(2)
		if e := w.wantEntry(2, record.Successful, ""); e.From != release(1) || time.Since(began) > 30*time.Minute {
			t.Errorf("%+v after %s", e, time.Since(began))
		}
	})
}

// Two groups that were made to differ are no place to return to, and nobody says that they were.
func TestGroupsThatDiffer(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		percent, most := 100, 150
		if _, err := w.sim.StartRefresh("worker", "lt-worker", "2", asgsim.Preferences{MinHealthy: &percent, MaxHealthy: &most, SkipMatching: true}); err != nil {
			t.Fatal(err)
		}
		w.until("the workers have another version", func() bool { g, _ := w.group(worker); return g.Version == "2" })
		w.fates[key(server, 3)] = always(dead())
		_, err := w.up(3)
		judged(t, err, "both groups run "+release(1)[:12]+" again", "new servers failed")
		w.all(1)
		if e := w.wantEntry(3, record.RolledBack, ""); e.From != release(1) || e.Old["worker"] != "1" {
			t.Errorf("%+v", e)
		}
	})
}
