package rollout_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/smithy-go"

	"imagery/app/deploy/record"
	"imagery/app/deploy/rollout"
	"imagery/infra/testing/asgsim"
)

const (
	noVCPU = "You have requested more vCPU capacity than your current vCPU limit of 16 allows for the instance bucket " +
		"that the specified instance type belongs to. Launching EC2 instance failed."
	noCapacity = "We currently do not have sufficient t4g.small capacity in the Availability Zone you requested (a)."
)

// A refresh without a controller, because the update only started it or was killed, may end in AWS's own time limit.
// What stopped it decides then, too.
func TestUnwatchedRefreshIsJudgedByItsCause(t *testing.T) {
	start := func(o *rollout.Options) { o.Start = true }
	for name, c := range map[string]struct {
		message string
		begin   func(w *world)
	}{
		"started only": {noVCPU, func(w *world) {
			if out, err := w.up(2, start); err != nil || out != rollout.Started {
				w.t.Error(out, err)
			}
		}},
		"killed": {noCapacity, func(w *world) {
			ctx, cancel := context.WithCancel(context.Background())
			go func() { time.Sleep(3 * time.Minute); cancel() }()
			_, err := w.upWith(ctx, 2)
			refused(w.t, err, "interrupted")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.proven()
				w.fates[key(worker, 2)] = always(asgsim.Refused(c.message))
				c.begin(w)
				time.Sleep(3 * time.Hour)
				_, err := w.up(2)
				judged(t, err, "rolled back without a verdict and may be rolled out again", strings.TrimSuffix(c.message, "."))
				w.wantEntry(2, record.Inconclusive, "")
				delete(w.fates, key(worker, 2))
				if _, err := w.up(2); err != nil {
					t.Fatal(err)
				}
				w.all(2)
			})
		})
	}
}

// What a group wants beyond its minimum, when all its instances are new, is scaling's and not the rollout's.
func TestScaleOutThatIsRefused(t *testing.T) {
	for _, role := range rollout.Order {
		t.Run(string(role), func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.proven()
				n := 0
				w.mem.Script = func(m asgsim.Machine) asgsim.Script {
					f := w.fate(m)
					f.Boot = 150 * time.Second
					if m.Group == string(role) && m.Version == "2" {
						if n++; n > 2 {
							return asgsim.Refused(noVCPU)
						}
					}
					return f
				}
				go func() {
					for !w.said(string(role) + " to version 2: Baking") {
						time.Sleep(time.Second)
					}
					four := 4
					if err := w.sim.Update(string(role), asgsim.Change{Desired: &four}); err != nil {
						t.Error(err)
					}
				}()
				if _, err := w.up(2, func(o *rollout.Options) { o.Bake = 20 * time.Minute }); err != nil {
					t.Fatal(err)
				}
				w.wantEntry(2, record.Successful, "")
			})
		})
	}
}

// An instance that boots when the time for launches is over is waited for.
func TestQuotaIsRaisedInTime(t *testing.T) {
	inEmptyWorld(t, func(w *world) {
		begun := time.Now()
		w.fates[key(worker, 1)] = func(int) asgsim.Script {
			f := good()
			if f.Boot = 4 * time.Minute; time.Since(begun) < 7*time.Minute {
				f.Refused = noVCPU
			}
			return f
		}
		w.create()
		if _, err := w.up(1); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took < 10*time.Minute {
			t.Errorf("it took only %s", took)
		}
		w.wantEntry(1, record.Successful, "")
	})
}

// failedFirst makes a first deploy of version 1 fail, after which launches of the workers are suspended.
func failedFirst(w *world) {
	w.t.Helper()
	w.fates[key(worker, 1)] = always(dead())
	w.create()
	_, err := w.up(1)
	judged(w.t, err, "does not work", "")
	if _, suspended := w.sim.Suspended("worker")["Launch"]; !suspended {
		w.t.Fatal("the workers are not suspended")
	}
}

// An update that is refused leaves what is suspended alone, and one that goes on launches no instance of the version
// that failed.
func TestPausedGroupResumesForARolloutOnly(t *testing.T) {
	inEmptyWorld(t, func(w *world) {
		failedFirst(w)
		_, err := w.up(7)
		refused(t, err, "has no version 7")
		launches := w.started[key(worker, 1)]
		time.Sleep(2 * time.Hour)
		if _, suspended := w.sim.Suspended("worker")["Launch"]; !suspended || w.started[key(worker, 1)] != launches {
			t.Errorf("suspended %t, %d more launches", suspended, w.started[key(worker, 1)]-launches)
		}
		if _, err := w.up(2); err != nil {
			t.Fatal(err)
		}
		w.all(2)
		if n := w.started[key(worker, 1)] - launches; n > 0 || len(w.record().Paused) > 0 {
			t.Errorf("%d launches of the version that failed, paused: %v", n, w.record().Paused)
		}
	})
}

