package rollout_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"imagery/app/deploy/record"
	"imagery/app/deploy/rollout"
	"imagery/app/deploy/settings"
	"imagery/infra/testing/asgsim"
)

// Every row matches its own example before another row does, has a source, and tells the reader what to do.
func TestLaunchMessages(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range rollout.LaunchMessages() {
		instance := ""
		if strings.Contains(m.Example, "Termination Reason") || m.Cause == "release" {
			instance = "i-0123456789abcdef0"
		}
		if name, cause := rollout.Classify(instance, m.Example); name != m.Name || cause != m.Cause {
			t.Errorf("%s: its example is classified as %s, cause %s", m.Name, name, cause)
		}
		if !strings.HasPrefix(m.Source, "https://") || seen[m.Name] || (m.Advice == "") != (m.Cause == "release") {
			t.Errorf("%s: source %q, advice %q", m.Name, m.Source, m.Advice)
		}
		seen[m.Name] = true
	}
	for _, c := range []struct{ instance, message, cause string }{
		{"i-1", "", "release"},
		{"i-1", "something new", "release"},
		{"", "something new", "unknown"},
		{"", "RequestLimitExceeded - Request limit exceeded.", "transient"},
		{"", "Instance became unhealthy while waiting for instance to be in InService state.", "unknown"},
	} {
		if _, cause := rollout.Classify(c.instance, c.message); cause != c.cause {
			t.Errorf("%q of instance %q is classified as %s, want %s", c.message, c.instance, cause, c.cause)
		}
	}
}

// scene is one way in which launches fail.
type scene struct {
	rollout.LaunchMessage
	rollout bool          // of version 2, else a first deploy of version 1
	zones   string        // in which launches fail
	for_    time.Duration // how long they do; 0: for good
}

// fails returns the fates of a version whose launches fail as m says, in the zones and for the time of the scene.
func (s scene) fails(w *world, version string) func(asgsim.Machine) asgsim.Script {
	begun := time.Now()
	return func(m asgsim.Machine) asgsim.Script {
		f := w.fate(m)
		over := s.for_ > 0 && time.Since(begun) > s.for_
		if m.Version != version || over || !strings.Contains(s.zones, m.Zone) {
			return f
		}
		switch _, reason, died := strings.Cut(s.Example, "Termination Reason: "); {
		case died:
			f.Died = reason
		case s.Cause == "release":
			return dead()
		default:
			f.Refused = s.Example
		}
		return f
	}
}

// begin makes the world of a scene and returns the version that is deployed in it.
func (s scene) begin(w *world) int {
	if s.rollout {
		w.create()
		w.filled()
		w.guard.Arm()
		w.proven()
		w.mem.Script = s.fails(w, "2")
		return 2
	}
	w.mem.Script = s.fails(w, "1")
	w.create()
	return 1
}

// Each message of AWS, at a first deploy and in a rollout, in one zone and in both: only what the release did itself is
// held against it, the others end with advice, and the next run succeeds when the cause is gone.
func TestLaunchFailuresAreJudgedByTheirCause(t *testing.T) {
	for _, m := range rollout.LaunchMessages() {
		for _, rolls := range []bool{false, true} {
			what := map[bool]string{false: "first deploy", true: "rollout"}[rolls]
			t.Run(m.Name+"/"+what+"/both zones", func(t *testing.T) {
				t.Parallel()
				inEmptyWorld(t, func(w *world) { scene{m, rolls, "ab", 0}.endsWithout(w) })
			})
			if m.Cause == "release" {
				continue
			}
			t.Run(m.Name+"/"+what+"/one zone", func(t *testing.T) {
				t.Parallel()
				inEmptyWorld(t, func(w *world) { scene{m, rolls, "a", 0}.succeeds(w) })
			})
			t.Run(m.Name+"/"+what+"/for six minutes", func(t *testing.T) {
				t.Parallel()
				inEmptyWorld(t, func(w *world) { scene{m, rolls, "ab", 6 * time.Minute}.succeeds(w) })
			})
		}
	}
}

func (s scene) succeeds(w *world) {
	n := s.begin(w)
	if _, err := w.up(n); err != nil {
		w.t.Fatal(err)
	}
	w.all(n)
	w.wantEntry(n, record.Successful, "")
	failed := func(a asgsim.Activity) bool { return a.Status == types.ScalingActivityStatusCodeFailed }
	if !slices.ContainsFunc(w.sim.Activities("worker"), failed) ||
		!w.said("AWS could not launch an instance (cause: "+s.Cause) {
		w.t.Error("no launch failed, or it was not shown")
	}
}

