package rollout_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"imagery/app/deploy/record"
	"imagery/app/deploy/rollout"
	"imagery/app/deploy/settings"
	"imagery/app/testing/short"
	"imagery/infra/testing/asgsim"
)

// errDead is all that a killed process hears.
var errDead = errors.New("killed")

// last is a release that is good on all accounts.
const last = 5

// trouble is a world in which releases of any quality are rolled out, one after the other, while things happen.
type trouble struct {
	*world
	*rand.Rand
	running int // the release that runs, as the record and the controller say
	counts  map[string]int
}

// Whatever happens while releases go out, a run ends in one of three ways: both groups have the new release, or both
// have the one before, or it says that it left things as they are; and a good release still gets through afterwards.
// SEEDS says how many worlds are tried, SEED which one.
func TestAnythingAtAnyTime(t *testing.T) {
	short.Skip(t, "rollouts with random faults")
	first, seeds := 0, 30
	if n, err := strconv.Atoi(os.Getenv("SEEDS")); err == nil {
		seeds = n
	}
	if n, err := strconv.Atoi(os.Getenv("SEED")); err == nil {
		first, seeds = n, n+1
	}
	counts := map[string]int{}
	for seed := first; seed < seeds; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.nothing()
				w.proven()
				s := &trouble{world: w, Rand: rand.New(rand.NewPCG(uint64(seed), 1)), running: 1, counts: counts}
				for range 3 {
					s.deploy()
				}
				s.good()
			})
		})
		if t.Failed() {
			t.Fatalf("SEED=%d shows it again", seed)
		}
	}
	t.Logf("%v", counts)
	for _, what := range []string{"through", "rolled back", "left", "refused"} {
		if first == 0 && counts[what] == 0 {
			t.Errorf("no run was %s", what)
		}
	}
}

// fateOf draws what becomes of a version's instances.
func (s *trouble) fateOf(alarm string) func(int) asgsim.Script {
	bad := dead()
	switch s.IntN(8) {
	case 0:
		return always(bad)
	case 1:
		return func(n int) asgsim.Script { // the n-th
			if n == 1+s.running%3 {
				return bad
			}
			return good()
		}
	case 2:
		return always(asgsim.Script{Console: "boot: waits for ever\n"})
	case 3:
		f := good()
		f.SickAfter = time.Duration(1+s.IntN(6)) * time.Minute
		return always(f)
	case 4:
		f := good()
		f.Alarm, f.AlarmAfter = alarm, time.Duration(s.IntN(6))*time.Minute
		return always(f)
	default:
		return always(good())
	}
}

// deploy rolls out a random release while something happens, and looks at how that ended.
func (s *trouble) deploy() {
	n := 2 + s.IntN(3)
	s.mu.Lock()
	for role, alarm := range map[settings.Role]string{worker: "worker-failures", server: "server-errors"} {
		if k := key(role, n); n != s.running {
			s.fates[k] = nil
			if n == 2+s.IntN(3) { // mostly as it is
				s.fates[k] = s.fateOf(alarm)
			}
		}
	}
	s.mu.Unlock()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	s.log(fmt.Sprintf("=== release %d over %d", n, s.running))
	var over []func()
	for range 2 {
		what, done := s.event(stop, n), make(chan struct{})
		at := time.AfterFunc(time.Duration(s.IntN(15*60))*time.Second, func() {
			defer close(done)
			s.log("=== " + what.name)
			what.do()
		})
		over = append(over, func() {
			if !at.Stop() {
				<-done // an abort may have the lock now
			}
		})
	}
	var smoked []string
	smoke := error(nil)
	if s.IntN(6) == 0 {
		smoke = errSmoke
	}
	_, err := s.upWith(ctx, n, func(o *rollout.Options) {
		o.Smoke, o.Force = s.smoke(&smoked, time.Minute, smoke), s.IntN(2) == 0
	})
	for _, o := range over {
		o()
	}
	stop()
	s.setHook(nil)
	s.verdict(n, err)
	time.Sleep(time.Duration(s.IntN(20)) * time.Minute)
	s.sim.Green("server-errors", "worker-failures")
}

// only fails unless both groups have a version, and no instance of another. Some releases fall ill after they were
// found good, so that nobody promises how many serve.
func (s *trouble) only(version int) {
	s.t.Helper()
	for _, role := range rollout.Order {
		g, instances := s.group(role)
		left := slices.DeleteFunc(instances, func(i asgsim.Instance) bool {
			return i.Version == fmt.Sprint(version) || strings.HasPrefix(string(i.State), "Terminat")
		})
		if g.Version != fmt.Sprint(version) || len(left) > 0 {
			s.t.Errorf("%s: version %s, want %d; there are %+v", role, g.Version, version, left)
		}
	}
}

