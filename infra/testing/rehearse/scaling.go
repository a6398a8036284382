package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cw "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// tracking is a target tracking policy.
type tracking struct {
	group, name string
	target      float64
	alarms      []string // names
}

// Alarms of a target tracking policy, as AWS creates them: the numbers of periods are not documented. "Scale in ...
// usually more than 10% lower than the target value."
const (
	periodsHigh, periodsLow = 3, 15
	lowOfTarget             = 0.9
)

// putScalingPolicy creates the alarms of a target tracking policy that moto has stored: "Amazon EC2 Auto Scaling
// creates and manages the CloudWatch alarms that trigger the scaling policy".
func (f *front) putScalingPolicy(ctx context.Context, in *autoscaling.PutScalingPolicyInput) error {
	out, err := autoscaling.NewFromConfig(f.moto.config).DescribePolicies(ctx, &autoscaling.DescribePoliciesInput{
		AutoScalingGroupName: in.AutoScalingGroupName, PolicyNames: []string{*in.PolicyName}})
	if err != nil {
		return fmt.Errorf("read scaling policy %s: %w", *in.PolicyName, err)
	}
	if len(out.ScalingPolicies) != 1 {
		return fmt.Errorf("group %s has %d scaling policies %s", *in.AutoScalingGroupName, len(out.ScalingPolicies),
			*in.PolicyName)
	}
	arn := aws.ToString(out.ScalingPolicies[0].PolicyARN)
	alarms, err := trackingAlarms(in, arn)
	if err != nil {
		return err
	}
	p := tracking{group: *in.AutoScalingGroupName, name: *in.PolicyName,
		target: *in.TargetTrackingConfiguration.TargetValue}
	c := cloudwatch.NewFromConfig(f.moto.config)
	for _, a := range alarms {
		p.alarms = append(p.alarms, *a.AlarmName)
		var stored error
		err := f.alarms.Put(ctx, *a.AlarmName, func() { _, stored = c.PutMetricAlarm(ctx, a) })
		if err := errors.Join(err, stored); err != nil {
			return fmt.Errorf("create alarm %s: %w", *a.AlarmName, err)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.policies[arn] = p
	return nil
}

// trackingAlarms returns the alarms of a target tracking policy.
func trackingAlarms(in *autoscaling.PutScalingPolicyInput, arn string) ([]*cloudwatch.PutMetricAlarmInput, error) {
	t := in.TargetTrackingConfiguration
	if t == nil || t.TargetValue == nil ||
		(t.PredefinedMetricSpecification == nil) == (t.CustomizedMetricSpecification == nil) {
		return nil, fmt.Errorf("scaling policy %s: the rehearsal implements target tracking of one metric only",
			*in.PolicyName)
	}
	high := &cloudwatch.PutMetricAlarmInput{AlarmActions: []string{arn},
		AlarmDescription: aws.String("DO NOT EDIT OR DELETE. For TargetTrackingScaling policy " + arn + ".")}
	if p := t.PredefinedMetricSpecification; p != nil {
		if p.PredefinedMetricType != types.MetricTypeALBRequestCountPerTarget {
			return nil, fmt.Errorf("scaling policy %s: the rehearsal does not implement %s", *in.PolicyName,
				p.PredefinedMetricType)
		}
		// "app/<load-balancer-name>/<load-balancer-id>/targetgroup/<target-group-name>/<target-group-id>"
		balancer, targets, _ := strings.Cut(aws.ToString(p.ResourceLabel), "/targetgroup/")
		high.Namespace, high.MetricName = aws.String("AWS/ApplicationELB"), aws.String("RequestCountPerTarget")
		high.Statistic, high.Period = cw.StatisticSum, aws.Int32(60)
		high.Dimensions = []cw.Dimension{{Name: aws.String("LoadBalancer"), Value: &balancer},
			{Name: aws.String("TargetGroup"), Value: aws.String("targetgroup/" + targets)}}
	} else if c := t.CustomizedMetricSpecification; len(c.Metrics) > 0 {
		for _, q := range c.Metrics {
			high.Metrics = append(high.Metrics, metricQuery(q))
		}
	} else {
		return nil, fmt.Errorf("scaling policy %s: the rehearsal implements customized metrics by metric math only",
			*in.PolicyName)
	}
	low := *high
	_, id, _ := strings.Cut(arn, ":scalingPolicy:")
	id, _, _ = strings.Cut(id, ":")
	name := "TargetTracking-" + *in.AutoScalingGroupName
	high.AlarmName, low.AlarmName = aws.String(name+"-AlarmHigh-"+id), aws.String(name+"-AlarmLow-"+id)
	high.ComparisonOperator, high.EvaluationPeriods = cw.ComparisonOperatorGreaterThanThreshold, aws.Int32(periodsHigh)
	low.ComparisonOperator, low.EvaluationPeriods = cw.ComparisonOperatorLessThanThreshold, aws.Int32(periodsLow)
	high.Threshold, low.Threshold = t.TargetValue, aws.Float64(*t.TargetValue*lowOfTarget)
	if aws.ToBool(t.DisableScaleIn) {
		return []*cloudwatch.PutMetricAlarmInput{high}, nil
	}
	return []*cloudwatch.PutMetricAlarmInput{high, &low}, nil
}

// metricQuery translates a query of a scaling policy. Its period is a minute: "Period: ... The default is 60 seconds".
func metricQuery(q types.TargetTrackingMetricDataQuery) cw.MetricDataQuery {
	out := cw.MetricDataQuery{Id: q.Id, Expression: q.Expression, Label: q.Label, ReturnData: q.ReturnData}
	if s := q.MetricStat; s != nil {
		m := &cw.Metric{Namespace: s.Metric.Namespace, MetricName: s.Metric.MetricName}
		for _, d := range s.Metric.Dimensions {
			m.Dimensions = append(m.Dimensions, cw.Dimension{Name: d.Name, Value: d.Value})
		}
		out.MetricStat = &cw.MetricStat{Metric: m, Stat: s.Stat, Period: aws.Int32(60)}
	}
	return out
}

// scale executes a scaling policy.
func (f *front) scale(arn string, a cw.MetricAlarm, value float64) error {
	f.mu.Lock()
	p, known := f.policies[arn]
	f.mu.Unlock()
	if !known {
		return fmt.Errorf("there is no scaling policy %s", arn)
	}
	return f.sim.Track(p.group, value, p.target, "alarm "+aws.ToString(a.AlarmName))
}

// deletePolicy deletes the alarms of a policy: "Deleting a target tracking scaling policy deletes the alarms".
func (f *front) deletePolicy(ctx context.Context, in *autoscaling.DeletePolicyInput) error {
	return f.forgetPolicies(ctx, func(arn string, p tracking) bool {
		return arn == *in.PolicyName || p.name == *in.PolicyName && p.group == aws.ToString(in.AutoScalingGroupName)
	})
}

func (f *front) forgetPolicies(ctx context.Context, which func(arn string, p tracking) bool) error {
	var alarms []string
	f.mu.Lock()
	for arn, p := range f.policies {
		if which(arn, p) {
			alarms = append(alarms, p.alarms...)
			delete(f.policies, arn)
		}
	}
	f.mu.Unlock()
	if len(alarms) == 0 {
		return nil
	}
	_, err := cloudwatch.NewFromConfig(f.moto.config).DeleteAlarms(ctx,
		&cloudwatch.DeleteAlarmsInput{AlarmNames: alarms})
	if err != nil {
		return fmt.Errorf("delete the alarms of a scaling policy: %w", err)
	}
	return nil
}
