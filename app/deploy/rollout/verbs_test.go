package rollout_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"imagery/app/deploy/record"
	"imagery/app/deploy/rollout"
	"imagery/infra/testing/asgsim"
)

func (w *world) to(prefix string, change ...func(*rollout.Options)) (rollout.Outcome, error) {
	o := w.options()
	for _, c := range change {
		c(&o)
	}
	return rollout.To(context.Background(), o, prefix)
}

func force(o *rollout.Options) { o.Force = true }

// Going back by hand works while everything is red, and holds what it leaves.
func TestToAnOlderRelease(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		if _, err := w.up(2); err != nil {
			t.Fatal(err)
		}
		w.sim.Red("server-errors")
		red := func(o *rollout.Options) {
			o.Smoke = func(context.Context, string) (string, error) { return "", errSmoke }
		}
		if out, err := w.to(release(1)[:8], red); err != nil || out != rollout.Done {
			t.Fatal(out, err)
		}
		w.all(1)
		if e := w.wantEntry(1, record.Successful, ""); e.From != release(2) || e.Why != "to "+release(1)[:12] {
			t.Errorf("%+v", e)
		}
		if h := w.record().Blocked[release(2)]; h.By != "ann@laptop" || h.Why != "rolled back by hand to "+release(1)[:12] {
			t.Errorf("%+v", h)
		}
		// An update with the same source does not bring it back, a verb neither.
		w.sim.Green("server-errors")
		_, err := w.up(2)
		refused(t, err, "ann@laptop blocked release "+release(2)[:12])
		_, err = w.to(release(2))
		refused(t, err, "blocked release")
		w.all(1)
		if _, err := w.to(release(2), force); err != nil {
			t.Fatal(err)
		}
		w.all(2)
		if r := w.record(); len(r.Blocked) > 0 {
			t.Errorf("the hold outlived the force: %+v", r.Blocked)
		}
		if _, err := w.up(2); err != nil {
			t.Error(err)
		}
	})
}

// A newer release is judged as any other, and nothing is held.
func TestToANewerRelease(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		w.sim.Red("server-errors")
		_, err := w.to(release(2))
		refused(t, err, "is in state ALARM")
		w.sim.Green("server-errors")
		if _, err := w.to(release(2)); err != nil {
			t.Fatal(err)
		}
		w.all(2)
		if r := w.record(); len(r.Blocked) > 0 {
			t.Errorf("%+v", r.Blocked)
		}
	})
}

func TestToNeedsOneRelease(t *testing.T) {
	inWorld(t, func(w *world) {
		w.quiet = true
		for prefix, why := range map[string]string{"": "no version starts", "ff": "no version starts", "0": "the prefix of several releases"} {
			_, err := w.to(prefix)
			refused(t, err, why)
		}
	})
}

func abortBy(o rollout.Options) (string, error) {
	o.By = "bob@desk"
	return rollout.Abort(context.Background(), o)
}

// Whoever drives is told, and takes both groups back.
func TestAbort(t *testing.T) {
	for _, after := range []time.Duration{2 * time.Minute, 9 * time.Minute} { // while workers roll, and servers
		inWorld(t, func(w *world) {
			w.proven()
			done := make(chan error, 1)
			go func() { _, err := w.up(2); done <- err }()
			time.Sleep(after)
			if by, err := abortBy(w.options()); err != nil || by != "ann@laptop" {
				t.Errorf("%s, %v", by, err)
			}
			judged(t, <-done, "both groups run", "bob@desk aborted it")
			w.all(1)
			w.wantEntry(2, record.RolledBack, "bob@desk aborted it")
			_, err := w.up(2)
			refused(t, err, "bob@desk aborted it")
		})
	}
}

// Without anybody who drives it is done here.
func TestAbortAfterADeath(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		ctx, stop := context.WithTimeout(context.Background(), 9*time.Minute)
		defer stop()
		if _, err := w.upWith(ctx, 2); err == nil {
			t.Fatal("too quick")
		}
		if by, err := abortBy(w.options()); err != nil || by != "bob@desk" {
			t.Errorf("%s, %v", by, err)
		}
		w.all(1)
		w.wantEntry(2, record.RolledBack, "bob@desk aborted it")
		if _, err := abortBy(w.options()); !errors.Is(err, rollout.ErrNothing) {
			t.Errorf("nothing to abort: %v", err)
		}
	})
}

