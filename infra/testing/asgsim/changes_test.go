package asgsim_test

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"imagery/infra/testing/asgsim"
)

// TestDeletedHooksCompleteTheirActions: "ABANDON for launching instances, CONTINUE for terminating instances".
func TestDeletedHooksCompleteTheirActions(t *testing.T) {
	hangs := func(asgsim.Machine) asgsim.Script { return asgsim.Script{} }
	inBubble(t, hangs, func(c *cloud) {
		c.until("two wait", func() bool { return len(c.in(types.LifecycleStatePendingWait)) == 2 })
		first := c.group().Instances
		if err := c.sim.DeleteHook(name, "launch"); err != nil {
			t.Fatal(err)
		}
		c.until("both are abandoned", func() bool { return len(c.in(types.LifecycleStatePendingWait)) == 0 })
		c.until("new ones enter service without the hook", func() bool { return len(c.serving()) == 2 })
		for _, i := range c.serving() {
			if *i.InstanceId == *first[0].InstanceId || *i.InstanceId == *first[1].InstanceId {
				t.Errorf("%s entered service, although its launch was to be abandoned", *i.InstanceId)
			}
		}
	})
	hangsAtTheEnd := func(m asgsim.Machine) asgsim.Script {
		s := good(m)
		s.Drain = -1
		return s
	}
	inBubble(t, hangsAtTheEnd, func(c *cloud) {
		c.filled()
		id := *c.serving()[0].InstanceId
		if err := c.sim.Terminate(id); err != nil {
			t.Fatal(err)
		}
		c.until("it waits", func() bool { return len(c.in(types.LifecycleStateTerminatingWait)) == 1 })
		if err := c.sim.DeleteHook(name, "terminate"); err != nil {
			t.Fatal(err)
		}
		if took := c.until("it is gone", func() bool { return !c.memory.Running(id) }); took > time.Minute {
			t.Errorf("gone after %s, as if the hook had timed out", took)
		}
	})
}

// TestSettingsOfAGroupChange: an update changes what it names.
func TestSettingsOfAGroupChange(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.filled()
		before, _, err := c.sim.Snapshot(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.as.UpdateAutoScalingGroup(context.Background(), &autoscaling.UpdateAutoScalingGroupInput{
			AutoScalingGroupName: aws.String(name), HealthCheckType: aws.String("EC2"), DefaultInstanceWarmup: aws.Int32(7),
			AvailabilityZones: []string{"a", "b", "c"}, MaxSize: aws.Int32(5),
			InstanceMaintenancePolicy: &types.InstanceMaintenancePolicy{MinHealthyPercentage: aws.Int32(50),
				MaxHealthyPercentage: aws.Int32(100)}}); err != nil {
			t.Fatal(err)
		}
		g, _, _ := c.sim.Snapshot(name)
		if g.ELB || g.Warmup != 7*time.Second || len(g.Zones) != 3 || g.Max != 5 || g.MinHealthy != 50 ||
			g.MaxHealthy != 100 || g.Grace != before.Grace || g.Min != before.Min || g.Version != before.Version {
			t.Errorf("%+v after %+v", g, before)
		}
		c.sim.SetDrainDelay(targets, 20*time.Second)
		id := *c.serving()[0].InstanceId
		if err := c.sim.Terminate(id); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		c.until("the target is drained", func() bool { return c.health()[id] != elb.TargetHealthStateEnumDraining })
		if took := time.Since(begun); took < 15*time.Second || took > 45*time.Second {
			t.Errorf("drained within %s, want 20 s", took)
		}
	})
}
