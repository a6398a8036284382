package main

import (
	"cmp"
	"context"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	deploy "imagery/app/deploy/settings"
	"imagery/infra/testing/cloudwatch"
	"imagery/infra/testing/nspawn"
)

// minute is the minute of the rehearsal.
const minute = time.Minute / factor

// put adds a value of a metric, with dimensions as pairs.
func (f *front) put(at time.Time, namespace, name string, value float64, dimensions ...string) {
	d := map[string]string{}
	for n := 0; n < len(dimensions); n += 2 {
		d[dimensions[n]] = dimensions[n+1]
	}
	f.metrics.Put(cloudwatch.Datum{
		Metric: cloudwatch.Metric{Namespace: namespace, Name: name, Dimensions: d}, At: at, Value: value})
}

// lastPart returns what an ARN names in its account.
func lastPart(arn string) string { return arn[strings.LastIndex(arn, ":")+1:] }

// realTime reports whether services write a metric once a minute of real time. Alarms on it compare the number of lines
// with that of minutes.
func realTime(m cloudwatch.Metric) bool {
	return m.Namespace == deploy.MetricNamespace &&
		(m.Name == deploy.MetricHeartbeat || m.Name == deploy.MetricOldestUnfinished)
}

// logged adds the metrics of a line of a service's log.
func (f *front) logged(line []byte) { f.metrics.Put(cloudwatch.Embedded(line)...) }

// sample adds the metrics that AWS samples or counts each minute.
func (f *front) sample(end time.Time) {
	at := end.Add(-time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), minute)
	defer cancel()
	f.sampleQueues(ctx, at)
	f.sampleGroups(at)
	if err := f.sampleBalancer(at); err != nil {
		logf("%v", err)
	}
}

// sampleQueues adds AWS/SQS: "CloudWatch metrics for your Amazon SQS queues are automatically collected and pushed to
// CloudWatch at one-minute intervals."
func (f *front) sampleQueues(ctx context.Context, at time.Time) {
	c := sqs.NewFromConfig(f.moto.config)
	list, err := c.ListQueues(ctx, &sqs.ListQueuesInput{})
	if err != nil {
		logf("list the queues: %v", err)
		return
	}
	for _, queue := range list.QueueUrls {
		out, err := c.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &queue,
			AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameAll}})
		if err != nil {
			logf("read queue %s: %v", queue, err)
			continue
		}
		name, all := path.Base(queue), 0
		for metric, attribute := range map[string]sqstypes.QueueAttributeName{
			"ApproximateNumberOfMessagesVisible":    sqstypes.QueueAttributeNameApproximateNumberOfMessages,
			"ApproximateNumberOfMessagesNotVisible": sqstypes.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
			"ApproximateNumberOfMessagesDelayed":    sqstypes.QueueAttributeNameApproximateNumberOfMessagesDelayed} {
			n, _ := strconv.Atoi(out.Attributes[string(attribute)])
			all += n
			f.put(at, "AWS/SQS", metric, float64(n), "QueueName", name)
		}
		f.put(at, "AWS/SQS", "ApproximateAgeOfOldestMessage", f.ages.oldest(name, all, at).Seconds(), "QueueName", name)
	}
}

// sampleGroups adds AWS/AutoScaling: "When you enable Auto Scaling group metrics, your Auto Scaling group sends sampled
// data to CloudWatch every minute."
func (f *front) sampleGroups(at time.Time) {
	f.mu.Lock()
	groups := maps.Clone(f.groups)
	f.mu.Unlock()
	for name, source := range groups {
		g, all, err := f.sim.Snapshot(name)
		if err != nil {
			continue // it was deleted
		}
		values := map[string]float64{"GroupMinSize": float64(g.Min), "GroupMaxSize": float64(g.Max),
			"GroupDesiredCapacity": float64(g.Desired), "GroupTotalInstances": float64(len(all)), "GroupInServiceInstances": 0,
			"GroupPendingInstances": 0, "GroupTerminatingInstances": 0}
		for _, i := range all {
			state, _, _ := strings.Cut(string(i.State), ":")
			values["Group"+state+"Instances"]++
		}
		for metric, value := range values {
			if slices.Contains(source.metrics, metric) {
				f.put(at, "AWS/AutoScaling", metric, value, "AutoScalingGroupName", name)
			}
		}
	}
}

