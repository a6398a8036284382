package rollout_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"

	"imagery/app/deploy/record"
	"imagery/app/deploy/rollout"
	"imagery/app/deploy/settings"
	"imagery/app/testing/short"
	"imagery/infra/testing/asgsim"
)

// goodRelease has no failures.
const goodRelease = 5

// randomRun rolls out random releases, one after the other, during random events.
type randomRun struct {
	*testEnv
	*rand.Rand
	running int // the release that runs, according to the record and the errors of the runs
	count   func(result string)
}

// Whatever happens during a rollout, it ends in one of three ways: both groups have the new release, or both have the
// old one, or its error says that it stopped before the end. A good release can be rolled out afterwards. SEEDS sets
// the number of histories, SEED repeats one.
func TestRandomEvents(t *testing.T) {
	short.Skip(t, "rollouts with random faults")
	t.Parallel()
	first, seeds := 0, 30
	if n, err := strconv.Atoi(os.Getenv("SEEDS")); err == nil {
		seeds = n
	}
	if n, err := strconv.Atoi(os.Getenv("SEED")); err == nil {
		first, seeds = n, n+1
	}
	var mu sync.Mutex
	counts := map[string]int{}
	count := func(result string) {
		mu.Lock()
		defer mu.Unlock()
		counts[result]++
	}
	t.Cleanup(func() { // after all seeds
		t.Logf("%v", counts)
		for _, result := range []string{successful, rolledBack, interrupted, rejected} {
			if first == 0 && counts[result] == 0 {
				t.Errorf("no run was %s", result)
			}
		}
	})
	for seed := first; seed < seeds; seed++ {
		t.Run(fmt.Sprintf("SEED=%d", seed), func(t *testing.T) {
			t.Parallel()
			simulate(t, func(env *testEnv) {
				env.expectNoRefresh()
				env.deployFirst()
				s := &randomRun{testEnv: env, Rand: rand.New(rand.NewPCG(uint64(seed), 1)), running: 1, count: count}
				for range 3 {
					s.deploy()
				}
				s.deployGood()
			})
		})
	}
}

// Results of a run.
const (
	successful  = "successful"
	rolledBack  = "rolled back"
	interrupted = "interrupted"
	rejected    = "rejected"
)

// randomScript returns the script of a version's instances.
func (s *randomRun) randomScript(alarm string) func(int) asgsim.Script {
	script := healthy()
	switch s.IntN(8) {
	case 0:
		return always(failedBoot())
	case 1:
		return func(n int) asgsim.Script { // one launch fails
			if n == 1+s.running%3 {
				return failedBoot()
			}
			return healthy()
		}
	case 2:
		return always(asgsim.Script{Console: "boot: waits for ever\n"})
	case 3:
		script.UnhealthyAfter = time.Duration(1+s.IntN(6)) * time.Minute
		return always(script)
	case 4:
		script.Alarm, script.AlarmAfter = alarm, time.Duration(s.IntN(6))*time.Minute
		return always(script)
	default:
		return always(healthy())
	}
}

// deploy rolls out a random release during two random events, and checks the result.
func (s *randomRun) deploy() {
	n := 2 + s.IntN(3)
	s.mu.Lock()
	for role, alarm := range map[settings.Role]string{worker: "worker-failures", server: "server-errors"} {
		if k := key(role, n); n != s.running {
			s.scripts[k] = nil
			if n == 2+s.IntN(3) { // most releases are healthy
				s.scripts[k] = s.randomScript(alarm)
			}
		}
	}
	s.mu.Unlock()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	s.log(fmt.Sprintf("=== release %d over %d", n, s.running))
	var finish []func()
	for range 2 {
		e, done := s.event(stop, n), make(chan struct{})
		timer := time.AfterFunc(time.Duration(s.IntN(15*60))*time.Second, func() {
			defer close(done)
			s.log("=== " + e.name)
			e.do()
		})
		finish = append(finish, func() {
			if !timer.Stop() {
				<-done // an abort may still have the lock
			}
		})
	}
	var smoked []string
	smoke := error(nil)
	if s.IntN(6) == 0 {
		smoke = errSmoke
	}
	_, err := s.upContext(ctx, n, func(o *rollout.Options) {
		o.Smoke, o.Force = smokeTest(&smoked, time.Minute, smoke), s.IntN(2) == 0
	})
	for _, f := range finish {
		f()
	}
	stop()
	s.setHook(nil)
	s.check(n, err)
	time.Sleep(time.Duration(s.IntN(20)) * time.Minute)
	s.sim.SetAlarms("OK", "server-errors", "worker-failures")
}

type event struct {
	name string
	do   func()
}

