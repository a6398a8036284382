package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	autoscalingtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// inventory has the names of the resources of the account and region, by kind.
type inventory map[string][]string

// left returns what an inventory has and an older one has not, by kind.
func (now inventory) left(before inventory) inventory {
	out := inventory{}
	for kind, names := range now {
		names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(before[kind], n) })
		if len(names) > 0 {
			out[kind] = names
		}
	}
	return out
}

func (now inventory) String() string {
	var lines []string
	for _, kind := range sorted(now) {
		lines = append(lines, kind+": "+strings.Join(now[kind], ", "))
	}
	return strings.Join(lines, "; ")
}

// pager is a paginator of the AWS SDK.
type pager[O, F any] interface {
	HasMorePages() bool
	NextPage(context.Context, ...func(*F)) (O, error)
}

// pages returns the elements of all pages.
func pages[O, F, E any](ctx context.Context, p pager[O, F], of func(O) []E) (all []E, err error) {
	for p.HasMorePages() {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, of(page)...)
	}
	return all, nil
}

// each returns the name of each element. Those without one do not count.
func each[E any](of []E, name func(E) *string) (names []string) {
	for _, e := range of {
		if n := name(e); n != nil {
			names = append(names, *n)
		}
	}
	return names
}

// kind is a kind of resource that a stack has.
type kind struct {
	name string
	list func(ctx context.Context, c aws.Config) ([]string, error)
}

// take reads the inventory of the account, without the kinds that a side cannot tell.
func (t *test) take(ctx context.Context) (inventory, error) {
	c, all := t.aws, inventory{}
	for _, k := range slices.Concat(network, compute, storage, monitoring) {
		if t.side.untold[k.name] != "" {
			continue
		}
		names, err := k.list(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", k.name, err)
		}
		all[k.name] = names
	}
	return all, nil
}

