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
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"imagery/app/deploy/settings"
)

// question is something that only an AWS account can answer.
type question struct {
	text   string
	answer func(ctx context.Context, t *test) (string, error)
}

// questions are asked at the end of a run on AWS, before the stack is removed.
var questions = []question{
	{"Is the log agent in the image's repositories, reachable as the stack is built?", agentShips},
	{"Do the documented permissions suffice for StartInstanceRefresh?", refreshes},
	{"How many instances does a group of two have during a refresh?", mostInstances},
	{"Does CloudWatch extract the metrics of log lines that the agent ships?", metricsArrive},
	{"Is an abandoned launch Cancelled in the activities, and when does the next one begin?", abandoned},
	{"Does a refresh that bakes roll back when an alarm goes off?", alarmsRollBack},
	{"May the load balancer deliver access logs in this region?", unanswered("accessLogs is off in this run")},
	{"Are the prices of the estimate right?", unanswered("compare the bill of the day with the cost above")},
	{"Does a preview without an account work with this plugin?", unanswered("a run always has an account or a rehearsal")},
}

func unanswered(why string) func(context.Context, *test) (string, error) {
	return func(context.Context, *test) (string, error) { return "not answered: " + why, nil }
}

// answers asks all questions. An error is an answer, too.
func (t *test) answers(ctx context.Context) (all [][2]string) {
	for _, q := range questions {
		answer := "only on AWS"
		if t.side.account {
			var err error
			if answer, err = q.answer(ctx, t); err != nil {
				answer = "not answered: " + err.Error()
			}
		}
		all = append(all, [2]string{q.text, answer})
	}
	return all
}

func agentShips(ctx context.Context, t *test) (string, error) {
	group := "/" + settings.Project + "/" + settings.ShortStack(t.stack)
	out, err := cloudwatchlogs.NewFromConfig(t.aws).DescribeLogGroups(ctx,
		&cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: &group})
	if err != nil {
		return "", err
	}
	var bytes int64
	for _, g := range out.LogGroups {
		bytes += aws.ToInt64(g.StoredBytes)
	}
	return fmt.Sprintf("%d log groups hold %d bytes (CloudWatch counts them late)", len(out.LogGroups), bytes), nil
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
	by := map[types.InstanceRefreshStatus]int{}
	for _, r := range all {
		by[r.Status]++
	}
	return fmt.Sprintf("the caller of this run started %d refreshes: %v", len(all), by), nil
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
	p := autoscaling.NewDescribeScalingActivitiesPaginator(autoscaling.NewFromConfig(t.aws),
		&autoscaling.DescribeScalingActivitiesInput{AutoScalingGroupName: &group})
	for p.HasMorePages() {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Activities...)
	}
	slices.SortFunc(all, func(a, b types.Activity) int { return aws.ToTime(a.StartTime).Compare(aws.ToTime(b.StartTime)) })
	return all, nil
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
		&cloudwatch.ListMetricsInput{MetricName: aws.String(settings.MetricRequests)})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("CloudWatch has %d metrics %s", len(out.Metrics), settings.MetricRequests), nil
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
