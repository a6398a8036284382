package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"imagery/app/deploy/settings"
)

// question is something that only an AWS account can answer.
type question struct {
	text   string
	answer func(ctx context.Context, t *test) (string, error)
}

// questions are asked at the end of a run of all scenes on AWS, before the stack is removed or kept.
var questions = []question{
	{"Is the log agent in the image's repositories, reachable as the stack is built?", agentShips},
	{"Do the documented permissions suffice for StartInstanceRefresh?", refreshes},
	{"How many instances does a group of two have during a refresh?", mostInstances},
	{"Does CloudWatch extract the metrics of log lines that the agent ships?", metricsArrive},
	{"Is an abandoned launch Cancelled in the activities, and when does the next one begin?", abandoned},
	{"Is an instance that powers off during its launch hook replaced at once?", poweredOff},
	{"Does a refresh that bakes roll back when an alarm goes off?", alarmsRollBack},
	{"May the load balancer deliver access logs in this region?", unanswered("accessLogs is off in this run")},
	{"Are the prices of the estimate right?", unanswered("compare the bill of the day with the cost above")},
	{"Does a preview without an account work with this plugin?", unanswered("a run always has an account or a rehearsal")},
}

func unanswered(why string) func(context.Context, *test) (string, error) {
	return func(context.Context, *test) (string, error) { return "not answered: " + why, nil }
}

// answer asks all questions. An error is an answer, too.
func (t *test) answer(ctx context.Context) {
	for _, q := range questions {
		answer := "only on AWS"
		if t.side.account {
			var err error
			if answer, err = q.answer(ctx, t); err != nil {
				answer = "not answered: " + strings.Join(strings.Fields(err.Error()), " ")
			}
		}
		t.answered = append(t.answered, [2]string{q.text, answer})
	}
}

func agentShips(ctx context.Context, t *test) (string, error) {
	api := cloudwatchlogs.NewFromConfig(t.aws)
	group := "/" + settings.Project + "/" + settings.ShortStack(t.stack) + "/"
	out, err := api.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: &group})
	if err != nil {
		return "", err
	}
	n := 0 // not StoredBytes, which AWS counts late
	for _, g := range out.LogGroups {
		streams, err := pages(ctx, cloudwatchlogs.NewDescribeLogStreamsPaginator(api,
			&cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: g.LogGroupName}),
			func(o *cloudwatchlogs.DescribeLogStreamsOutput) []string {
				return each(o.LogStreams, func(e logtypes.LogStream) *string { return e.LogStreamName })
			})
		if err != nil {
			return "", err
		}
		n += len(streams)
	}
	return fmt.Sprintf("agents have made %d log streams in %d log groups", n, len(out.LogGroups)), nil
}

// refreshesOf returns the newest instance refreshes of both groups.
func (t *test) refreshesOf(ctx context.Context) (all []types.InstanceRefresh, err error) {
	for _, name := range t.groups() {
		out, err := autoscaling.NewFromConfig(t.aws).DescribeInstanceRefreshes(ctx,
			&autoscaling.DescribeInstanceRefreshesInput{AutoScalingGroupName: &name})
		if err != nil {
			return nil, err
		}
		all = append(all, out.InstanceRefreshes...)
	}
	return all, nil
}

func refreshes(ctx context.Context, t *test) (string, error) {
	all, err := t.refreshesOf(ctx)
	if err != nil {
		return "", err
	}
	caller, err := sts.NewFromConfig(t.aws).GetCallerIdentity(ctx, nil)
	if err != nil {
		return "", err
	}
	arn := strings.Split(aws.ToString(caller.Arn), ":")
	by := map[types.InstanceRefreshStatus]int{}
	for _, r := range all {
		by[r.Status]++
	}
	return fmt.Sprintf("%s started %d refreshes: %v", arn[len(arn)-1], len(all), by), nil
}

func alarmsRollBack(ctx context.Context, t *test) (string, error) {
	all, err := t.refreshesOf(ctx)
	if err != nil {
		return "", err
	}
	for _, r := range all {
		if r.RollbackDetails != nil {
			return fmt.Sprintf("%s: %s", r.Status, aws.ToString(r.RollbackDetails.RollbackReason)), nil
		}
	}
	return "", errors.New("no refresh of this run was rolled back by AWS")
}

