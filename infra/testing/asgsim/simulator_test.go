package asgsim_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/smithy-go"

	"imagery/infra/testing/asgsim"
)

const (
	name    = "imagery-test-server"
	targets = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:targetgroup/x/1"
)

// inProcess carries requests of the SDK's clients to a handler without a network, which a bubble could not wait for.
type inProcess struct{ http.Handler }

func (h inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

type cloud struct {
	t      *testing.T
	sim    *asgsim.Simulator
	memory *asgsim.Memory
	as     *autoscaling.Client
	elb    *elasticloadbalancingv2.Client
	cfg    aws.Config
	guard  *asgsim.Guard
}

// inBubble runs a test in virtual time against a group of two, of four at most, as the infra's are.
func inBubble(t *testing.T, script func(asgsim.Machine) asgsim.Script, test func(*cloud)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := &asgsim.Memory{Script: script}
		guard := &asgsim.Guard{Broken: func(s string) { t.Error(s) }}
		m.Simulator = asgsim.New(asgsim.Options{Driver: m, Log: t.Logf, Observe: guard.Observe})
		defer m.Simulator.Close()
		cfg := aws.Config{Region: "eu-central-1", BaseEndpoint: aws.String("http://simulator"), Retryer: func() aws.Retryer { return aws.NopRetryer{} },
			Credentials: credentials.NewStaticCredentialsProvider("x", "y", ""), HTTPClient: &http.Client{Transport: inProcess{m.Simulator.Handler()}}}
		c := &cloud{t, m.Simulator, m, autoscaling.NewFromConfig(cfg), elasticloadbalancingv2.NewFromConfig(cfg), cfg, guard}
		m.Simulator.Create(asgsim.Group{
			Name: name, Min: 2, Max: 4, Template: "lt-1", Version: "1", Zones: []string{"a", "b"}, TargetGroup: targets, ELB: true,
			Grace: 90 * time.Second, DrainDelay: 90 * time.Second, MinHealthy: 100, MaxHealthy: 150,
			Hooks: []asgsim.Hook{{Name: "launch", Transition: asgsim.Launching, DefaultResult: asgsim.Abandon, Timeout: 900 * time.Second},
				{Name: "terminate", Transition: asgsim.Terminating, DefaultResult: asgsim.Continue, Timeout: 150 * time.Second}},
		})
		test(c)
	})
}

func good(asgsim.Machine) asgsim.Script {
	return asgsim.Script{Boot: 40 * time.Second, Answer: asgsim.Continue, Checks: 20 * time.Second, Drain: 10 * time.Second}
}

// byVersion gives machines of version 2 another script.
func byVersion(f asgsim.Script) func(asgsim.Machine) asgsim.Script {
	return func(m asgsim.Machine) asgsim.Script {
		if m.Version == "2" {
			return f
		}
		return good(m)
	}
}

func (c *cloud) group() types.AutoScalingGroup {
	c.t.Helper()
	out, err := c.as.DescribeAutoScalingGroups(context.Background(), &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{name}})
	if err != nil || len(out.AutoScalingGroups) != 1 {
		c.t.Fatalf("%+v, %v", out, err)
	}
	return out.AutoScalingGroups[0]
}

// in lists the instances in a state.
func (c *cloud) in(state types.LifecycleState) []types.Instance {
	return slices.DeleteFunc(c.group().Instances, func(i types.Instance) bool { return i.LifecycleState != state })
}

func (c *cloud) serving() []types.Instance { return c.in(types.LifecycleStateInService) }

func (c *cloud) health() map[string]elb.TargetHealthStateEnum {
	c.t.Helper()
	out, err := c.elb.DescribeTargetHealth(context.Background(), &elasticloadbalancingv2.DescribeTargetHealthInput{TargetGroupArn: aws.String(targets)})
	if err != nil {
		c.t.Fatal(err)
	}
	all := map[string]elb.TargetHealthStateEnum{}
	for _, d := range out.TargetHealthDescriptions {
		all[*d.Target.Id] = d.TargetHealth.State
	}
	return all
}

// until waits, in virtual time, and fails after an hour.
func (c *cloud) until(what string, ok func() bool) time.Duration {
	c.t.Helper()
	begun := time.Now()
	for !ok() {
		if time.Since(begun) > time.Hour {
			c.t.Fatalf("not within an hour: %s; %+v", what, c.group().Instances)
		}
		time.Sleep(time.Second)
	}
	return time.Since(begun)
}

func (c *cloud) filled() {
	c.t.Helper()
	c.until("two in service and healthy", func() bool {
		n := 0
		for _, h := range c.health() {
			if h == elb.TargetHealthStateEnumHealthy {
				n++
			}
		}
		return n == 2 && len(c.serving()) == 2
	})
}

func (c *cloud) update(in autoscaling.UpdateAutoScalingGroupInput) error {
	in.AutoScalingGroupName = aws.String(name)
	_, err := c.as.UpdateAutoScalingGroup(context.Background(), &in)
	return err
}

