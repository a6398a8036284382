package rollout

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

// GroupsClient is the part of the Auto Scaling client that a rollout uses.
type GroupsClient interface {
	autoscaling.DescribeAutoScalingGroupsAPIClient
	autoscaling.DescribeScalingActivitiesAPIClient
	autoscaling.DescribeInstanceRefreshesAPIClient
	StartInstanceRefresh(
		context.Context, *autoscaling.StartInstanceRefreshInput, ...func(*autoscaling.Options),
	) (*autoscaling.StartInstanceRefreshOutput, error)
	RollbackInstanceRefresh(
		context.Context, *autoscaling.RollbackInstanceRefreshInput, ...func(*autoscaling.Options),
	) (*autoscaling.RollbackInstanceRefreshOutput, error)
	CancelInstanceRefresh(
		context.Context, *autoscaling.CancelInstanceRefreshInput, ...func(*autoscaling.Options),
	) (*autoscaling.CancelInstanceRefreshOutput, error)
	UpdateAutoScalingGroup(
		context.Context, *autoscaling.UpdateAutoScalingGroupInput, ...func(*autoscaling.Options),
	) (*autoscaling.UpdateAutoScalingGroupOutput, error)
	SuspendProcesses(
		context.Context, *autoscaling.SuspendProcessesInput, ...func(*autoscaling.Options),
	) (*autoscaling.SuspendProcessesOutput, error)
	ResumeProcesses(
		context.Context, *autoscaling.ResumeProcessesInput, ...func(*autoscaling.Options),
	) (*autoscaling.ResumeProcessesOutput, error)
}

// Clients make the AWS calls of a rollout. The deployer's policy must allow each of them.
type Clients struct {
	Groups  GroupsClient
	Targets elasticloadbalancingv2.DescribeTargetHealthAPIClient
	Compute interface {
		ec2.DescribeLaunchTemplateVersionsAPIClient
		GetConsoleOutput(
			context.Context, *ec2.GetConsoleOutputInput, ...func(*ec2.Options),
		) (*ec2.GetConsoleOutputOutput, error)
	}
	Alarms  cloudwatch.DescribeAlarmsAPIClient
	Objects s3.HeadObjectAPIClient
	Table   interface {
		GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
		PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	}
}

// attempts limits the attempts of a call that AWS throttles or does not answer: about two minutes with the SDK's
// backoff.
const attempts = 10

// NewClients returns clients of AWS.
func NewClients(cfg aws.Config) Clients {
	cfg.RetryMaxAttempts = attempts
	return Clients{
		Groups: autoscaling.NewFromConfig(cfg), Targets: elasticloadbalancingv2.NewFromConfig(cfg),
		Compute: ec2.NewFromConfig(cfg), Alarms: cloudwatch.NewFromConfig(cfg), Table: dynamodb.NewFromConfig(cfg),
		Objects: s3.NewFromConfig(cfg),
	}
}

// wrap adds the operation to an error; it returns nil for nil.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

// is reports whether err is an answer of AWS with the code.
func is(err error, code string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == code
}

// answered reports whether err is an answer of AWS that a retry would not change.
func answered(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorFault() != smithy.FaultServer &&
		retry.IsErrorRetryables(retry.DefaultRetryables).IsErrorRetryable(err) != aws.TrueTernary
}
