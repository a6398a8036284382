package rollout_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"imagery/app/deploy/record"
	"imagery/app/deploy/rollout"
)

// steal gives the lock to another, and fails the test if any group is changed from then on.
func (w *world) steal() {
	w.edit(func(r *record.Record) { r.Lock.ID, r.Lock.Holder = "another", "bob@desk" })
	w.setHook(func(call string, _ int) (error, error) {
		if acts(call) {
			w.t.Errorf("who was taken over made a call to %s", call)
		}
		return nil, nil
	})
}

// Who was taken over does nothing more, at once and not from the next renewal on: whatever was next, the start of the
// servers' refresh, or the version of a dead group.
func TestLockIsTaken(t *testing.T) {
	for _, c := range []struct {
		name  string
		next  string // the call that would be made next
		setUp func(w *world)
	}{
		{"before the servers", "StartInstanceRefresh", func(w *world) {}},
		{"before a dead group gets its version", "UpdateAutoScalingGroup", func(w *world) {
			w.fates[key(server, 1)] = always(dead())
			w.kill(server)
			time.Sleep(10 * time.Minute)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			apart := func(o *rollout.Options) { o.Poll = 7 * time.Second } // so that looks and renewals do not coincide
			// The call is found by a run that nobody disturbs; the one that is disturbed does the same until then.
			at := time.Duration(0)
			for _, stolen := range []bool{false, true} {
				inWorld(t, func(w *world) {
					w.nothing()
					w.proven()
					c.setUp(w)
					began := time.Now()
					if !stolen {
						w.setHook(func(call string, _ int) (error, error) {
							if call == c.next && time.Since(began) > 0 {
								at = time.Since(began)
							}
							return nil, nil
						})
						_, _ = w.up(2, apart)
						return
					}
					if at == 0 {
						t.Fatalf("nobody made a call to %s", c.next)
					}
					done := make(chan error, 1)
					go func() { _, err := w.up(2, apart); done <- err }()
					time.Sleep(at - time.Second)
					w.steal()
					stolenAt := time.Now()
					if err := <-done; err == nil || !strings.Contains(err.Error(), "another run took the rollout lock") || time.Since(stolenAt) > 31*time.Second {
						t.Errorf("%v after %s", err, time.Since(stolenAt))
					}
					if r := w.record(); r.Lock == nil || r.Lock.Holder != "bob@desk" {
						t.Errorf("it gave back what is another's: %+v", r.Lock)
					}
				})
			}
		})
	}
}

// A lock that seems to be over, to a clock that is ahead, is not taken while its holder renews it; a dead one's is.
func TestClocksDiffer(t *testing.T) {
	inWorld(t, func(w *world) {
		w.nothing()
		w.proven()
		ahead := 10 * time.Minute // of the holder's clock
		behind := func() {
			w.edit(func(r *record.Record) {
				r.Lock = &record.Lock{ID: "another", Holder: "bob@desk", Why: "pulumi up", Until: time.Now().Add(2*time.Minute - ahead).UTC()}
			})
		}
		behind()
		go func() {
			for range 4 {
				time.Sleep(30 * time.Second)
				behind()
			}
		}()
		for range 3 {
			_, err := w.up(1)
			if held := (*rollout.HeldError)(nil); !errors.As(err, &held) || held.Lock.Holder != "bob@desk" {
				t.Errorf("a lock that is renewed was taken: %v", err)
			}
		}
		time.Sleep(time.Minute) // nobody renews it any more
		if _, err := w.up(1); err != nil {
			t.Error(err)
		}
	})
}
