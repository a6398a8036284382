package compute

import (
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/autoscaling"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Tracking returns the target tracking configuration of the named group.
type Tracking func(group pulumi.StringInput) autoscaling.PolicyTargetTrackingConfigurationArgs

// RequestsPerTarget holds the requests per minute and instance at target. The label names the balancer and
// target group that count.
func RequestsPerTarget(label pulumi.StringInput, target int) Tracking {
	return func(pulumi.StringInput) autoscaling.PolicyTargetTrackingConfigurationArgs {
		return autoscaling.PolicyTargetTrackingConfigurationArgs{
			TargetValue: pulumi.Float64(float64(target)),
			PredefinedMetricSpecification: autoscaling.PolicyTargetTrackingConfigurationPredefinedMetricSpecificationArgs{
				PredefinedMetricType: pulumi.String("ALBRequestCountPerTarget"), ResourceLabel: label.ToStringOutput(),
			},
		}
	}
}

// BacklogPerInstance holds the messages per instance at target. Messages in work count too: without them a
// fleet that has just taken all of the queue would look idle and be shut down under its jobs. Missing values
// are not filled with 0 for the same reason.
func BacklogPerInstance(queue pulumi.StringInput, target int) Tracking {
	return func(group pulumi.StringInput) autoscaling.PolicyTargetTrackingConfigurationArgs {
		return autoscaling.PolicyTargetTrackingConfigurationArgs{
			TargetValue: pulumi.Float64(float64(target)),
			// The division needs the group's own metrics to be enabled; without them the metric has no value,
			// and nothing reports that.
			CustomizedMetricSpecification: autoscaling.PolicyTargetTrackingConfigurationCustomizedMetricSpecificationArgs{
				Metrics: autoscaling.PolicyTargetTrackingConfigurationCustomizedMetricSpecificationMetricArray{
					metric("visible", "AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", "QueueName", queue),
					metric("flying", "AWS/SQS", "ApproximateNumberOfMessagesNotVisible", "Maximum", "QueueName", queue),
					metric("instances", "AWS/AutoScaling", metrics[0], "Average", "AutoScalingGroupName", group),
					autoscaling.PolicyTargetTrackingConfigurationCustomizedMetricSpecificationMetricArgs{
						Id: pulumi.String("backlog"), Label: pulumi.String("messages per worker"), ReturnData: pulumi.Bool(true),
						Expression: pulumi.String("IF(instances > 0, (visible + flying) / instances, visible + flying)"),
					},
				},
			},
		}
	}
}

// metric is one input of an expression.
func metric(id, namespace, name, stat, dimension string, value pulumi.StringInput) autoscaling.PolicyTargetTrackingConfigurationCustomizedMetricSpecificationMetricArgs {
	return autoscaling.PolicyTargetTrackingConfigurationCustomizedMetricSpecificationMetricArgs{
		Id: pulumi.String(id), ReturnData: pulumi.Bool(false), // true is the default, and only one may
		MetricStat: autoscaling.PolicyTargetTrackingConfigurationCustomizedMetricSpecificationMetricMetricStatArgs{
			Stat: pulumi.String(stat),
			Metric: autoscaling.PolicyTargetTrackingConfigurationCustomizedMetricSpecificationMetricMetricStatMetricArgs{
				Namespace: pulumi.String(namespace), MetricName: pulumi.String(name),
				Dimensions: autoscaling.PolicyTargetTrackingConfigurationCustomizedMetricSpecificationMetricMetricStatMetricDimensionArray{
					autoscaling.PolicyTargetTrackingConfigurationCustomizedMetricSpecificationMetricMetricStatMetricDimensionArgs{
						Name: pulumi.String(dimension), Value: value,
					},
				},
			},
		},
	}
}
