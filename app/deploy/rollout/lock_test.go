package rollout_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"imagery/app/deploy/record"
	"imagery/app/deploy/rollout"
)

// A run whose lock was taken by another one makes no further change: whether its next step is the refresh of the
// servers or the version of a group without healthy instances, and also before its next renewal of the lock.
func TestLockIsTaken(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		next  string // the next change when the lock is taken
		setUp func(env *testEnv)
	}{
		{"before the refresh of the servers", "StartInstanceRefresh", func(*testEnv) {}},
		{"before the version of a group without healthy instances", "UpdateAutoScalingGroup", func(env *testEnv) {
			env.scripts[key(server, 1)] = always(failedBoot())
			env.terminateAll(server)
			time.Sleep(10 * time.Minute)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			poll7s := func(o *rollout.Options) { o.Poll = 7 * time.Second } // no read coincides with a renewal
			// An undisturbed run shows the time of the change. The run whose lock is taken behaves the same until then.
			at := time.Duration(0)
			for _, taken := range []bool{false, true} {
				simulate(t, func(env *testEnv) {
					env.expectNoRefresh()
					env.deployFirst()
					c.setUp(env)
					began := time.Now()
					if !taken {
						env.setHook(func(call string, _ int) (error, error) {
							if call == c.next && time.Since(began) > 0 {
								at = time.Since(began)
							}
							return nil, nil
						})
						_, _ = env.up(2, poll7s)
						return
					}
					if at == 0 {
						t.Fatalf("no call to %s", c.next)
					}
					done := env.upAsync(2, poll7s)
					time.Sleep(at - time.Second)
					env.editRecord(func(r *record.Record) { r.Lock.ID, r.Lock.Holder = "another", "bob@desk" })
					env.forbidChanges()
					takenAt := time.Now()
					err := <-done
					if err == nil || !strings.Contains(err.Error(), "another run took the rollout lock") ||
						time.Since(takenAt) > 31*time.Second {
						t.Errorf("%v after %s", err, time.Since(takenAt))
					}
					if r := env.record(); r.Lock == nil || r.Lock.Holder != "bob@desk" {
						t.Errorf("it released the lock of another run: %+v", r.Lock)
					}
				})
			}
		})
	}
}

// A lock that seems to have expired, because the clock of its holder is behind, is not taken while its holder renews
// it. It is taken after the last renewal.
func TestClocksDiffer(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.expectNoRefresh()
		env.deployFirst()
		behind := 10 * time.Minute // clock of the holder
		renew := func() {
			env.editRecord(func(r *record.Record) {
				r.Lock = &record.Lock{ID: "another", Holder: "bob@desk", Why: "pulumi up",
					Until: time.Now().Add(2*time.Minute - behind).UTC()}
			})
		}
		renew()
		go func() {
			for range 4 {
				time.Sleep(30 * time.Second)
				renew()
			}
		}()
		for range 3 {
			_, err := env.up(1)
			if held := (*rollout.HeldError)(nil); !errors.As(err, &held) || held.Lock.Holder != "bob@desk" {
				t.Errorf("a lock that is renewed was taken: %v", err)
			}
		}
		time.Sleep(time.Minute) // after the last renewal
		env.deploy(1)
	})
}

func TestTwoControllers(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		done := env.upAsync(2)
		time.Sleep(5 * time.Minute) // longer than a lock that is not renewed
		_, err := env.up(3, func(o *rollout.Options) { o.By = "bob@desk" })
		var held *rollout.HeldError
		if !errors.As(err, &held) || held.Lock.Holder != "ann@laptop" ||
			held.Lock.Why != "release "+release(2)[:12]+", pulumi up" {
			t.Errorf("%v", err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		env.wantRunning(2)
		env.wantEntry(2, record.Successful, "")
	})
}

// A run without a network stops once its lock has expired. The next run completes the rollout.
func TestLockExpiresWithoutNetwork(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		done := env.upAsync(2)
		time.Sleep(time.Minute)
		begun := time.Now()
		env.setHook(func(string, int) (error, error) { return outage(begun, 3*time.Minute) })
		if err := <-done; err == nil || !errors.Is(err, errNetwork) {
			t.Error(err)
		}
		env.setHook(nil)
		time.Sleep(3 * time.Minute)
		env.deploy(2)
	})
}

// A network outage of a minute is tolerated.
func TestShortNetworkOutage(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		done := env.upAsync(2)
		time.Sleep(time.Minute)
		begun := time.Now()
		env.setHook(func(string, int) (error, error) { return outage(begun, time.Minute) })
		if err := <-done; err != nil {
			t.Error(err)
		}
		env.wantRunning(2)
	})
}