// event returns a random event during the rollout of release n.
func (s *randomRun) event(stop func(), n int) event {
	role := []string{"worker", "server"}[s.IntN(2)]
	capacity := 3 + s.IntN(2)
	switch s.IntN(10) {
	case 0:
		return event{"ctrl-C", stop}
	case 1:
		return event{"kill -9", func() {
			s.setHook(func(string, int) (error, error) { return errKilled, nil })
			stop()
		}}
	case 2:
		return event{"an abort", func() {
			o := s.options()
			o.By = "bob@desk"
			_, err := rollout.Abort(context.Background(), o)
			s.log(fmt.Sprint("the abort returns ", err))
		}}
	case 3:
		return event{"a second controller", func() {
			_, err := s.up(goodRelease, func(o *rollout.Options) { o.By = "bob@desk" })
			if held := (*rollout.HeldError)(nil); err == nil || !errors.As(err, &held) {
				s.t.Error("the second controller:", err)
			}
		}}
	case 4:
		return event{"a scale-out of " + role, func() {
			if err := s.sim.Update(role, asgsim.Change{Desired: &capacity}); err != nil {
				s.t.Error(err)
			}
		}}
	case 5:
		alarm := map[string]string{"worker": "worker-failures", "server": "server-errors"}[role]
		return event{"an alarm", func() { s.sim.SetAlarms("ALARM", alarm) }}
	case 6:
		return event{"an operator rolls back the refresh of " + role, func() {
			_, err := s.sim.RollbackInstanceRefresh(
				&autoscaling.RollbackInstanceRefreshInput{AutoScalingGroupName: &role})
			s.log(fmt.Sprint("result: ", err))
		}}
	case 7:
		return event{"an operator starts a refresh of " + role, func() {
			err := s.tryRefresh(settings.Role(role), fmt.Sprint(n), false)
			s.log(fmt.Sprint("result: ", err))
		}}
	case 8:
		return event{"an operator cancels the refresh of " + role, func() {
			s.guard.Disarm() // the scale-in that follows may terminate any instance
			_, err := s.sim.CancelInstanceRefresh(&autoscaling.CancelInstanceRefreshInput{AutoScalingGroupName: &role})
			s.log(fmt.Sprint("result: ", err))
		}}
	}
	return event{"nothing", func() {}}
}

// check compares the error of a run with the record and the groups.
func (s *randomRun) check(n int, err error) {
	s.t.Helper()
	var failed *rollout.Error
	var held *rollout.HeldError
	newest := s.record().Entries[0]
	s.log(fmt.Sprintf("=== release %d: %v", n, err))
	switch {
	case err == nil:
		s.count(successful)
		s.running = n
		s.wantVersion(n)
	case errors.As(err, &failed) && strings.Contains(failed.Outcome, "was rolled back"):
		s.count(rolledBack)
		s.wantVersion(s.running)
		if newest.Result != record.RolledBack && newest.Result != record.Superseded || newest.Release != release(n) {
			s.t.Errorf("newest entry: %+v", newest)
		}
	case errors.As(err, &failed):
		s.t.Errorf("not rolled back although it was possible: %v", err)
	case strings.Contains(err.Error(), "stopped before the end") || strings.Contains(err.Error(), "killed") ||
		errors.Is(err, context.Canceled):
		s.count(interrupted)
		time.Sleep(2*time.Minute + time.Second) // until its lock expires
		s.recover()
	case errors.As(err, &held) && held.Lock.Why == "abort": // the abort took the lock first
		s.count(rejected)
	default:
		s.count(rejected)
		if r := s.record(); r.Current() == nil {
			s.wantVersion(s.running)
		}
	}
}

// recover aborts an interrupted rollout in one of three cases. In the others the next run has to recover.
func (s *randomRun) recover() {
	s.t.Helper()
	e := s.record().Entries[0]
	if e.Result == record.Successful { // killed after it had written the result
		s.running = int(e.Release[1] - '0')
	}
	if s.IntN(3) > 0 {
		return
	}
	s.log("=== abort of the interrupted rollout")
	o := s.options()
	if _, err := rollout.Abort(context.Background(), o); err != nil && !errors.Is(err, rollout.ErrNothing) {
		s.t.Error("abort:", err)
	}
	s.wantVersion(s.running)
}

// deployGood rolls out goodRelease, which must succeed.
func (s *randomRun) deployGood() {
	s.t.Helper()
	s.sim.SetAlarms("OK", "server-errors", "worker-failures")
	s.log("=== the good release")
	if _, err := s.up(goodRelease); err != nil {
		s.t.Error("the good release:", err)
	}
	s.wantRunning(goodRelease)
	s.wantEntry(goodRelease, record.Successful, "")
}
