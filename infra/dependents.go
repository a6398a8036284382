package main

import "slices"

// dependent lists the other actions that AWS checks when a deployer makes a call. A rehearsal does not show them, since
// no call is made; source is the page that documents them.
type dependent struct {
	of     string
	needs  []string
	source string
}

// Pages of AWS that several rows come from.
const (
	tagOnCreate  = "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/supported-iam-actions-tagging.html"
	balancerPage = "https://docs.aws.amazon.com/elasticloadbalancing/latest/userguide/elb-api-permissions.html"
	templatePage = "https://docs.aws.amazon.com/autoscaling/ec2/userguide/" +
		"ec2-auto-scaling-launch-template-permissions.html"
	authorityEC2 = "https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html"
	authorityELB = "https://docs.aws.amazon.com/service-authorization/latest/reference/list_awselasticloadbalancingv2.html"
	apiIAM       = "https://docs.aws.amazon.com/IAM/latest/APIReference/"
)

// launching lists the actions that AWS checks when a group gets a launch template with tags and a role.
var launching = slices.Concat(on("ec2", "RunInstances CreateTags"), on("iam", "PassRole"))

// dependentNeeds lists the dependent actions that a deployer needs. A test compares them with
// testdata/iam-reference.txt, AWS's own list, which is not complete.
var dependentNeeds = []dependent{
	{"elasticloadbalancing:CreateLoadBalancer", slices.Concat(
		on("ec2", `DescribeAccountAttributes DescribeAddresses DescribeInternetGateways DescribeSecurityGroups
		DescribeSubnets DescribeVpcs`), on("iam", "CreateServiceLinkedRole")), balancerPage},
	// AWS may not check this in accounts that had load balancers before October 2024.
	{"elasticloadbalancing:CreateLoadBalancer", on("ec2", "GetSecurityGroupsForVpc"),
		"https://github.com/kubernetes-sigs/aws-load-balancer-controller/issues/3917"},
	{"elasticloadbalancing:CreateLoadBalancer", on("elasticloadbalancing", "AddTags"), authorityELB},
	{"elasticloadbalancing:CreateTargetGroup", on("elasticloadbalancing", "AddTags"), authorityELB},
	{"elasticloadbalancing:CreateListener", on("elasticloadbalancing", "AddTags"), authorityELB},
	// The hosted zone that AWS creates for the private DNS name of the endpoint.
	{"ec2:CreateVpcEndpoint", on("route53", "AssociateVPCWithHostedZone"), authorityEC2},
	{"ec2:CreateVpcEndpoint", on("ec2", "CreateTags"), tagOnCreate},
	{"route53:AssociateVPCWithHostedZone", on("ec2", "DescribeVpcs"),
		"https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonroute53.html"},
	{"ec2:CreateVpc", on("ec2", "CreateTags"), tagOnCreate},
	{"ec2:CreateSubnet", on("ec2", "CreateTags"), tagOnCreate},
	{"ec2:CreateRouteTable", on("ec2", "CreateTags"), tagOnCreate},
	{"ec2:CreateInternetGateway", on("ec2", "CreateTags"), tagOnCreate},
	{"ec2:CreateNatGateway", on("ec2", "CreateTags"), tagOnCreate},
	{"ec2:AllocateAddress", on("ec2", "CreateTags"), tagOnCreate},
	{"ec2:CreateSecurityGroup", on("ec2", "CreateTags"), tagOnCreate},
	{"ec2:AuthorizeSecurityGroupIngress", on("ec2", "CreateTags"), tagOnCreate},
	{"ec2:AuthorizeSecurityGroupEgress", on("ec2", "CreateTags"), tagOnCreate},
	{"ec2:CreateLaunchTemplate", on("ec2", "CreateTags"), tagOnCreate},
	// A caller who gives a group a launch template needs the permission to launch such an instance, with tags and a role.
	{"autoscaling:CreateAutoScalingGroup", launching, templatePage},
	{"autoscaling:UpdateAutoScalingGroup", launching, templatePage},
	{"autoscaling:StartInstanceRefresh", launching, templatePage},
	{"autoscaling:CreateAutoScalingGroup", on("iam", "CreateServiceLinkedRole"),
		"https://docs.aws.amazon.com/autoscaling/ec2/userguide/autoscaling-service-linked-role.html"},
	{"autoscaling:CreateAutoScalingGroup", on("autoscaling", "CreateOrUpdateTags"),
		"https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-tagging.html"},
	{"ec2:RunInstances", slices.Concat(on("ec2", "CreateTags"), on("iam", "PassRole")), authorityEC2},
	{"iam:AddRoleToInstanceProfile", on("iam", "PassRole"), apiIAM + "API_AddRoleToInstanceProfile.html"},
	{"iam:CreateRole", on("iam", "TagRole"), "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags_roles.html"},
	{"iam:CreateRole", on("iam", "PutRolePermissionsBoundary"),
		"https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html"},
	{"iam:CreateInstanceProfile", on("iam", "TagInstanceProfile"),
		"https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags_instance-profiles.html"},
	{"sqs:CreateQueue", on("sqs", "TagQueue"),
		"https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html"},
	{"sns:CreateTopic", on("sns", "TagResource"), "https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html"},
	{"dynamodb:CreateTable", on("dynamodb", "TagResource"),
		"https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html"},
	{"logs:CreateLogGroup", on("logs", "TagResource"),
		"https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html"},
	{"cloudwatch:PutMetricAlarm", on("cloudwatch", "TagResource"),
		"https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html"},
	{"s3:CreateBucket", on("s3", "TagResource"),
		"https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html"},
	{"s3:PutObject", on("s3", "PutObjectTagging"), "https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html"},
}

// notNeeded maps dependent actions of AWS's reference that a deployer does not get to the reason. The key is "action
// dependent", with "*" for any action or any dependent.
var notNeeded = map[string]string{
	"* ssm:GetParameters":                 "only for launch templates that name their image by a parameter",
	"sns:CreateTopic iam:PassRole":        "only for topics that log their deliveries with a role",
	"sns:SetTopicAttributes iam:PassRole": "only for topics that log their deliveries with a role",
	"servicequotas:GetServiceQuota *":     "each for the quotas of its own service; those of EC2 need none",
}