func (c *cloud) deploy(version string) {
	c.t.Helper()
	if err := c.update(autoscaling.UpdateAutoScalingGroupInput{LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateId: aws.String("lt-1"), Version: &version}}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cloud) desire(n int32) error {
	_, err := c.as.SetDesiredCapacity(context.Background(), &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: aws.String(name), DesiredCapacity: &n})
	return err
}

func (c *cloud) activities() []types.Activity {
	c.t.Helper()
	var all []types.Activity
	pages := autoscaling.NewDescribeScalingActivitiesPaginator(c.as, &autoscaling.DescribeScalingActivitiesInput{AutoScalingGroupName: aws.String(name), MaxRecords: aws.Int32(3)})
	for pages.HasMorePages() {
		p, err := pages.NextPage(context.Background())
		if err != nil {
			c.t.Fatal(err)
		}
		all = append(all, p.Activities...)
	}
	return all
}

func refused(t *testing.T, err error, code, says string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code || !strings.Contains(api.ErrorMessage(), says) {
		t.Errorf("%v, want %s: %s", err, code, says)
	}
}

func TestGroupFillsThroughItsHook(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.until("somebody waits at the hook", func() bool { return len(c.in(types.LifecycleStatePendingWait)) == 2 })
		if len(c.health()) != 0 {
			t.Error("a target is registered before its hook was passed")
		}
		c.filled()
		zones := map[string]int{}
		for _, i := range c.serving() {
			zones[*i.AvailabilityZone]++
			if *i.LaunchTemplate.Version != "1" || *i.HealthStatus != "Healthy" {
				t.Errorf("%+v", i)
			}
		}
		if zones["a"] != 1 || zones["b"] != 1 {
			t.Error("not balanced:", zones)
		}
		for _, a := range c.activities() {
			if a.StatusCode != types.ScalingActivityStatusCodeSuccessful || a.EndTime == nil {
				t.Errorf("%+v", a)
			}
		}
	})
}

// However a new release fails, those in service are not touched and the machine is not used.
func TestBadReleaseNeverServes(t *testing.T) {
	for what, c := range map[string]struct {
		script asgsim.Script
		status types.ScalingActivityStatusCode
	}{
		"gives up":    {asgsim.Script{Boot: 30 * time.Second, Answer: asgsim.Abandon}, types.ScalingActivityStatusCodeCancelled},
		"hangs":       {asgsim.Script{}, types.ScalingActivityStatusCodeCancelled},
		"not started": {asgsim.Script{Refused: "InsufficientInstanceCapacity"}, types.ScalingActivityStatusCodeFailed},
	} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, byVersion(c.script), func(w *cloud) {
				w.filled()
				old := w.health()
				w.deploy("2")
				if err := w.desire(3); err != nil {
					t.Fatal(err)
				}
				took := w.until("a launch ended badly", func() bool {
					return slices.ContainsFunc(w.activities(), func(a types.Activity) bool { return a.StatusCode == c.status })
				})
				if hang := what == "hangs"; hang != (took >= 900*time.Second) {
					t.Errorf("ended after %s", took)
				}
				if now := w.health(); fmt.Sprint(now) != fmt.Sprint(old) || len(w.serving()) != 2 {
					t.Errorf("targets were %v and are %v", old, now)
				}
			})
		})
	}
}

// Lost power is seen inside the grace period, a failed check after it, and a sick instance stays until another
// serves in its place.
func TestUnhealthyIsReplaced(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.filled()
		lost := *c.serving()[0].InstanceId
		c.memory.PowerOff(lost)
		c.until("one is gone", func() bool { return len(c.serving()) == 1 })
		c.filled()
		time.Sleep(2 * time.Minute)
		sick := *c.serving()[0].InstanceId
		c.memory.Sicken(sick)
		least := 2
		c.until("the sick one is gone", func() bool {
			least = min(least, len(c.serving()))
			return !slices.ContainsFunc(c.group().Instances, func(i types.Instance) bool { return *i.InstanceId == sick })
		})
		c.filled()
		if least < 2 {
			t.Error("it was taken before another served")
		}
	})
}

func TestGraceOfTheBalancersChecks(t *testing.T) {
	sick := good(asgsim.Machine{})
	sick.Sick = true
	inBubble(t, byVersion(sick), func(c *cloud) {
		c.filled()
		c.deploy("2")
		if err := c.desire(3); err != nil {
			t.Fatal(err)
		}
		c.until("three in service", func() bool { return len(c.serving()) == 3 })
		stays := c.until("the sick one unhealthy", func() bool {
			return slices.ContainsFunc(c.group().Instances, func(i types.Instance) bool { return *i.HealthStatus == "Unhealthy" })
		})
		if stays < 89*time.Second || stays > 95*time.Second {
			t.Errorf("believed to be sick after %s, want 90 s", stays)
		}
	})
}