var network = []kind{
	{"VPCs", func(ctx context.Context, c aws.Config) ([]string, error) {
		return pages(ctx, ec2.NewDescribeVpcsPaginator(ec2.NewFromConfig(c), nil), func(o *ec2.DescribeVpcsOutput) []string {
			return each(o.Vpcs, func(e ec2types.Vpc) *string { return e.VpcId })
		})
	}},
	{"subnets", func(ctx context.Context, c aws.Config) ([]string, error) {
		return pages(ctx, ec2.NewDescribeSubnetsPaginator(ec2.NewFromConfig(c), nil),
			func(o *ec2.DescribeSubnetsOutput) []string {
				return each(o.Subnets, func(e ec2types.Subnet) *string { return e.SubnetId })
			})
	}},
	{"route tables", func(ctx context.Context, c aws.Config) ([]string, error) {
		return pages(ctx, ec2.NewDescribeRouteTablesPaginator(ec2.NewFromConfig(c), nil),
			func(o *ec2.DescribeRouteTablesOutput) []string {
				return each(o.RouteTables, func(e ec2types.RouteTable) *string { return e.RouteTableId })
			})
	}},
	{"internet gateways", func(ctx context.Context, c aws.Config) ([]string, error) {
		return pages(ctx, ec2.NewDescribeInternetGatewaysPaginator(ec2.NewFromConfig(c), nil),
			func(o *ec2.DescribeInternetGatewaysOutput) []string {
				return each(o.InternetGateways, func(e ec2types.InternetGateway) *string { return e.InternetGatewayId })
			})
	}},
	{"NAT gateways", func(ctx context.Context, c aws.Config) ([]string, error) {
		return pages(ctx, ec2.NewDescribeNatGatewaysPaginator(ec2.NewFromConfig(c), nil),
			func(o *ec2.DescribeNatGatewaysOutput) []string {
				return each(o.NatGateways, func(e ec2types.NatGateway) *string {
					if e.State == ec2types.NatGatewayStateDeleted {
						return nil // described for about an hour
					}
					return e.NatGatewayId
				})
			})
	}},
	{"elastic addresses", func(ctx context.Context, c aws.Config) ([]string, error) {
		o, err := ec2.NewFromConfig(c).DescribeAddresses(ctx, nil)
		if err != nil {
			return nil, err
		}
		return each(o.Addresses, func(e ec2types.Address) *string { return e.AllocationId }), nil
	}},
	{"VPC endpoints", func(ctx context.Context, c aws.Config) ([]string, error) {
		return pages(ctx, ec2.NewDescribeVpcEndpointsPaginator(ec2.NewFromConfig(c), nil),
			func(o *ec2.DescribeVpcEndpointsOutput) []string {
				return each(o.VpcEndpoints, func(e ec2types.VpcEndpoint) *string {
					if strings.EqualFold(string(e.State), string(ec2types.StateDeleted)) {
						return nil
					}
					return e.VpcEndpointId
				})
			})
	}},
	{"security groups", func(ctx context.Context, c aws.Config) ([]string, error) {
		return pages(ctx, ec2.NewDescribeSecurityGroupsPaginator(ec2.NewFromConfig(c), nil),
			func(o *ec2.DescribeSecurityGroupsOutput) []string {
				return each(o.SecurityGroups, func(e ec2types.SecurityGroup) *string { return e.GroupId })
			})
	}},
	{"network interfaces", func(ctx context.Context, c aws.Config) ([]string, error) {
		return pages(ctx, ec2.NewDescribeNetworkInterfacesPaginator(ec2.NewFromConfig(c), nil),
			func(o *ec2.DescribeNetworkInterfacesOutput) []string {
				return each(o.NetworkInterfaces, func(e ec2types.NetworkInterface) *string { return e.NetworkInterfaceId })
			})
	}},
	{"load balancers", func(ctx context.Context, c aws.Config) ([]string, error) {
		return pages(ctx, elb.NewDescribeLoadBalancersPaginator(elb.NewFromConfig(c), nil),
			func(o *elb.DescribeLoadBalancersOutput) []string {
				return each(o.LoadBalancers, func(e elbtypes.LoadBalancer) *string { return e.LoadBalancerName })
			})
	}},
	{"target groups", func(ctx context.Context, c aws.Config) ([]string, error) {
		return pages(ctx, elb.NewDescribeTargetGroupsPaginator(elb.NewFromConfig(c), nil),
			func(o *elb.DescribeTargetGroupsOutput) []string {
				return each(o.TargetGroups, func(e elbtypes.TargetGroup) *string { return e.TargetGroupName })
			})
	}},
}

var compute = []kind{
	{"instances", func(ctx context.Context, c aws.Config) ([]string, error) {
		return pages(ctx, ec2.NewDescribeInstancesPaginator(ec2.NewFromConfig(c), nil),
			func(o *ec2.DescribeInstancesOutput) (names []string) {
				for _, r := range o.Reservations {
					names = append(names, each(r.Instances, func(e ec2types.Instance) *string {
						if e.State != nil && e.State.Name == ec2types.InstanceStateNameTerminated {
							return nil // described for about an hour
						}
						return e.InstanceId
					})...)
				}
				return names
			})
	}},
	{"volumes", func(ctx context.Context, c aws.Config) ([]string, error) {
		return pages(ctx, ec2.NewDescribeVolumesPaginator(ec2.NewFromConfig(c), nil),
			func(o *ec2.DescribeVolumesOutput) []string {
				return each(o.Volumes, func(e ec2types.Volume) *string { return e.VolumeId })
			})
	}},
	{"launch templates", func(ctx context.Context, c aws.Config) ([]string, error) {
		return pages(ctx, ec2.NewDescribeLaunchTemplatesPaginator(ec2.NewFromConfig(c), nil),
			func(o *ec2.DescribeLaunchTemplatesOutput) []string {
				return each(o.LaunchTemplates, func(e ec2types.LaunchTemplate) *string { return e.LaunchTemplateName })
			})
	}},
	{"Auto Scaling groups", func(ctx context.Context, c aws.Config) ([]string, error) {
		return pages(ctx, autoscaling.NewDescribeAutoScalingGroupsPaginator(autoscaling.NewFromConfig(c), nil),
			func(o *autoscaling.DescribeAutoScalingGroupsOutput) []string {
				return each(o.AutoScalingGroups,
					func(e autoscalingtypes.AutoScalingGroup) *string { return e.AutoScalingGroupName })
			})
	}},
	{"roles", func(ctx context.Context, c aws.Config) ([]string, error) {
		return pages(ctx, iam.NewListRolesPaginator(iam.NewFromConfig(c), nil),
			func(o *iam.ListRolesOutput) []string {
				return each(o.Roles, func(e iamtypes.Role) *string {
					if strings.HasPrefix(aws.ToString(e.Path), "/aws-service-role/") {
						return nil // AWS makes and keeps these
					}
					return e.RoleName
				})
			})
	}},
	{"instance profiles", func(ctx context.Context, c aws.Config) ([]string, error) {
		return pages(ctx, iam.NewListInstanceProfilesPaginator(iam.NewFromConfig(c), nil),
			func(o *iam.ListInstanceProfilesOutput) []string {
				return each(o.InstanceProfiles,
					func(e iamtypes.InstanceProfile) *string { return e.InstanceProfileName })
			})
	}},
}

