package main

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cw "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"imagery/infra/testing/asgsim"
)

const policyARN = "arn:aws:autoscaling:us-east-1:123456789012:scalingPolicy:1f2e:autoScalingGroupName/" + role +
	":policyName/p"

// trackedBy returns a policy of the group.
func trackedBy(t types.TargetTrackingConfiguration) *autoscaling.PutScalingPolicyInput {
	return &autoscaling.PutScalingPolicyInput{AutoScalingGroupName: aws.String(role), PolicyName: aws.String("p"),
		TargetTrackingConfiguration: &t}
}

// backlog is the metric of infra/compute.
var backlog = types.TargetTrackingConfiguration{TargetValue: aws.Float64(50),
	CustomizedMetricSpecification: &types.CustomizedMetricSpecification{Metrics: []types.TargetTrackingMetricDataQuery{
		{Id: aws.String("visible"), ReturnData: aws.Bool(false), MetricStat: &types.TargetTrackingMetricStat{
			Stat: aws.String("Maximum"), Metric: &types.Metric{Namespace: aws.String("AWS/SQS"),
				MetricName: aws.String("ApproximateNumberOfMessagesVisible"),
				Dimensions: []types.MetricDimension{{Name: aws.String("QueueName"), Value: aws.String("q")}}}}},
		{Id: aws.String("instances"), ReturnData: aws.Bool(false), MetricStat: &types.TargetTrackingMetricStat{
			Stat: aws.String("Average"), Metric: &types.Metric{Namespace: aws.String("AWS/AutoScaling"),
				MetricName: aws.String("GroupInServiceInstances"),
				Dimensions: []types.MetricDimension{{Name: aws.String("AutoScalingGroupName"), Value: aws.String(role)}}}}},
		{Id: aws.String("backlog"), Expression: aws.String("IF(instances > 0, visible / instances, visible)")}}}}

// TestTrackingAlarms: a policy has two alarms on its metric, whose action it is.
func TestTrackingAlarms(t *testing.T) {
	requests := types.TargetTrackingConfiguration{TargetValue: aws.Float64(600),
		PredefinedMetricSpecification: &types.PredefinedMetricSpecification{
			PredefinedMetricType: types.MetricTypeALBRequestCountPerTarget,
			ResourceLabel:        aws.String("app/b/1/targetgroup/t/2")}}
	for _, c := range []struct {
		of      types.TargetTrackingConfiguration
		target  float64
		metrics int
	}{{requests, 600, 0}, {backlog, 50, 3}} {
		alarms, err := trackingAlarms(trackedBy(c.of), policyARN)
		if err != nil || len(alarms) != 2 {
			t.Fatalf("%d alarms, %v", len(alarms), err)
		}
		high, low := alarms[0], alarms[1]
		if *high.AlarmName != "TargetTracking-"+role+"-AlarmHigh-1f2e" || *high.Threshold != c.target ||
			high.ComparisonOperator != cw.ComparisonOperatorGreaterThanThreshold || *high.EvaluationPeriods != 3 ||
			high.AlarmActions[0] != policyARN || len(high.Metrics) != c.metrics {
			t.Errorf("%+v", high)
		}
		if *low.AlarmName != "TargetTracking-"+role+"-AlarmLow-1f2e" || *low.Threshold != 0.9*c.target ||
			low.ComparisonOperator != cw.ComparisonOperatorLessThanThreshold || *low.EvaluationPeriods != 15 {
			t.Errorf("%+v", low)
		}
		if c.metrics == 0 && (*high.Dimensions[0].Value != "app/b/1" || *high.Dimensions[1].Value != "targetgroup/t/2") {
			t.Errorf("%+v", high.Dimensions)
		}
	}
	requests.DisableScaleIn = aws.Bool(true)
	if alarms, err := trackingAlarms(trackedBy(requests), policyARN); err != nil || len(alarms) != 1 {
		t.Errorf("without scale-in: %d alarms, %v", len(alarms), err)
	}
	requests.PredefinedMetricSpecification.PredefinedMetricType = types.MetricTypeASGAverageCPUUtilization
	for _, in := range []types.TargetTrackingConfiguration{requests, {TargetValue: aws.Float64(1)}} {
		if alarms, err := trackingAlarms(trackedBy(in), policyARN); err == nil {
			t.Errorf("%+v has alarms %+v", in, alarms)
		}
	}
}

// TestScaling: a backlog grows the group after three minutes of the rehearsal, up to its maximum.
func TestScaling(t *testing.T) {
	f, _, _ := rehearsal(t)
	most := 3
	if err := f.sim.Update(role, asgsim.Change{Max: &most}); err != nil {
		t.Fatal(err)
	}
	f.policies[policyARN] = tracking{role, "p", 50, nil}
	stored := f.remember()
	alarms, err := trackingAlarms(trackedBy(backlog), policyARN)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range alarms {
		stored.Put(described(a))
	}
	end := time.Now().Truncate(minute)
	desired := func(backlog float64) int {
		t.Helper()
		end = end.Add(minute)
		f.put(end.Add(-time.Second), "AWS/SQS", "ApproximateNumberOfMessagesVisible", backlog, "QueueName", "q")
		f.put(end.Add(-time.Second), "AWS/AutoScaling", "GroupInServiceInstances", 1, "AutoScalingGroupName", role)
		if err := f.alarms.Evaluate(t.Context(), end); err != nil {
			t.Fatal(err)
		}
		g, _, err := f.sim.Snapshot(role)
		if err != nil {
			t.Fatal(err)
		}
		return g.Desired
	}
	for n, want := range []int{1, 1, 2, 2} { // two periods more than the alarm's are retrieved, but three must be there
		if got := desired(80); got != want {
			t.Errorf("minute %d: %d are desired, want %d", n, got, want)
		}
	}
	if got := desired(8000); got != most {
		t.Errorf("%d are desired, want %d", got, most)
	}
	if err := f.scale("arn:other", cw.MetricAlarm{}, 1); err == nil {
		t.Errorf("a policy that does not exist: %v", err)
	}
}

// described returns an alarm as it is described.
func described(in *cloudwatch.PutMetricAlarmInput) cw.MetricAlarm {
	return cw.MetricAlarm{AlarmName: in.AlarmName, Metrics: in.Metrics, Threshold: in.Threshold,
		ComparisonOperator: in.ComparisonOperator, EvaluationPeriods: in.EvaluationPeriods, AlarmActions: in.AlarmActions,
		ActionsEnabled: aws.Bool(true), StateValue: cw.StateValueInsufficientData, AlarmArn: aws.String("")}
}