func (s scene) endsWithout(w *world) {
	n := s.begin(w)
	_, err := w.up(n)
	switch {
	case s.Cause == "release" && s.rollout:
		judged(w.t, err, "was rolled back, both groups run", "new workers failed")
		w.wantEntry(n, record.RolledBack, "")
	case s.Cause == "release":
		judged(w.t, err, "does not work, and there is none to roll back to", "new workers failed")
		w.wantEntry(n, record.Failed, "")
	case s.rollout:
		e := judged(w.t, err, "rolled back without a verdict and may be rolled out again", strings.TrimSuffix(s.Example, "."))
		if !strings.Contains(e.Reason, s.Advice) {
			w.t.Errorf("%q does not say %q", e.Reason, s.Advice)
		}
		w.wantEntry(n, record.Inconclusive, "AWS has launched no new worker for 1")
	default:
		e := judged(w.t, err, "was not judged, and there is none to roll back to", strings.TrimSuffix(s.Example, "."))
		if !strings.Contains(e.Reason, s.Advice) {
			w.t.Errorf("%q does not say %q", e.Reason, s.Advice)
		}
		w.wantEntry(n, record.Inconclusive, "AWS has launched no new worker for 1")
	}
	if s.rollout {
		w.all(1)
	} else {
		s.isPaused(w)
	}
	if s.Cause == "release" && s.rollout {
		return // TestBadBinary shows that it is refused from now on
	}
	w.mem.Script = w.fate
	if _, err := w.up(n); err != nil {
		w.t.Fatalf("when the cause is gone: %v", err)
	}
	w.all(n)
	w.wantEntry(n, record.Successful, "")
}

// isPaused fails unless the group that was not filled launches no instance any more. The other one, which the failure
// did not concern or which filled meanwhile, is left alone.
func (s scene) isPaused(w *world) {
	time.Sleep(20 * time.Minute) // instances that are booting end
	for _, role := range []settings.Role{worker, server} {
		_, paused := w.sim.Suspended(string(role))["Launch"]
		if filled := w.serving(role, 1) == 2; filled == paused {
			w.t.Errorf("%s: filled %t, launches suspended %t", role, filled, paused)
		}
		if activities := w.sim.Activities(string(role)); paused && time.Since(activities[0].Start) < 15*time.Minute {
			w.t.Errorf("%s still launches: %+v", role, activities[0])
		}
	}
}

// A group that is blocked late, after an instance of the release failed, is not judged by the time that passed.
func TestBlockedLate(t *testing.T) {
	inEmptyWorld(t, func(w *world) {
		w.fates[key(worker, 1)] = func(n int) asgsim.Script {
			switch n {
			case 1:
				return good()
			case 2:
				return asgsim.Hangs() // until its hook times out, after 15 minutes
			default:
				return asgsim.Refused("Request limit exceeded.")
			}
		}
		w.create()
		_, err := w.up(1)
		judged(t, err, "was not judged", "AWS has launched no new worker for 15m")
		w.wantEntry(1, record.Inconclusive, "")
	})
}

// When AWS launches nothing at all any more, the way back is blocked as well, and that speaks of no release, either.
func TestWayBackIsBlocked(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		refused := false
		w.mem.Script = func(m asgsim.Machine) asgsim.Script {
			if refused && m.Group == "worker" {
				return asgsim.Refused("Request limit exceeded.")
			}
			refused = refused || m.Group == "worker" && m.Version == "2"
			return w.fate(m)
		}
		_, err := w.up(2)
		judged(t, err, "the rollback does not work", "AWS has launched no new worker for 15m")
		w.wantEntry(2, record.Inconclusive, "the rollback does not work")
		w.mem.Script = w.fate
		if _, err := w.up(2); err != nil {
			t.Fatal(err)
		}
		w.all(2)
	})
}

// Processes that a person or AWS suspended are named at once, and resumed by the command that the error names.
func TestSuspendedProcesses(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		const reason = "AWS suspended this group, which has been failing to launch instances for more than 24 hours"
		if err := w.sim.Suspend("server", reason, "Launch", "AZRebalance"); err != nil {
			t.Fatal(err)
		}
		_, err := w.up(2)
		refused(t, err, "processes of Auto Scaling group server are suspended: Launch ("+reason+")")
		refused(t, err, "imagery rollout resume")
		if !w.said("process AZRebalance is suspended") || strings.Contains(err.Error(), "AZRebalance") {
			t.Error("AZRebalance is not needed, and only told")
		}
		w.all(1)
		w.wantEntry(1, record.Successful, "")
		done, err := rollout.Resume(context.Background(), w.options())
		if err != nil || strings.Join(done, " ") != "server/AZRebalance server/Launch" {
			t.Fatal(done, err)
		}
		if _, err := w.up(2); err != nil {
			t.Fatal(err)
		}
		w.all(2)
	})
}

// What is suspended while a rollout is under way ends the run but not the rollout: the next one sees it through.
func TestSuspendedMeanwhile(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		go func() {
			time.Sleep(2 * time.Minute)
			if err := w.sim.Suspend("worker", ""); err != nil {
				t.Error(err)
			}
		}()
		_, err := w.up(2)
		refused(t, err, "stopped before the end")
		refused(t, err, "Launch (User suspended at ")
		if e := w.record().Entries[0]; e.Result != record.Running {
			t.Errorf("%+v", e)
		}
		if _, err := rollout.Resume(context.Background(), w.options()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.up(2); err != nil {
			t.Fatal(err)
		}
		w.all(2)
		w.wantEntry(2, record.Successful, "")
	})
}
