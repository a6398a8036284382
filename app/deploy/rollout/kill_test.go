package rollout_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"imagery/app/deploy/record"
	"imagery/app/deploy/rollout"
	"imagery/app/testing/short"
)

// upKilled rolls out release 2 in a run that is killed at its at-th call to AWS, before or after the call is made, or
// not at all if at is 0. It returns the calls. A killed process makes no further calls and does not release the lock.
func (env *testEnv) upKilled(at int, after bool, change func(*rollout.Options)) (calls []string) {
	ctx, kill := context.WithCancel(context.Background())
	defer kill()
	first := env.calls
	env.setHook(func(call string, n int) (error, error) {
		calls = append(calls, call)
		switch n -= first; {
		case at == 0 || n < at:
			return nil, nil
		case n == at && after:
			kill()
			return nil, errKilled
		}
		kill()
		return errKilled, nil
	})
	_, err := env.upContext(ctx, 2, change)
	env.setHook(nil)
	if at > 0 && err == nil && !env.logged("is not released") {
		env.t.Errorf("killed at call %d, it reports no error", at)
	}
	return calls
}

// Wherever a controller is killed, the next run ends with the new or the old release in both groups, and no healthy
// instance is terminated before its replacement serves. Without LONG=1 most reads and renewals of the lock are left
// out: a kill there leaves the same state as one at the change before.
func TestKilledAtEachCall(t *testing.T) {
	short.Skip(t, "a rollout that is killed at each of its AWS calls")
	t.Parallel()
	for _, c := range []struct {
		name  string
		next  int // release of the run after the kill
		want  int // release that runs in the end
		setUp func(env *testEnv, o *rollout.Options)
	}{
		{"good release", 2, 2, func(_ *testEnv, o *rollout.Options) {
			o.Smoke = smokeTest(new([]string), time.Minute, nil)
		}},
		{"servers fail", 2, 1, func(env *testEnv, _ *rollout.Options) {
			env.scripts[key(server, 2)] = always(failedBoot())
		}},
		{"smoke test fails", 2, 1, func(_ *testEnv, o *rollout.Options) {
			o.Smoke = smokeTest(new([]string), time.Minute, errSmoke)
		}},
		{"next run has another release", 3, 3, func(*testEnv, *rollout.Options) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var calls []string
			simulate(t, func(env *testEnv) {
				env.deployFirst()
				calls = env.upKilled(0, false, func(o *rollout.Options) { c.setUp(env, o) })
			})
			kills := 0
			for at := 1; at <= len(calls); at++ {
				for _, after := range []bool{false, true} {
					if !selected(calls, at, after) {
						continue
					}
					kills++
					when := map[bool]string{false: "before", true: "after"}[after]
					t.Run(fmt.Sprintf("%s call %d of %d, %s", when, at, len(calls), calls[at-1]), func(t *testing.T) {
						t.Parallel()
						simulate(t, func(env *testEnv) {
							env.killAndRunAgain(at, after, c.next, c.want, func(o *rollout.Options) { c.setUp(env, o) })
						})
					})
				}
			}
			t.Logf("%d calls, %d kills", len(calls), kills)
		})
	}
}

// selected reports whether the test kills a run at a call: before and after every change, before every read with
// LONG=1, and else before some of them. A read changes nothing, so that a kill after it is like a kill before it.
func selected(calls []string, at int, after bool) bool {
	call := calls[at-1]
	read := strings.HasPrefix(call, "Describe") || strings.HasPrefix(call, "/") ||
		slices.Contains([]string{"GetItem", "HeadObject", "renewal"}, call)
	switch {
	case !read:
		return true
	case after:
		return false
	}
	return os.Getenv("LONG") == "1" || at < 20 || at%40 == 0
}

func (env *testEnv) killAndRunAgain(at int, after bool, next, want int, change func(*rollout.Options)) {
	t := env.t
	env.expectNoRefresh() // if it is killed early
	env.deployFirst()
	env.upKilled(at, after, change)
	// The lock of the killed run, if it had it, has not expired yet.
	if r := env.record(); r.Lock != nil {
		_, err := env.up(next, change)
		if held := (*rollout.HeldError)(nil); !errors.As(err, &held) {
			t.Errorf("the killed run has the lock: %v", err)
		}
	}
	time.Sleep(2*time.Minute + time.Second)
	_, err := env.up(next, change)
	if (err == nil) != (want == next) {
		t.Errorf("the next run: %v", err)
	}
	env.wantRunning(want)
	r := env.record()
	if r.Current() != nil || r.Lock != nil {
		t.Errorf("left in the record: %+v", r)
	}
	newest := r.Entries[0].Result
	if want == next && newest != record.Successful || want == 1 && newest != record.RolledBack {
		t.Errorf("newest entry: %+v", r.Entries[0])
	}
	if slices.ContainsFunc(r.Entries, func(e record.Entry) bool { return e.Result.Open() }) {
		t.Errorf("an entry is open: %+v", r.Entries)
	}
}