// Whoever drove it may be dead without having given the lock back: then the request alone would help nobody.
func TestAbortOfADeadHolder(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		ctx, kill := context.WithCancel(context.Background())
		defer kill()
		time.AfterFunc(9*time.Minute, func() {
			w.setHook(func(string, int) (error, error) { return errGone, nil })
			kill()
		})
		if _, err := w.upWith(ctx, 2); err == nil {
			t.Fatal("too quick")
		}
		w.setHook(nil)
		if l := w.record().Lock; !l.Live(time.Now()) {
			t.Fatalf("the dead one gave its lock back: %+v", l)
		}
		if by, err := abortBy(w.options()); err != nil || by != "bob@desk" {
			t.Errorf("%s, %v", by, err)
		}
		w.all(1)
		w.wantEntry(2, record.RolledBack, "bob@desk aborted it")
	})
}

// Who says that it was aborted must not say so of what got through.
func TestAbortComesTooLate(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		done := make(chan error, 1)
		go func() { _, err := w.up(2); done <- err }()
		w.until("it is almost through", func() bool { return w.said("server to version 2: Baking") })
		w.until("it is through but for the last look", func() bool { return w.said("server to version 2: Successful") })
		_, err := abortBy(w.options())
		ran := <-done
		if (err == nil) != (ran != nil) {
			t.Errorf("the abort says %v, the rollout %v", err, ran)
		}
		if ran == nil {
			w.all(2)
		} else {
			w.all(1)
		}
	})
}

// A way back is no rollout to abort: it is what an abort wants.
func TestAbortOfTheWayBack(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		w.fates[key(server, 2)] = always(dead())
		done := make(chan error, 1)
		go func() { _, err := w.up(2); done <- err }()
		w.until("it goes back", func() bool { return w.said("is rolled back: 2 new servers failed") })
		time.Sleep(30 * time.Second)
		if _, err := abortBy(w.options()); err != nil {
			t.Error(err)
		}
		judged(t, <-done, "both groups run", "2 new servers failed")
		w.all(1)
		w.wantEntry(2, record.RolledBack, "2 new servers failed")
	})
}

func TestAbortOfAForeignRefresh(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		percent, most := 100, 150
		if _, err := w.sim.StartRefresh("server", "lt-server", "2", asgsim.Preferences{MinHealthy: &percent, MaxHealthy: &most, SkipMatching: true, AutoRollback: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if _, err := abortBy(w.options()); err != nil {
			t.Error(err)
		}
		w.all(1)
	})
}

func TestStatus(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		ctx, stop := context.WithTimeout(context.Background(), 90*time.Second)
		defer stop()
		if _, err := w.upWith(ctx, 2); err == nil {
			t.Fatal("too quick")
		}
		before := w.record().Lock
		s, err := rollout.Status(context.Background(), w.options())
		if err != nil || len(s.Groups) != 2 || s.Record.Current() == nil {
			t.Fatalf("%+v, %v", s, err)
		}
		g := s.Groups[0]
		if g.Role != worker || g.Version != "1" || g.Release != release(1) || g.Minimum != 2 || len(g.Instances) != 3 || g.Refresh == nil || g.Refresh.Version != "2" || !g.Refresh.Active {
			t.Errorf("%+v", g)
		}
		if g := s.Groups[1]; g.Refresh != nil || g.Role != server {
			t.Errorf("%+v", g)
		}
		if after := w.record().Lock; before != nil || after != nil {
			t.Errorf("a question has to do with the lock: %+v, %+v", before, after)
		}
		if _, err := abortBy(w.options()); err != nil {
			t.Error(err)
		}
	})
}

// Going back by hand holds what is left even when that serves nothing: then it matters most.
func TestToHoldsWhatIsDead(t *testing.T) {
	for _, role := range rollout.Order {
		inWorld(t, func(w *world) {
			w.proven()
			if _, err := w.up(2); err != nil {
				t.Fatal(err)
			}
			w.fates[key(role, 2)] = always(dead())
			w.kill(role)
			if _, err := w.to(release(1)[:8]); err != nil {
				t.Fatal(err)
			}
			w.all(1)
			if h := w.record().Blocked[release(2)]; h.By != "ann@laptop" {
				t.Errorf("%+v", w.record().Blocked)
			}
			_, err := w.up(2)
			refused(t, err, "ann@laptop blocked release "+release(2)[:12])
			w.all(1)
		})
	}
}

// What a revert gave a new number is older all the same.
func TestToWhatWasReverted(t *testing.T) {
	inWorld(t, func(w *world) {
		w.sim.SetTemplate("lt-worker", templates(1, 2, 1)...)
		w.sim.SetTemplate("lt-server", templates(1, 2, 1)...)
		w.proven()
		if _, err := w.up(2); err != nil {
			t.Fatal(err)
		}
		w.sim.Red("server-errors")
		if _, err := w.to(release(1)[:8]); err != nil {
			t.Fatal(err)
		}
		w.all(3)
		if h := w.record().Blocked; h[release(2)].Why != "rolled back by hand to "+release(1)[:12] || len(h) != 1 {
			t.Errorf("%+v", h)
		}
	})
}
