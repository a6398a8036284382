package rollout_test

import (
	"context"
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

// A refresh without a controller, because the run only started it or was killed, may end with AWS's own timeout. The
// cause of its failed launches decides then, too.
func TestUnwatchedRefreshIsJudgedByItsCause(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		message string
		begin   func(env *testEnv)
	}{
		"started only": {noVCPU, func(env *testEnv) {
			if out, err := env.up(2, startOnly); err != nil || out != rollout.Started {
				env.t.Error(out, err)
			}
		}},
		"killed": {noCapacity, func(env *testEnv) {
			ctx, cancel := context.WithCancel(context.Background())
			go func() { time.Sleep(3 * time.Minute); cancel() }()
			_, err := env.upContext(ctx, 2)
			wantRejected(env.t, err, "interrupted")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, func(env *testEnv) {
				env.deployFirst()
				env.scripts[key(worker, 2)] = always(asgsim.Script{Refused: c.message})
				c.begin(env)
				time.Sleep(3 * time.Hour)
				_, err := env.up(2)
				wantFailure(t, err, "rolled back without a verdict and may be rolled out again",
					strings.TrimSuffix(c.message, "."))
				env.wantEntry(2, record.Inconclusive, "")
				delete(env.scripts, key(worker, 2))
				env.deploy(2)
			})
		})
	}
}

// Launches beyond the minimum that AWS refuses do not fail a rollout whose instances are all new.
func TestBlockedScaleOutDoesNotFailTheRollout(t *testing.T) {
	t.Parallel()
	for _, role := range rollout.Order {
		t.Run(string(role), func(t *testing.T) {
			simulate(t, func(env *testEnv) {
				env.deployFirst()
				for _, r := range rollout.Order {
					env.scripts[key(r, 2)] = func(n int) asgsim.Script {
						s := healthy()
						if s.Boot = 150 * time.Second; r == role && n > 2 {
							s.Refused = noVCPU
						}
						return s
					}
				}
				go func() {
					for !env.logged(string(role) + " to version 2: Baking") {
						time.Sleep(time.Second)
					}
					four := 4
					if err := env.sim.Update(string(role), asgsim.Change{Desired: &four}); err != nil {
						t.Error(err)
					}
				}()
				if _, err := env.up(2, func(o *rollout.Options) { o.Bake = 20 * time.Minute }); err != nil {
					t.Fatal(err)
				}
				env.wantEntry(2, record.Successful, "")
			})
		})
	}
}

// A launch that is in progress when the timeout of its cause ends is waited for.
func TestQuotaIsRaisedInTime(t *testing.T) {
	t.Parallel()
	simulateEmpty(t, func(env *testEnv) {
		begun := time.Now()
		env.scripts[key(worker, 1)] = func(int) asgsim.Script {
			s := healthy()
			if s.Boot = 4 * time.Minute; time.Since(begun) < 7*time.Minute {
				s.Refused = noVCPU
			}
			return s
		}
		env.createGroups()
		env.deploy(1)
		if took := time.Since(begun); took < 10*time.Minute {
			t.Errorf("it took %s, want more than 10 minutes", took)
		}
	})
}

// failFirstDeploy deploys version 1, which fails, so that the launches of the workers are suspended.
func failFirstDeploy(env *testEnv) {
	env.t.Helper()
	env.scripts[key(worker, 1)] = always(failedBoot())
	env.createGroups()
	_, err := env.up(1)
	wantFailure(env.t, err, "does not work", "")
	if _, suspended := env.sim.Suspended("worker")["Launch"]; !suspended {
		env.t.Fatal("the launches of the workers are not suspended")
	}
}

// A run that is rejected leaves suspended launches suspended, and one that rolls out a release launches no instance of
// the version that failed.
func TestSuspendedLaunchesResumeForARolloutOnly(t *testing.T) {
	t.Parallel()
	simulateEmpty(t, func(env *testEnv) {
		failFirstDeploy(env)
		_, err := env.up(7)
		wantRejected(t, err, "has no version 7")
		launches := env.launched[key(worker, 1)]
		time.Sleep(2 * time.Hour)
		if _, suspended := env.sim.Suspended("worker")["Launch"]; !suspended || env.launched[key(worker, 1)] != launches {
			t.Errorf("launches suspended %t, and %d more launches", suspended, env.launched[key(worker, 1)]-launches)
		}
		env.deploy(2)
		paused := env.record().Paused
		if n := env.launched[key(worker, 1)] - launches; n > 0 || len(paused) > 0 {
			t.Errorf("%d more launches of the version that failed; still in the record as suspended: %v", n, paused)
		}
	})
}

