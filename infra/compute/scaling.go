package compute

import (
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/autoscaling"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// The provider's generated type names are longer than a line.
type (
	metricArray    = autoscaling.PolicyTargetTrackingConfigurationCustomizedMetricSpecificationMetricArray
	metricArgs     = autoscaling.PolicyTargetTrackingConfigurationCustomizedMetricSpecificationMetricArgs
	metricStatArgs = autoscaling.PolicyTargetTrackingConfigurationCustomizedMetricSpecificationMetricMetricStatArgs
	statMetricArgs = autoscaling.PolicyTargetTrackingConfigurationCustomizedMetricSpecificationMetricMetricStatMetricArgs
)

type dimensions = autoscaling.
	PolicyTargetTrackingConfigurationCustomizedMetricSpecificationMetricMetricStatMetricDimensionArray

type dimensionArgs = autoscaling.
	PolicyTargetTrackingConfigurationCustomizedMetricSpecificationMetricMetricStatMetricDimensionArgs

// Tracking is a target tracking configuration.
type Tracking = autoscaling.PolicyTargetTrackingConfigurationArgs

// RequestsPerTarget returns a policy that keeps the requests per minute and instance at target. The label names the
// load balancer and the target group.
func RequestsPerTarget(label pulumi.StringInput, target int) Tracking {
	return Tracking{
		TargetValue: pulumi.Float64(float64(target)),
		PredefinedMetricSpecification: autoscaling.PolicyTargetTrackingConfigurationPredefinedMetricSpecificationArgs{
			PredefinedMetricType: pulumi.String("ALBRequestCountPerTarget"), ResourceLabel: label.ToStringOutput(),
		},
	}
}

// BacklogPerInstance returns a policy that keeps the messages per instance of a group at target. It also counts
// messages in flight: otherwise a fleet that has just received the whole queue would look idle and be scaled in while
// it works. Missing values are not filled with 0 for the same reason. The group's own metrics must be enabled; without
// them the expression has no value, and AWS reports no error.
func BacklogPerInstance(queue pulumi.StringInput, group string, target int) Tracking {
	return Tracking{
		TargetValue: pulumi.Float64(float64(target)),
		CustomizedMetricSpecification: autoscaling.PolicyTargetTrackingConfigurationCustomizedMetricSpecificationArgs{
			Metrics: metricArray{
				metric("visible", "AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", "QueueName", queue),
				metric("flying", "AWS/SQS", "ApproximateNumberOfMessagesNotVisible", "Maximum", "QueueName", queue),
				metric("instances", "AWS/AutoScaling", metrics[0], "Average", "AutoScalingGroupName", pulumi.String(group)),
				metricArgs{
					Id: pulumi.String("backlog"), Label: pulumi.String("messages per worker"), ReturnData: pulumi.Bool(true),
					Expression: pulumi.String("IF(instances > 0, (visible + flying) / instances, visible + flying)"),
				},
			},
		},
	}
}

// metric returns one input of the expression.
func metric(id, namespace, name, stat, dimension string, value pulumi.StringInput) metricArgs {
	return metricArgs{
		Id: pulumi.String(id), ReturnData: pulumi.Bool(false), // the default is true, which only one metric may have
		MetricStat: metricStatArgs{
			Stat: pulumi.String(stat),
			Metric: statMetricArgs{
				Namespace: pulumi.String(namespace), MetricName: pulumi.String(name),
				Dimensions: dimensions{dimensionArgs{Name: pulumi.String(dimension), Value: value}},
			},
		},
	}
}