var storage = []kind{
	{"tables", func(ctx context.Context, c aws.Config) ([]string, error) {
		return pages(ctx, dynamodb.NewListTablesPaginator(dynamodb.NewFromConfig(c), nil),
			func(o *dynamodb.ListTablesOutput) []string { return o.TableNames })
	}},
	{"buckets", func(ctx context.Context, c aws.Config) ([]string, error) {
		o, err := s3Of(c).ListBuckets(ctx, nil)
		if err != nil {
			return nil, err
		}
		return each(o.Buckets, func(e s3types.Bucket) *string { return e.Name }), nil
	}},
	{"queues", func(ctx context.Context, c aws.Config) ([]string, error) {
		return pages(ctx, sqs.NewListQueuesPaginator(sqs.NewFromConfig(c), nil),
			func(o *sqs.ListQueuesOutput) []string { return o.QueueUrls })
	}},
}

var monitoring = []kind{
	{"topics", func(ctx context.Context, c aws.Config) ([]string, error) {
		return pages(ctx, sns.NewListTopicsPaginator(sns.NewFromConfig(c), nil),
			func(o *sns.ListTopicsOutput) []string {
				return each(o.Topics, func(e snstypes.Topic) *string { return e.TopicArn })
			})
	}},
	{"alarms", func(ctx context.Context, c aws.Config) ([]string, error) {
		return pages(ctx, cloudwatch.NewDescribeAlarmsPaginator(cloudwatch.NewFromConfig(c), nil),
			func(o *cloudwatch.DescribeAlarmsOutput) []string {
				return each(o.MetricAlarms, func(e cwtypes.MetricAlarm) *string { return e.AlarmName })
			})
	}},
	{"dashboards", func(ctx context.Context, c aws.Config) ([]string, error) {
		return pages(ctx, cloudwatch.NewListDashboardsPaginator(cloudwatch.NewFromConfig(c), nil),
			func(o *cloudwatch.ListDashboardsOutput) []string {
				return each(o.DashboardEntries, func(e cwtypes.DashboardEntry) *string { return e.DashboardName })
			})
	}},
	{"log groups", func(ctx context.Context, c aws.Config) ([]string, error) {
		return pages(ctx, cloudwatchlogs.NewDescribeLogGroupsPaginator(cloudwatchlogs.NewFromConfig(c), nil),
			func(o *cloudwatchlogs.DescribeLogGroupsOutput) []string {
				return each(o.LogGroups, func(e logtypes.LogGroup) *string { return e.LogGroupName })
			})
	}},
}
