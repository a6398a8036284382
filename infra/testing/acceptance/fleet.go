package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// group reads one of the stack's Auto Scaling groups.
func (t *test) group(ctx context.Context, name string) (types.AutoScalingGroup, error) {
	out, err := autoscaling.NewFromConfig(t.aws).DescribeAutoScalingGroups(ctx,
		&autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{name}})
	if err == nil && len(out.AutoScalingGroups) != 1 {
		err = errors.New("it does not exist")
	}
	if err != nil {
		return types.AutoScalingGroup{}, fmt.Errorf("describe group %s: %w", name, err)
	}
	return out.AutoScalingGroups[0], nil
}

// groups are the names of the stack's groups.
func (t *test) groups() []string { return []string{t.current.WorkerGroup, t.current.ServerGroup} }

// whole returns "" if a group has as many healthy instances in service as it wants, all of its own version of the
// launch template, and nothing else. Otherwise it says what it has.
func whole(g types.AutoScalingGroup) string {
	versionOf := func(t *types.LaunchTemplateSpecification) string {
		if t == nil {
			return "" // of a launch template that was deleted
		}
		return aws.ToString(t.Version)
	}
	var not []string
	for _, i := range g.Instances {
		version := versionOf(i.LaunchTemplate)
		if i.LifecycleState != types.LifecycleStateInService || aws.ToString(i.HealthStatus) != "Healthy" ||
			version != versionOf(g.LaunchTemplate) {
			not = append(not, fmt.Sprintf("%s of version %s is %s, %s", aws.ToString(i.InstanceId), version, i.LifecycleState,
				aws.ToString(i.HealthStatus)))
		}
	}
	if n := int(aws.ToInt32(g.DesiredCapacity)); len(g.Instances) != n {
		not = append(not, fmt.Sprintf("%d instances, want %d", len(g.Instances), n))
	}
	return strings.Join(not, "; ")
}

// versionRequests is the number of connections that ask for the release, so that every server is asked.
const versionRequests = 8

// settled waits until both groups are whole and every server runs a release.
func (t *T) settled(ctx context.Context, release string) error {
	return t.until(ctx, fmt.Sprintf("both groups are whole with release %.12s", release), 15*time.Minute,
		func(ctx context.Context) (bool, error) {
			for _, name := range t.groups() {
				g, err := t.group(ctx, name)
				if err != nil {
					return false, err
				}
				if not := whole(g); not != "" {
					return false, fmt.Errorf("group %s: %s", name, not)
				}
			}
			for range versionRequests {
				res, err := t.service.Expect(ctx, http.MethodGet, "/version", nil,
					func(r *http.Request) { r.Close = true }, http.StatusOK)
				if err != nil {
					return false, err
				}
				if got := strings.TrimSpace(string(res.Body)); got != release {
					return false, fmt.Errorf("a server runs release %.12s", got)
				}
			}
			return true, nil
		})
}

// instances returns the ids of the instances of both groups.
func (t *test) instances(ctx context.Context) (ids []string, err error) {
	for _, name := range t.groups() {
		g, err := t.group(ctx, name)
		if err != nil {
			return nil, err
		}
		for _, i := range g.Instances {
			ids = append(ids, aws.ToString(i.InstanceId))
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// calm waits until no alarm that guards a rollout is in ALARM: an up would refuse to begin.
func (t *T) calm(ctx context.Context) error {
	var names []string
	for _, role := range sorted(t.current.GuardAlarms) {
		names = append(names, t.current.GuardAlarms[role]...)
	}
	return t.until(ctx, "no guard alarm rings", 10*time.Minute, func(ctx context.Context) (bool, error) {
		out, err := cloudwatch.NewFromConfig(t.aws).DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: names})
		if err != nil {
			return false, fmt.Errorf("describe the guard alarms: %w", err)
		}
		for _, a := range out.MetricAlarms {
			if a.StateValue == cwtypes.StateValueAlarm {
				return false, fmt.Errorf("alarm %s: %s", aws.ToString(a.AlarmName), aws.ToString(a.StateReason))
			}
		}
		return true, nil
	})
}
