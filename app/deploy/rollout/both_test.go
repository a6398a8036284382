package rollout_test

import (
	"strings"
	"testing"
	"time"

	"imagery/app/deploy/record"
	"imagery/app/deploy/rollout"
	"imagery/infra/testing/asgsim"
)

// A release is judged in both groups until both have it: what becomes of the workers while the servers roll, and of
// either while a slow smoke runs after the bake, takes it back.
func TestBothAreWatchedToTheEnd(t *testing.T) {
	slow := func(w *world) func(*rollout.Options) {
		return func(o *rollout.Options) { o.Smoke = w.smoke(new([]string), 10*time.Minute, nil) }
	}
	for _, c := range []struct {
		name, when string // a line that the controller says
		after      time.Duration
		then       func(w *world)
		reason     string
	}{
		{"an alarm of the workers rings late", "server: refresh to version 2 started", 20 * time.Second,
			func(w *world) { w.sim.Red("worker-failures") }, "the refresh of the servers to version 2 failed"},
		{"an alarm of the servers rings after their bake", "server to version 2: Successful", 10 * time.Second,
			func(w *world) { w.sim.Red("server-errors") }, "alarm server-errors is in state ALARM"},
		{"all workers die and do not come back", "server to version 2: Baking", 0, func(w *world) {
			w.mu.Lock()
			w.fates[key(worker, 2)] = always(dead())
			w.mu.Unlock()
			w.kill(worker)
		}, "2 new workers failed"},
		{"somebody rolls the workers on", "server: refresh to version 2 started", time.Minute, func(w *world) {
			percent, most := 100, 150
			if _, err := w.sim.StartRefresh("worker", "lt-worker", "3", asgsim.Preferences{MinHealthy: &percent, MaxHealthy: &most, SkipMatching: true}); err != nil {
				w.t.Error(err)
			}
		}, "another refresh, of the workers to version 3, was started"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.proven()
				done := make(chan error, 1)
				go func() { _, err := w.up(2, slow(w)); done <- err }()
				w.until(c.when, func() bool { return w.said(c.when) })
				time.Sleep(c.after)
				c.then(w)
				judged(t, <-done, "both groups run "+release(1)[:12]+" again", c.reason)
				w.all(1)
				result := record.RolledBack
				if strings.HasPrefix(c.reason, "another refresh") { // what a person did says nothing about the release
					result = record.Inconclusive
				}
				w.wantEntry(2, result, c.reason)
			})
		})
	}
}

// One worker that dies and comes back while the servers roll is no reason, and the run ends when all serve again.
func TestOneWorkerIsReplacedMeanwhile(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		w.guard.Disarm()
		w.nothing()
		done := make(chan error, 1)
		go func() { _, err := w.up(2); done <- err }()
		w.until("the servers are through", func() bool { return w.said("server to version 2: Baking") })
		time.Sleep(170 * time.Second) // almost over
		_, instances := w.group(worker)
		if _, err := w.sim.Terminate(instances[0].ID, false); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		w.all(2) // with as many as there must be
		w.wantEntry(2, record.Successful, "")
	})
}