// A first deploy that was only started is judged by the next update, when it had the time to serve.
func TestStartedFirstDeployIsJudgedOnce(t *testing.T) {
	inEmptyWorld(t, func(w *world) {
		start := func(o *rollout.Options) { o.Start = true }
		w.fates[key(worker, 1)] = always(dead())
		w.create()
		if out, err := w.up(1, start); err != nil || out != rollout.Started {
			t.Fatal(out, err)
		}
		time.Sleep(12 * time.Hour)
		_, err := w.up(1, start)
		judged(t, err, "does not work, and there is none to roll back to", "2 new workers failed")
		if _, suspended := w.sim.Suspended("worker")["Launch"]; !suspended {
			t.Error("the workers launch for ever")
		}
	})
}

// skewed shifts the times of scaling activities against the clock of this machine.
type skewed struct {
	rollout.GroupsClient
	by time.Duration
}

func (s skewed) DescribeScalingActivities(
	ctx context.Context, in *autoscaling.DescribeScalingActivitiesInput, o ...func(*autoscaling.Options),
) (*autoscaling.DescribeScalingActivitiesOutput, error) {
	out, err := s.GroupsClient.DescribeScalingActivities(ctx, in, o...)
	if err != nil {
		return nil, err
	}
	for i := range out.Activities {
		for _, at := range []**time.Time{&out.Activities[i].StartTime, &out.Activities[i].EndTime} {
			if *at != nil {
				shifted := (*at).Add(s.by)
				*at = &shifted
			}
		}
	}
	return out, nil
}

// A clock that is wrong by minutes does not charge a release with the failures of the one before, or hide its own.
func TestClockOfTheDeployerIsWrong(t *testing.T) {
	for _, by := range []time.Duration{-4 * time.Minute, 4 * time.Minute} {
		inEmptyWorld(t, func(w *world) {
			shift := func(o *rollout.Options) {
				o.Clients.Groups = skewed{o.Clients.Groups, by}
			}
			failedFirst(w)
			time.Sleep(time.Minute)
			if _, err := w.up(2, shift); err != nil {
				t.Errorf("%s: %v", by, err)
			}
			w.fates[key(worker, 3)] = always(dead())
			if _, err := w.up(3, shift); err == nil || !strings.Contains(err.Error(), "2 new workers failed") {
				t.Errorf("%s: %v", by, err)
			}
		})
	}
}

// A group whose launches cannot be suspended does not keep the other one from it, and the record names only what is
// suspended.
func TestPauseWithoutARight(t *testing.T) {
	inEmptyWorld(t, func(w *world) {
		w.fates[key(worker, 1)], w.fates[key(server, 1)] = always(dead()), always(dead())
		w.create()
		refusedOnce := false
		w.setHook(func(call string, _ int) (error, error) {
			if call == "SuspendProcesses" && !refusedOnce {
				refusedOnce = true
				return &smithy.GenericAPIError{Code: "AccessDenied", Message: "no"}, nil
			}
			return nil, nil
		})
		_, err := w.up(1)
		judged(t, err, "does not work", "")
		if !strings.Contains(err.Error(), "suspend the launches of group worker") {
			t.Error(err)
		}
		_, workers := w.sim.Suspended("worker")["Launch"]
		_, servers := w.sim.Suspended("server")["Launch"]
		if p := w.record().Paused; workers || !servers || len(p) != 1 || p[0] != "server" {
			t.Errorf("workers suspended %t, servers %t, recorded %v", workers, servers, p)
		}
	})
}

// A first deploy that another release began to replace, by a run that was killed, was not judged: it begins anew.
func TestSupersededFirstDeployBeginsAnew(t *testing.T) {
	inEmptyWorld(t, func(w *world) {
		w.create()
		ctx, cancel := context.WithCancel(context.Background())
		go func() { time.Sleep(5 * time.Second); cancel() }()
		_, err := w.upWith(ctx, 1)
		refused(t, err, "interrupted")
		w.setHook(func(string, int) (error, error) { // dead from then on
			rec := w.record()
			if e := rec.Current(); e != nil && e.Result == record.RollingBack {
				return errors.New("killed"), nil
			}
			return nil, nil
		})
		if _, err := w.up(2); err == nil {
			t.Fatal("it was not interrupted")
		}
		w.setHook(nil)
		e := w.record().Entries[0]
		if e.Release != release(1) || e.Result != record.RollingBack || e.FinalResult != record.Superseded {
			t.Fatalf("%+v", e)
		}
		time.Sleep(3 * time.Minute) // its lock ends
		if _, err := w.up(1); err != nil {
			t.Fatal(err)
		}
		w.all(1)
		w.wantEntry(1, record.Successful, "")
	})
}