type event struct {
	name string
	do   func()
}

// event draws what happens meanwhile; release n is on its way.
func (s *trouble) event(stop func(), n int) event {
	role := []string{"worker", "server"}[s.IntN(2)]
	percent, most, four := 100, 150, 3+s.IntN(2)
	switch s.IntN(10) {
	case 0:
		return event{"ctrl-C", stop}
	case 1:
		return event{"kill -9", func() {
			s.setHook(func(string, int) (error, error) { return errDead, nil })
			stop()
		}}
	case 2:
		return event{"an abort", func() {
			o := s.options()
			o.By = "bob@desk"
			_, err := rollout.Abort(context.Background(), o)
			s.log(fmt.Sprint("the abort says ", err))
		}}
	case 3:
		return event{"a second controller", func() {
			_, err := s.up(last, func(o *rollout.Options) { o.By = "bob@desk" })
			if held := (*rollout.HeldError)(nil); err == nil || !errors.As(err, &held) {
				s.t.Error("the second controller:", err)
			}
		}}
	case 4:
		return event{"a scale-out of " + role, func() {
			if err := s.sim.Update(role, asgsim.Change{Desired: &four}); err != nil {
				s.t.Error(err)
			}
		}}
	case 5:
		return event{"an alarm", func() { s.sim.Red(role + map[string]string{"worker": "-failures", "server": "-errors"}[role]) }}
	case 6:
		return event{"a rollback by hand of " + role, func() { _, err := s.sim.RollbackRefresh(role); s.log(fmt.Sprint("it says ", err)) }}
	case 7:
		return event{"a refresh by hand of " + role, func() {
			_, err := s.sim.StartRefresh(role, "lt-"+role, fmt.Sprint(n), asgsim.Preferences{MinHealthy: &percent, MaxHealthy: &most, SkipMatching: true})
			s.log(fmt.Sprint("it says ", err))
		}}
	case 8:
		return event{"a cancel by hand of " + role, func() {
			s.guard.Disarm() // the scale-in that follows takes who it likes
			_, err := s.sim.CancelRefresh(role, true)
			s.log(fmt.Sprint("it says ", err))
		}}
	}
	return event{"nothing", func() {}}
}

// verdict holds what a run said against what is there.
func (s *trouble) verdict(n int, err error) {
	s.t.Helper()
	var judged *rollout.Error
	var held *rollout.HeldError
	newest := s.record().Entries[0]
	s.log(fmt.Sprintf("=== release %d: %v", n, err))
	switch {
	case err == nil:
		s.counts["through"]++
		s.running = n
		s.only(n)
	case errors.As(err, &judged) && strings.Contains(judged.Outcome, "was rolled back"):
		s.counts["rolled back"]++
		s.only(s.running)
		if newest.Result != record.RolledBack && newest.Result != record.Superseded || newest.Release != release(n) {
			s.t.Errorf("the record says %+v", newest)
		}
	case errors.As(err, &judged):
		s.t.Errorf("a way back is there: %v", err)
	case strings.Contains(err.Error(), "stopped before the end") || strings.Contains(err.Error(), "killed") || errors.Is(err, context.Canceled):
		s.counts["left"]++
		// The lock ends, and who comes next sees to it.
		time.Sleep(2*time.Minute + time.Second)
		s.settle()
	case errors.As(err, &held) && held.Lock.Why == "abort": // that was quicker
		s.counts["refused"]++
	default:
		s.counts["refused"]++
		if r := s.record(); r.Current() == nil {
			s.only(s.running)
		}
	}
}

// recover puts the world in order by an abort, which goes back if there is anything to go back from. Mostly it does
// nothing, and the next release has to.
func (s *trouble) settle() {
	s.t.Helper()
	e := s.record().Entries[0]
	if e.Result == record.Successful { // killed after it had said so
		s.running = int(e.Release[1] - '0')
	}
	if s.IntN(3) > 0 {
		return
	}
	s.log("=== an abort puts it in order")
	o := s.options()
	if _, err := rollout.Abort(context.Background(), o); err != nil && !errors.Is(err, rollout.ErrNothing) {
		s.t.Error("abort:", err)
	}
	s.only(s.running)
}

// good is the end of all trouble.
func (s *trouble) good() {
	s.t.Helper()
	s.sim.Green("server-errors", "worker-failures")
	s.log("=== the good one")
	if _, err := s.up(last); err != nil {
		s.t.Error("the good release:", err)
	}
	s.all(last)
	s.wantEntry(last, record.Successful, "")
}
