package asgsim_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"imagery/infra/testing/asgsim"
)

const (
	name    = "imagery-test-server"
	targets = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:targetgroup/x/1"
)

func TestGroupFillsThroughItsHook(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.until("two instances wait for the hook", func() bool { return len(c.in(types.LifecycleStatePendingWait)) == 2 })
		if len(c.health()) != 0 {
			t.Error("a target is registered before its hook is completed")
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

// A launch that fails leaves the instances in service alone, and its instance never enters service.
func TestFailedLaunchesNeverServe(t *testing.T) {
	for what, c := range map[string]struct {
		script asgsim.Script
		status types.ScalingActivityStatusCode
		says   string
	}{
		"gives up": {asgsim.Script{Boot: 30 * time.Second, Answer: asgsim.Abandon},
			types.ScalingActivityStatusCodeCancelled, "was abandoned: Lifecycle Action Completed with ABANDON Result"},
		"hangs": {asgsim.Script{}, types.ScalingActivityStatusCodeCancelled, "was abandoned: Heartbeat Timeout"},
		"not started": {asgsim.Script{Refused: "InsufficientInstanceCapacity"}, types.ScalingActivityStatusCodeFailed,
			"InsufficientInstanceCapacity"},
	} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, byVersion(c.script), func(w *cloud) {
				w.filled()
				old := w.health()
				w.deploy("2")
				w.desire(3)
				took := w.until("a launch failed", func() bool {
					return slices.ContainsFunc(w.activities(), func(a types.Activity) bool {
						return a.StatusCode == c.status && strings.Contains(aws.ToString(a.StatusMessage), c.says)
					})
				})
				if hang := what == "hangs"; hang != (took >= 900*time.Second) {
					t.Errorf("ended after %s", took)
				}
				if now := w.health(); fmt.Sprint(now) != fmt.Sprint(old) || len(w.serving()) != 2 {
					t.Errorf("targets before: %v, after: %v", old, now)
				}
			})
		})
	}
}

// A power-off is detected within the grace period, a failed target health check after it. An unhealthy instance stays
// until its replacement is in service.
func TestUnhealthyIsReplaced(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.filled()
		lost := *c.serving()[0].InstanceId
		c.memory.Stop(lost)
		c.until("one is terminated", func() bool { return len(c.serving()) == 1 })
		c.filled()
		time.Sleep(2 * time.Minute)
		sick := *c.serving()[0].InstanceId
		c.memory.FailHealthChecks(sick)
		least := 2
		c.until("the unhealthy one is terminated", func() bool {
			least = min(least, len(c.serving()))
			return !slices.ContainsFunc(c.group().Instances, func(i types.Instance) bool { return *i.InstanceId == sick })
		})
		c.filled()
		if least < 2 {
			t.Error("it was terminated before its replacement was in service")
		}
	})
}

func TestGracePeriodOfTargetHealthChecks(t *testing.T) {
	sick := good(asgsim.Machine{})
	sick.Unhealthy = true
	inBubble(t, byVersion(sick), func(c *cloud) {
		c.filled()
		c.deploy("2")
		c.desire(3)
		c.until("three in service", func() bool { return len(c.serving()) == 3 })
		stays := c.until("the new one is unhealthy", func() bool {
			return slices.ContainsFunc(c.group().Instances,
				func(i types.Instance) bool { return *i.HealthStatus == "Unhealthy" })
		})
		if stays < 89*time.Second || stays > 95*time.Second {
			t.Errorf("unhealthy after %s, want 90 s", stays)
		}
	})
}

