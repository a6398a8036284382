package asgsim_test

import (
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

const guardAlarm = "imagery-test-server-5xx"

// safe returns preferences with which a refresh launches before it terminates.
func safe() *types.RefreshPreferences {
	return &types.RefreshPreferences{MinHealthyPercentage: aws.Int32(100), MaxHealthyPercentage: aws.Int32(150),
		SkipMatching: aws.Bool(true), AutoRollback: aws.Bool(true),
		BakeTime: aws.Int32(180), ScaleInProtectedInstances: types.ScaleInProtectedInstancesRefresh,
		StandbyInstances: types.StandbyInstancesIgnore}
}

func (c *cloud) tryStart(version string, p *types.RefreshPreferences) (string, error) {
	in := &autoscaling.StartInstanceRefreshInput{AutoScalingGroupName: aws.String(name), Preferences: p}
	if version != "" {
		in.DesiredConfiguration = &types.DesiredConfiguration{
			LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateId: aws.String("lt-1"), Version: &version}}
	}
	out, err := c.as.StartInstanceRefresh(context.Background(), in)
	if err != nil {
		return "", err
	}
	return *out.InstanceRefreshId, nil
}

func (c *cloud) start(version string, p *types.RefreshPreferences) string {
	c.t.Helper()
	id, err := c.tryStart(version, p)
	if err != nil {
		c.t.Fatal(err)
	}
	return id
}

// refresh returns the newest refresh.
func (c *cloud) refresh() types.InstanceRefresh {
	c.t.Helper()
	out, err := c.as.DescribeInstanceRefreshes(context.Background(),
		&autoscaling.DescribeInstanceRefreshesInput{AutoScalingGroupName: aws.String(name)})
	if err != nil || len(out.InstanceRefreshes) == 0 {
		c.t.Fatalf("%+v, %v", out, err)
	}
	return out.InstanceRefreshes[0]
}

// becomes waits until the refresh has a status, up to five hours, and returns how long that took.
func (c *cloud) becomes(want types.InstanceRefreshStatus) time.Duration {
	c.t.Helper()
	begun := time.Now()
	for {
		r := c.refresh()
		if r.Status == want {
			return time.Since(begun)
		}
		if r.EndTime != nil || time.Since(begun) > 5*time.Hour {
			c.t.Fatalf("the refresh is %s (%s) after %s, want %s", r.Status, aws.ToString(r.StatusReason), time.Since(begun),
				want)
		}
		time.Sleep(time.Second)
	}
}

// all waits until the group is at its desired size with instances of one version only, and checks that the group has
// this version.
func (c *cloud) all(version string) {
	c.t.Helper()
	c.until("only version "+version, func() bool {
		g := c.group()
		return len(g.Instances) == int(*g.DesiredCapacity) && !slices.ContainsFunc(g.Instances, func(i types.Instance) bool {
			return *i.LaunchTemplate.Version != version || i.LifecycleState != types.LifecycleStateInService
		})
	})
	if got := *c.group().LaunchTemplate.Version; got != version {
		c.t.Errorf("the group has version %s, want %s", got, version)
	}
}

func (c *cloud) back() error {
	_, err := c.as.RollbackInstanceRefresh(context.Background(),
		&autoscaling.RollbackInstanceRefreshInput{AutoScalingGroupName: aws.String(name)})
	return err
}

func (c *cloud) cancel() error {
	_, err := c.as.CancelInstanceRefresh(context.Background(),
		&autoscaling.CancelInstanceRefreshInput{AutoScalingGroupName: aws.String(name)})
	return err
}

// guarded fills the group and arms the guard. Call watched at the end.
func (c *cloud) guarded() {
	c.t.Helper()
	c.filled()
	time.Sleep(2 * time.Minute)
	c.guard.Arm()
}

// watched fails the test if the guard has checked nothing.
func (c *cloud) watched() {
	c.t.Helper()
	if c.guard.Checks() == 0 {
		c.t.Error("the guard has checked nothing")
	}
}
