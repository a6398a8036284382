package main

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

func TestWhole(t *testing.T) {
	template := func(version string) *types.LaunchTemplateSpecification {
		return &types.LaunchTemplateSpecification{Version: &version}
	}
	instance := func(change func(*types.Instance)) types.Instance {
		i := types.Instance{InstanceId: aws.String("i-1"), LifecycleState: types.LifecycleStateInService,
			HealthStatus: aws.String("Healthy"), LaunchTemplate: template("2")}
		if change != nil {
			change(&i)
		}
		return i
	}
	good := instance(nil)
	for _, c := range []struct {
		instances []types.Instance
		want      string
	}{
		{[]types.Instance{good, good}, ""},
		{[]types.Instance{good}, "1 instances, want 2"},
		{[]types.Instance{good, good, good}, "3 instances, want 2"},
		{[]types.Instance{good, instance(func(i *types.Instance) { i.LaunchTemplate = template("1") })}, "version 1 is InS"},
		{[]types.Instance{good, instance(func(i *types.Instance) { i.LaunchTemplate = nil })}, "version  is InS"},
		{[]types.Instance{good, instance(func(i *types.Instance) { i.HealthStatus = aws.String("Unhealthy") })}, "Unhealthy"},
		{[]types.Instance{good, instance(func(i *types.Instance) { i.LifecycleState = types.LifecycleStatePending })},
			"is Pending"},
	} {
		got := whole(types.AutoScalingGroup{DesiredCapacity: aws.Int32(2), LaunchTemplate: template("2"),
			Instances: c.instances})
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
