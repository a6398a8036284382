package asgsim_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"imagery/infra/testing/asgsim"
)

// A rollback to a version that does not boot any more fails after an hour.
func TestRollbackThatFails(t *testing.T) {
	broken := false
	script := func(m asgsim.Machine) asgsim.Script {
		if broken && m.Version == "1" {
			return failsBoot()
		}
		return good(m)
	}
	inBubble(t, script, func(c *cloud) {
		c.guarded()
		c.start("2", safe())
		c.until("half is new", func() bool { return *c.refresh().PercentageComplete == 50 })
		broken = true
		if err := c.back(); err != nil {
			t.Fatal(err)
		}
		if d := c.becomes(types.InstanceRefreshStatusRollbackFailed); d < time.Hour || d > 2*time.Hour {
			t.Errorf("failed after %s", d)
		}
		if len(c.serving()) < 2 {
			t.Error("fewer instances in service than before")
		}
	})
}

// A rollback replaces only instances that its own refresh has launched.
func TestRollbackKeepsInstancesThatMatchedBefore(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.guarded()
		c.start("2", safe())
		c.until("half is new", func() bool { return *c.refresh().PercentageComplete == 50 })
		if err := c.cancel(); err != nil {
			t.Fatal(err)
		}
		c.becomes(types.InstanceRefreshStatusCancelled)
		c.start("2", safe())
		c.becomes(types.InstanceRefreshStatusBaking)
		if err := c.back(); err != nil {
			t.Fatal(err)
		}
		c.becomes(types.InstanceRefreshStatusRollbackSuccessful)
		versions := map[string]int{}
		for _, i := range c.serving() {
			versions[*i.LaunchTemplate.Version]++
		}
		if versions["1"] != 1 || versions["2"] != 1 {
			t.Error("want one instance of each version:", versions)
		}
	})
}

func TestRefreshHistory(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.filled()
		var ids []string
		for range 5 {
			ids = slices.Insert(ids, 0, c.start("1", safe()))
			c.becomes(types.InstanceRefreshStatusSuccessful)
		}
		out, err := c.as.DescribeInstanceRefreshes(context.Background(),
			&autoscaling.DescribeInstanceRefreshesInput{AutoScalingGroupName: aws.String(name)})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range out.InstanceRefreshes {
			got = append(got, *r.InstanceRefreshId)
		}
		if !slices.Equal(got, ids) {
			t.Errorf("%v, want %v", got, ids)
		}
		_, err = c.as.DescribeInstanceRefreshes(context.Background(),
			&autoscaling.DescribeInstanceRefreshesInput{AutoScalingGroupName: aws.String("none")})
		refused(t, err, "ValidationError", "not found")
	})
}

// A group whose instances are all unhealthy is replaced, too, one after the other.
func TestAllUnhealthy(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.filled()
		time.Sleep(2 * time.Minute)
		for _, i := range c.serving() {
			c.memory.FailHealthChecks(*i.InstanceId)
		}
		time.Sleep(5 * time.Second)
		c.filled()
		for _, i := range c.serving() {
			if *i.HealthStatus != "Healthy" {
				t.Error("unhealthy:", *i.InstanceId)
			}
		}
	})
}

// An outdated instance that is unhealthy counts as still to be replaced.
func TestRefreshWaitsForUnhealthyInstances(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.filled()
		c.start("2", safe())
		c.until("half is new", func() bool { return *c.refresh().PercentageComplete == 50 })
		if err := c.cancel(); err != nil {
			t.Fatal(err)
		}
		c.becomes(types.InstanceRefreshStatusCancelled)
		isNew := func(i types.Instance) bool { return *i.LaunchTemplate.Version == "2" }
		c.memory.FailHealthChecks(*c.serving()[slices.IndexFunc(c.serving(), isNew)].InstanceId)
		time.Sleep(3 * time.Second)
		c.start("1", safe())
		c.becomes(types.InstanceRefreshStatusSuccessful)
		if slices.ContainsFunc(c.serving(), isNew) {
			t.Errorf("the refresh ended with %+v", c.serving())
		}
	})
}