// A first deploy that was only started is judged by the next run, since it has had the time to become healthy.
func TestStartedFirstDeployIsJudgedByTheNextRun(t *testing.T) {
	t.Parallel()
	simulateEmpty(t, func(env *testEnv) {
		env.scripts[key(worker, 1)] = always(failedBoot())
		env.createGroups()
		if out, err := env.up(1, startOnly); err != nil || out != rollout.Started {
			t.Fatal(out, err)
		}
		time.Sleep(12 * time.Hour)
		_, err := env.up(1, startOnly)
		wantFailure(t, err, "does not work, and there is none to roll back to", "2 new workers failed")
		if _, suspended := env.sim.Suspended("worker")["Launch"]; !suspended {
			t.Error("the launches of the workers are not suspended")
		}
	})
}

// skewedClock shifts the times of scaling activities, as if the clock of this machine were wrong.
type skewedClock struct {
	rollout.GroupsClient
	by time.Duration
}

func (s skewedClock) DescribeScalingActivities(
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

// Even if the clock of this machine is wrong by minutes, a release is judged by its own failed launches, and not by
// those of the release before.
func TestWrongClock(t *testing.T) {
	t.Parallel()
	for _, by := range []time.Duration{-4 * time.Minute, 4 * time.Minute} {
		simulateEmpty(t, func(env *testEnv) {
			shift := func(o *rollout.Options) {
				o.Clients.Groups = skewedClock{o.Clients.Groups, by}
			}
			failFirstDeploy(env)
			time.Sleep(time.Minute)
			if _, err := env.up(2, shift); err != nil {
				t.Errorf("%s: %v", by, err)
			}
			env.scripts[key(worker, 3)] = always(failedBoot())
			if _, err := env.up(3, shift); err == nil || !strings.Contains(err.Error(), "2 new workers failed") {
				t.Errorf("%s: %v", by, err)
			}
		})
	}
}

// If the launches of one group cannot be suspended, those of the other are suspended nevertheless, and the record names
// only the latter.
func TestSuspendLaunchesWithoutPermission(t *testing.T) {
	t.Parallel()
	simulateEmpty(t, func(env *testEnv) {
		env.scripts[key(worker, 1)], env.scripts[key(server, 1)] = always(failedBoot()), always(failedBoot())
		env.createGroups()
		denied := false
		env.setHook(func(call string, _ int) (error, error) {
			if call == "SuspendProcesses" && !denied {
				denied = true
				return &smithy.GenericAPIError{Code: "AccessDenied", Message: "no"}, nil
			}
			return nil, nil
		})
		_, err := env.up(1)
		wantFailure(t, err, "does not work", "")
		if !strings.Contains(err.Error(), "suspend the launches of group worker") {
			t.Error(err)
		}
		_, workers := env.sim.Suspended("worker")["Launch"]
		_, servers := env.sim.Suspended("server")["Launch"]
		if p := env.record().Paused; workers || !servers || len(p) != 1 || p[0] != "server" {
			t.Errorf("launches suspended: workers %t, servers %t, in the record %v", workers, servers, p)
		}
	})
}

// A first deploy was not judged if a run of another release that was to supersede it was killed: the next run starts it
// again.
func TestSupersededFirstDeployStartsAgain(t *testing.T) {
	t.Parallel()
	simulateEmpty(t, func(env *testEnv) {
		env.createGroups()
		ctx, cancel := context.WithCancel(context.Background())
		go func() { time.Sleep(5 * time.Second); cancel() }()
		_, err := env.upContext(ctx, 1)
		wantRejected(t, err, "interrupted")
		env.setHook(func(string, int) (error, error) { // killed once the record says that it rolls back
			rec := env.record()
			if e := rec.Current(); e != nil && e.Result == record.RollingBack {
				return errKilled, nil
			}
			return nil, nil
		})
		if _, err := env.up(2); err == nil {
			t.Fatal("it was not killed")
		}
		env.setHook(nil)
		e := env.record().Entries[0]
		if e.Release != release(1) || e.Result != record.RollingBack || e.FinalResult != record.Superseded {
			t.Fatalf("%+v", e)
		}
		time.Sleep(3 * time.Minute) // until its lock expires
		env.deploy(1)
	})
}