// activities returns the scaling activities of a group, the oldest first.
func (t *test) activities(ctx context.Context, group string) (all []types.Activity, err error) {
	all, err = pages(ctx, autoscaling.NewDescribeScalingActivitiesPaginator(autoscaling.NewFromConfig(t.aws),
		&autoscaling.DescribeScalingActivitiesInput{AutoScalingGroupName: &group}),
		func(o *autoscaling.DescribeScalingActivitiesOutput) []types.Activity { return o.Activities })
	slices.SortFunc(all, func(a, b types.Activity) int { return aws.ToTime(a.StartTime).Compare(aws.ToTime(b.StartTime)) })
	return all, err
}

func mostInstances(ctx context.Context, t *test) (string, error) {
	all, err := t.activities(ctx, t.current.ServerGroup)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("the servers had at most %d instances", overlapping(all)), nil
}

func abandoned(ctx context.Context, t *test) (string, error) {
	all, err := t.activities(ctx, t.current.WorkerGroup)
	if err != nil {
		return "", err
	}
	for i, a := range all {
		if a.StatusCode == types.ScalingActivityStatusCodeCancelled && i+1 < len(all) {
			return fmt.Sprintf("it is Cancelled, and the next activity began %s after its end",
				aws.ToTime(all[i+1].StartTime).Sub(aws.ToTime(a.EndTime)).Round(time.Second)), nil
		}
	}
	return "", errors.New("no launch of the workers was cancelled")
}

func metricsArrive(ctx context.Context, t *test) (string, error) {
	out, err := cloudwatch.NewFromConfig(t.aws).ListMetrics(ctx,
		&cloudwatch.ListMetricsInput{Namespace: aws.String(settings.MetricNamespace),
			MetricName: aws.String(settings.MetricRequests), Dimensions: []cwtypes.DimensionFilter{{
				Name: aws.String(settings.DimensionStack), Value: aws.String(settings.ShortStack(t.stack))}}})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("CloudWatch has %d metrics %s", len(out.Metrics), settings.MetricRequests), nil
}

// poweredOff has a worker replaced, stops the new one while it boots, and waits for the next one.
func poweredOff(ctx context.Context, t *test) (string, error) {
	of, name := &T{test: t, scene: "powered off"}, t.current.WorkerGroup
	g, err := of.awaitFull(ctx, name)
	if err != nil {
		return "", err
	}
	known := each(g.Instances, func(i types.Instance) *string { return i.InstanceId })
	if _, err := autoscaling.NewFromConfig(t.aws).TerminateInstanceInAutoScalingGroup(ctx,
		&autoscaling.TerminateInstanceInAutoScalingGroupInput{InstanceId: &inService(g)[0],
			ShouldDecrementDesiredCapacity: aws.Bool(false)}); err != nil {
		return "", err
	}
	fresh := ""
	next := func(ctx context.Context) (bool, error) {
		g, err := t.group(ctx, name)
		for _, i := range g.Instances {
			if i.LifecycleState == types.LifecycleStatePendingWait && !slices.Contains(known, aws.ToString(i.InstanceId)) {
				fresh = aws.ToString(i.InstanceId)
				known = append(known, fresh)
				return true, err
			}
		}
		return false, err
	}
	if err := of.until(ctx, "a worker boots", 10*time.Minute, next); err != nil {
		return "", err
	}
	off, begun := fresh, time.Now()
	_, err = ec2.NewFromConfig(t.aws).StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{off}})
	if err != nil {
		return "", err
	}
	if err := of.until(ctx, "another worker boots", 20*time.Minute, next); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s was stopped in Pending:Wait, and the next one booted %.0f s later", off,
		time.Since(begun).Seconds()), nil
}

// overlapping returns the largest number of instances that a group had at a time, by its activities: from the beginning
// of a launch to the end of a termination.
func overlapping(all []types.Activity) int {
	type event struct {
		at time.Time
		n  int
	}
	var events []event
	for _, a := range all {
		switch description := aws.ToString(a.Description); {
		case a.StatusCode != types.ScalingActivityStatusCodeSuccessful:
		case strings.HasPrefix(description, "Launching"):
			events = append(events, event{aws.ToTime(a.StartTime), 1})
		case strings.HasPrefix(description, "Terminating"):
			events = append(events, event{aws.ToTime(a.EndTime), -1})
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return a.at.Compare(b.at) })
	now, most := 0, 0
	for _, e := range events {
		now += e.n
		most = max(most, now)
	}
	return most
}