// enableMetrics: "If you specify Granularity and don't specify any metrics, all metrics are enabled."
func (f *front) enableMetrics(_ context.Context, in *autoscaling.EnableMetricsCollectionInput) error {
	enabled := in.Metrics
	if len(enabled) == 0 {
		enabled = []string{"GroupMinSize", "GroupMaxSize", "GroupDesiredCapacity", "GroupInServiceInstances",
			"GroupPendingInstances", "GroupTerminatingInstances", "GroupTotalInstances"}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	source := f.groups[*in.AutoScalingGroupName]
	source.metrics = append(slices.Clone(source.metrics), enabled...)
	f.groups[*in.AutoScalingGroupName] = source
	return nil
}

// disableMetrics: "If you omit this property, all metrics are disabled."
func (f *front) disableMetrics(_ context.Context, in *autoscaling.DisableMetricsCollectionInput) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	source := f.groups[*in.AutoScalingGroupName]
	source.metrics = slices.DeleteFunc(slices.Clone(source.metrics), func(name string) bool {
		return len(in.Metrics) == 0 || slices.Contains(in.Metrics, name)
	})
	f.groups[*in.AutoScalingGroupName] = source
	return nil
}

// sampleBalancer adds AWS/ApplicationELB of the last minute: "Elastic Load Balancing reports metrics to CloudWatch only
// when requests are flowing through the load balancer", but for the numbers of hosts and RequestCountPerTarget, which
// "emits zeros for periods with no associated data".
func (f *front) sampleBalancer(at time.Time) error {
	f.following.Lock()
	b := f.balanced
	f.following.Unlock()
	if b.port == 0 {
		return nil
	}
	now, err := f.host.Traffic()
	if err != nil {
		return err
	}
	f.mu.Lock()
	last := f.traffic
	f.traffic = now
	f.mu.Unlock()
	if now.Requests < last.Requests {
		last = nspawn.Traffic{} // it was restarted
	}
	healthy, unhealthy := f.targetHealth(b.targets)
	f.putTraffic(at, b, last, now, healthy, unhealthy)
	return nil
}

// putTraffic adds the metrics of what happened since the last sample. Dimensions are the final portions of ARNs.
func (f *front) putTraffic(at time.Time, b balancer, last, now nspawn.Traffic, healthy, unhealthy int) {
	whole := []string{"LoadBalancer", strings.TrimPrefix(lastPart(b.arn), "loadbalancer/")}
	targets := []string{"TargetGroup", lastPart(b.targets)}
	group := slices.Concat(whole, targets)
	put := func(name string, value float64, dimensions ...[]string) {
		for _, d := range dimensions {
			f.put(at, "AWS/ApplicationELB", name, value, d...)
		}
	}
	put("HealthyHostCount", float64(healthy), group)
	put("UnHealthyHostCount", float64(unhealthy), group)
	requests := now.TargetRequests - last.TargetRequests
	// "The total number of requests received by the target group, divided by the number of healthy targets". "If there are
	// no healthy targets in the target group, it is divided by the total number of registered targets."
	if n := cmp.Or(healthy, unhealthy); n > 0 {
		put("RequestCountPerTarget", float64(requests)/float64(n), targets, group)
	}
	if n := now.Requests - last.Requests; n > 0 {
		put("RequestCount", float64(n), whole)
	}
	if requests > 0 {
		put("RequestCount", float64(requests), group)
		put("TargetResponseTime", now.ResponseTime.Seconds(), whole, group)
	}
	for digit := 2; digit < len(now.Answers); digit++ {
		class := strconv.Itoa(digit) + "XX_Count"
		ofTargets := now.TargetAnswers[digit] - last.TargetAnswers[digit]
		if ofTargets > 0 { // "Reporting criteria: There is a nonzero value"
			put("HTTPCode_Target_"+class, float64(ofTargets), whole, group)
		}
		if own := now.Answers[digit] - last.Answers[digit] - ofTargets; own > 0 && digit > 2 {
			put("HTTPCode_ELB_"+class, float64(own), whole)
		}
	}
}

// targetHealth counts the targets of a target group that are healthy and unhealthy, without those that are new or
// draining.
func (f *front) targetHealth(arn string) (healthy, unhealthy int) {
	f.mu.Lock()
	groups := maps.Clone(f.groups)
	f.mu.Unlock()
	for name := range groups {
		g, all, err := f.sim.Snapshot(name)
		if err != nil || g.TargetGroup != arn {
			continue
		}
		for _, i := range all {
			switch elb.TargetHealthStateEnum(i.Target) {
			case elb.TargetHealthStateEnumHealthy:
				healthy++
			case elb.TargetHealthStateEnumUnhealthy:
				unhealthy++
			}
		}
	}
	return healthy, unhealthy
}