// A terminated instance drains for the deregistration delay, then waits for its hook, then powers off.
func TestTerminateDrainsFirst(t *testing.T) {
	for what, drain := range map[string]time.Duration{"completes its hook": 100 * time.Second, "never does": -1} {
		t.Run(what, func(t *testing.T) {
			script := func(m asgsim.Machine) asgsim.Script { f := good(m); f.Drain = drain; return f }
			inBubble(t, script, func(c *cloud) {
				c.filled()
				id := c.serving()[0].InstanceId
				in := &autoscaling.TerminateInstanceInAutoScalingGroupInput{InstanceId: id,
					ShouldDecrementDesiredCapacity: aws.Bool(true)}
				_, err := c.as.TerminateInstanceInAutoScalingGroup(context.Background(), in)
				if n := len(c.serving()); err == nil || n != 2 {
					t.Errorf("%d are left after a call that asks for one less: %v", n, err)
				}
				in.ShouldDecrementDesiredCapacity = aws.Bool(false)
				if _, err := c.as.TerminateInstanceInAutoScalingGroup(context.Background(), in); err != nil {
					t.Fatal(err)
				}
				if got := c.health()[*id]; got != elb.TargetHealthStateEnumDraining {
					t.Error("target is", got)
				}
				if d := c.until("it waits",
					func() bool { return len(c.in(types.LifecycleStateTerminatingWait)) == 1 }); d < 90*time.Second ||
					d > 95*time.Second {
					t.Errorf("drained for %s", d)
				}
				waited := c.until("it is powered off", func() bool { return !c.memory.Running(*id) })
				if want := map[bool]time.Duration{true: 150 * time.Second,
					false: 16 * time.Second}[drain < 0]; waited < want-10*time.Second || waited > want+5*time.Second {
					t.Errorf("its hook took %s", waited)
				}
				c.filled()
			})
		})
	}
}

func TestScaleInTerminatesTheOldestTemplateFirst(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.filled()
		c.deploy("2")
		c.desire(4)
		c.until("four", func() bool { return len(c.serving()) == 4 })
		c.desire(2)
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
		c.desire(3)
		ctx := context.Background()
		complete := func(id string) error {
			_, err := c.as.CompleteLifecycleAction(ctx,
				&autoscaling.CompleteLifecycleActionInput{AutoScalingGroupName: aws.String(name),
					LifecycleHookName: aws.String("launch"), InstanceId: &id, LifecycleActionResult: aws.String("CONTINUE")})
			return err
		}
		c.until("the new one is pending", func() bool { return len(c.in(types.LifecycleStatePending)) == 1 })
		id := *c.in(types.LifecycleStatePending)[0].InstanceId
		refused(t, complete(id), "ValidationError", "No active Lifecycle Action found with instance ID "+id)
		c.until("it waits", func() bool { return len(c.in(types.LifecycleStatePendingWait)) == 1 })
		if err := complete(id); err != nil {
			t.Fatal(err)
		}
		c.until("it is in service", func() bool { return len(c.serving()) == 3 })
		if c.sim.TargetState(id) != types.LifecycleStateInService ||
			c.sim.TargetState("i-unknown") != types.LifecycleStateTerminated {
			t.Error("wrong target lifecycle state")
		}
	})
}

func TestSizesAndErrors(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.filled()
		refused(t, c.update(autoscaling.UpdateAutoScalingGroupInput{DesiredCapacity: aws.Int32(5)}), "ValidationError",
			"Desired capacity:5 must be between the specified min size:2 and max size:4")
		refused(t, c.update(autoscaling.UpdateAutoScalingGroupInput{DesiredCapacity: aws.Int32(1)}), "ValidationError",
			"between the specified min size:2")
		if err := c.update(autoscaling.UpdateAutoScalingGroupInput{MinSize: aws.Int32(3)}); err != nil ||
			*c.group().DesiredCapacity != 3 {
			t.Error("a larger minimum did not raise the desired capacity:", err)
		}
		err := c.update(autoscaling.UpdateAutoScalingGroupInput{MinSize: aws.Int32(1), MaxSize: aws.Int32(2)})
		if err != nil || *c.group().DesiredCapacity != 2 {
			t.Error("a smaller maximum did not lower the desired capacity:", err)
		}
		_, err = c.elb.DescribeTargetHealth(context.Background(),
			&elasticloadbalancingv2.DescribeTargetHealthInput{TargetGroupArn: aws.String("arn:other")})
		refused(t, err, "TargetGroupNotFound", "not found")
		_, err = c.as.SetDesiredCapacity(context.Background(),
			&autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: aws.String(name), DesiredCapacity: aws.Int32(3)})
		refused(t, err, "InvalidAction", "the simulator does not implement SetDesiredCapacity")
	})
}