// A terminated instance drains for the delay, then waits for its hook, then loses its power.
func TestTerminateDrainsFirst(t *testing.T) {
	for what, drain := range map[string]time.Duration{"completes its hook": 100 * time.Second, "never does": -1} {
		t.Run(what, func(t *testing.T) {
			script := func(m asgsim.Machine) asgsim.Script { f := good(m); f.Drain = drain; return f }
			inBubble(t, script, func(c *cloud) {
				c.filled()
				id := c.serving()[0].InstanceId
				if _, err := c.as.TerminateInstanceInAutoScalingGroup(context.Background(),
					&autoscaling.TerminateInstanceInAutoScalingGroupInput{InstanceId: id, ShouldDecrementDesiredCapacity: aws.Bool(false)}); err != nil {
					t.Fatal(err)
				}
				if got := c.health()[*id]; got != elb.TargetHealthStateEnumDraining {
					t.Error("target is", got)
				}
				if d := c.until("it waits", func() bool { return len(c.in(types.LifecycleStateTerminatingWait)) == 1 }); d < 90*time.Second || d > 95*time.Second {
					t.Errorf("drained for %s", d)
				}
				waited := c.until("it is off", func() bool { return !c.memory.Running(*id) })
				if want := map[bool]time.Duration{true: 150 * time.Second, false: 16 * time.Second}[drain < 0]; waited < want-10*time.Second || waited > want+5*time.Second {
					t.Errorf("its hook took %s", waited)
				}
				c.filled()
			})
		})
	}
}

func TestScaleInTakesTheOldestTemplate(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.filled()
		c.deploy("2")
		if err := c.desire(4); err != nil {
			t.Fatal(err)
		}
		c.until("four", func() bool { return len(c.serving()) == 4 })
		if err := c.desire(2); err != nil {
			t.Fatal(err)
		}
		c.until("two left", func() bool { return len(c.group().Instances) == 2 })
		for _, i := range c.serving() {
			if *i.LaunchTemplate.Version != "2" {
				t.Errorf("%s of version %s is left", *i.InstanceId, *i.LaunchTemplate.Version)
			}
		}
	})
}

func TestLifecycleActions(t *testing.T) {
	inBubble(t, byVersion(asgsim.Script{}), func(c *cloud) {
		c.filled()
		c.deploy("2")
		if err := c.desire(3); err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		complete := func(id string) error {
			_, err := c.as.CompleteLifecycleAction(ctx, &autoscaling.CompleteLifecycleActionInput{AutoScalingGroupName: aws.String(name),
				LifecycleHookName: aws.String("launch"), InstanceId: &id, LifecycleActionResult: aws.String("CONTINUE")})
			return err
		}
		c.until("the new one is pending", func() bool { return len(c.in(types.LifecycleStatePending)) == 1 })
		id := *c.in(types.LifecycleStatePending)[0].InstanceId
		refused(t, complete(id), "ValidationError", "No active Lifecycle Action found with instance ID "+id)
		c.until("it waits", func() bool { return len(c.in(types.LifecycleStatePendingWait)) == 1 })
		for range 3 { // each beat gives it the whole timeout again
			time.Sleep(800 * time.Second)
			if _, err := c.as.RecordLifecycleActionHeartbeat(ctx, &autoscaling.RecordLifecycleActionHeartbeatInput{AutoScalingGroupName: aws.String(name),
				LifecycleHookName: aws.String("launch"), InstanceId: &id}); err != nil {
				t.Fatal(err)
			}
		}
		if err := complete(id); err != nil {
			t.Fatal(err)
		}
		c.until("it serves", func() bool { return len(c.serving()) == 3 })
		if c.sim.TargetState(id) != types.LifecycleStateInService || c.sim.TargetState("i-unknown") != types.LifecycleStateTerminated {
			t.Error("the metadata say something else")
		}
	})
}

func TestSizesAndRefusals(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.filled()
		refused(t, c.desire(5), "ValidationError", "above max value 4")
		refused(t, c.desire(1), "ValidationError", "between the specified min size:2")
		if err := c.update(autoscaling.UpdateAutoScalingGroupInput{MinSize: aws.Int32(3)}); err != nil || *c.group().DesiredCapacity != 3 {
			t.Error("a larger minimum did not raise the desired capacity:", err)
		}
		_, err := c.as.TerminateInstanceInAutoScalingGroup(context.Background(), &autoscaling.TerminateInstanceInAutoScalingGroupInput{
			InstanceId: c.serving()[0].InstanceId, ShouldDecrementDesiredCapacity: aws.Bool(true)})
		refused(t, err, "ValidationError", "desiredSize equals minSize (3)")
		_, err = c.elb.DescribeTargetHealth(context.Background(), &elasticloadbalancingv2.DescribeTargetHealthInput{TargetGroupArn: aws.String("arn:other")})
		refused(t, err, "TargetGroupNotFound", "not found")
		hooks, err := c.as.DescribeLifecycleHooks(context.Background(), &autoscaling.DescribeLifecycleHooksInput{AutoScalingGroupName: aws.String(name)})
		if err != nil || len(hooks.LifecycleHooks) != 2 || *hooks.LifecycleHooks[0].HeartbeatTimeout != 900 || *hooks.LifecycleHooks[0].GlobalTimeout != 90000 {
			t.Error(hooks, err)
		}
	})
}
