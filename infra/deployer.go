package main

import (
	"maps"
	"slices"
	"strings"

	"imagery/infra/policy"
)

// deployerNeeds says, for each type of resource, what the person who runs `pulumi up` must be allowed to do: make,
// read, change, delete, and what the provider asks on the way. A test holds the types against those that stacks
// register, another the actions against those that rehearsals were seen to make.
var deployerNeeds = map[string][]string{
	"": {"sts:GetCallerIdentity", "ec2:DescribeAvailabilityZones", "ec2:DescribeInstanceTypeOfferings", "ssm:GetParameter"}, // questions before the first resource

	"aws:ec2/vpc:Vpc": {"ec2:CreateVpc", "ec2:DeleteVpc", "ec2:DescribeVpcs", "ec2:DescribeVpcAttribute", "ec2:ModifyVpcAttribute",
		"ec2:DescribeNetworkAcls", "ec2:CreateTags", "ec2:DeleteTags", "ec2:DescribeTags"},
	"aws:ec2/subnet:Subnet": {"ec2:CreateSubnet", "ec2:DeleteSubnet", "ec2:DescribeSubnets", "ec2:ModifySubnetAttribute", "ec2:DescribeNetworkInterfaces"},
	"aws:ec2/internetGateway:InternetGateway": {"ec2:CreateInternetGateway", "ec2:DeleteInternetGateway", "ec2:AttachInternetGateway", "ec2:DetachInternetGateway",
		"ec2:DescribeInternetGateways"},
	"aws:ec2/routeTable:RouteTable":                             {"ec2:CreateRouteTable", "ec2:DeleteRouteTable", "ec2:DescribeRouteTables"},
	"aws:ec2/route:Route":                                       {"ec2:CreateRoute", "ec2:DeleteRoute", "ec2:ReplaceRoute"},
	"aws:ec2/routeTableAssociation:RouteTableAssociation":       {"ec2:AssociateRouteTable", "ec2:DisassociateRouteTable", "ec2:ReplaceRouteTableAssociation"},
	"aws:ec2/eip:Eip":                                           {"ec2:AllocateAddress", "ec2:ReleaseAddress", "ec2:DisassociateAddress", "ec2:DescribeAddresses", "ec2:DescribeAddressesAttribute"},
	"aws:ec2/natGateway:NatGateway":                             {"ec2:CreateNatGateway", "ec2:DeleteNatGateway", "ec2:DescribeNatGateways"},
	"aws:ec2/vpcEndpoint:VpcEndpoint":                           {"ec2:CreateVpcEndpoint", "ec2:DeleteVpcEndpoints", "ec2:DescribeVpcEndpoints", "ec2:ModifyVpcEndpoint", "ec2:DescribePrefixLists"},
	"aws:ec2/securityGroup:SecurityGroup":                       {"ec2:CreateSecurityGroup", "ec2:DeleteSecurityGroup", "ec2:DescribeSecurityGroups", "ec2:RevokeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress"},
	"aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": {"ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress", "ec2:DescribeSecurityGroupRules", "ec2:ModifySecurityGroupRules"},
	"aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule":   {"ec2:AuthorizeSecurityGroupEgress", "ec2:RevokeSecurityGroupEgress", "ec2:DescribeSecurityGroupRules", "ec2:ModifySecurityGroupRules"},
	// RunInstances and PassRole are asked of whoever gives a launch template to a group.
	"aws:ec2/launchTemplate:LaunchTemplate": {"ec2:CreateLaunchTemplate", "ec2:CreateLaunchTemplateVersion", "ec2:ModifyLaunchTemplate", "ec2:DeleteLaunchTemplate",
		"ec2:DescribeLaunchTemplates", "ec2:DescribeLaunchTemplateVersions", "ec2:DescribeInstanceTypes", "ec2:RunInstances"},

	// The first group and the first balancer of an account create service-linked roles.
	"aws:autoscaling/group:Group": {"autoscaling:CreateAutoScalingGroup", "autoscaling:UpdateAutoScalingGroup", "autoscaling:DeleteAutoScalingGroup",
		"autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeScalingActivities", "autoscaling:DescribeWarmPool", "autoscaling:CreateOrUpdateTags", "autoscaling:DeleteTags",
		"autoscaling:EnableMetricsCollection", "autoscaling:DisableMetricsCollection", "autoscaling:SetInstanceProtection",
		"autoscaling:AttachLoadBalancerTargetGroups", "autoscaling:DetachLoadBalancerTargetGroups", "iam:PassRole", "iam:CreateServiceLinkedRole"},
	"aws:autoscaling/lifecycleHook:LifecycleHook": {"autoscaling:PutLifecycleHook", "autoscaling:DescribeLifecycleHooks", "autoscaling:DeleteLifecycleHook"},
	"aws:autoscaling/policy:Policy":               {"autoscaling:PutScalingPolicy", "autoscaling:DescribePolicies", "autoscaling:DeletePolicy"},

	"aws:lb/loadBalancer:LoadBalancer": {"elasticloadbalancing:CreateLoadBalancer", "elasticloadbalancing:DeleteLoadBalancer", "elasticloadbalancing:DescribeLoadBalancers",
		"elasticloadbalancing:DescribeLoadBalancerAttributes", "elasticloadbalancing:ModifyLoadBalancerAttributes", "elasticloadbalancing:DescribeCapacityReservation",
		"elasticloadbalancing:SetSecurityGroups", "elasticloadbalancing:SetSubnets",
		"elasticloadbalancing:AddTags", "elasticloadbalancing:RemoveTags", "elasticloadbalancing:DescribeTags", "iam:CreateServiceLinkedRole"},
	"aws:lb/targetGroup:TargetGroup": {"elasticloadbalancing:CreateTargetGroup", "elasticloadbalancing:DeleteTargetGroup", "elasticloadbalancing:DescribeTargetGroups",
		"elasticloadbalancing:ModifyTargetGroup", "elasticloadbalancing:DescribeTargetGroupAttributes", "elasticloadbalancing:ModifyTargetGroupAttributes"},
	"aws:lb/listener:Listener": {"elasticloadbalancing:CreateListener", "elasticloadbalancing:DeleteListener", "elasticloadbalancing:DescribeListeners",
		"elasticloadbalancing:DescribeListenerAttributes", "elasticloadbalancing:ModifyListener", "elasticloadbalancing:ModifyListenerAttributes", "elasticloadbalancing:DescribeListenerCertificates"},

	"aws:s3/bucketV2:BucketV2": {"s3:CreateBucket", "s3:DeleteBucket", "s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketAcl", "s3:GetBucketCORS", "s3:GetBucketWebsite",
		"s3:GetBucketVersioning", "s3:GetAccelerateConfiguration", "s3:GetBucketRequestPayment", "s3:GetBucketLogging", "s3:GetReplicationConfiguration",
		"s3:GetBucketObjectLockConfiguration", "s3:GetBucketTagging", "s3:PutBucketTagging", "s3:GetBucketLocation", "s3:ListTagsForResource", "s3:TagResource", "s3:UntagResource",
		"s3:DeleteObject", "s3:DeleteObjectVersion"},
	"aws:s3/bucketOwnershipControls:BucketOwnershipControls":                                     {"s3:GetBucketOwnershipControls", "s3:PutBucketOwnershipControls"},
	"aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock":                                     {"s3:GetBucketPublicAccessBlock", "s3:PutBucketPublicAccessBlock"},
	"aws:s3/bucketPolicy:BucketPolicy":                                                           {"s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"},
	"aws:s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2": {"s3:GetEncryptionConfiguration", "s3:PutEncryptionConfiguration"},
	"aws:s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2":                       {"s3:GetLifecycleConfiguration", "s3:PutLifecycleConfiguration"},
	"aws:s3/bucketObjectv2:BucketObjectv2":                                                       {"s3:PutObject", "s3:GetObject", "s3:GetObjectTagging", "s3:PutObjectTagging", "s3:AbortMultipartUpload"},

	"aws:dynamodb/table:Table": {"dynamodb:CreateTable", "dynamodb:DeleteTable", "dynamodb:DescribeTable", "dynamodb:UpdateTable", "dynamodb:DescribeContinuousBackups",
		"dynamodb:UpdateContinuousBackups", "dynamodb:DescribeTimeToLive", "dynamodb:UpdateTimeToLive", "dynamodb:ListTagsOfResource", "dynamodb:TagResource", "dynamodb:UntagResource"},
	"aws:sqs/queue:Queue":                           {"sqs:CreateQueue", "sqs:DeleteQueue", "sqs:GetQueueAttributes", "sqs:SetQueueAttributes", "sqs:GetQueueUrl", "sqs:ListQueueTags", "sqs:TagQueue", "sqs:UntagQueue"},
	"aws:sqs/redriveAllowPolicy:RedriveAllowPolicy": {"sqs:GetQueueAttributes", "sqs:SetQueueAttributes"},

	"aws:iam/role:Role": {"iam:CreateRole", "iam:DeleteRole", "iam:GetRole", "iam:UpdateRole", "iam:UpdateAssumeRolePolicy", "iam:ListRolePolicies", "iam:ListAttachedRolePolicies",
		"iam:ListInstanceProfilesForRole", "iam:TagRole", "iam:UntagRole"},
	"aws:iam/rolePolicy:RolePolicy":           {"iam:PutRolePolicy", "iam:GetRolePolicy", "iam:DeleteRolePolicy"},
	"aws:iam/instanceProfile:InstanceProfile": {"iam:CreateInstanceProfile", "iam:DeleteInstanceProfile", "iam:GetInstanceProfile", "iam:AddRoleToInstanceProfile", "iam:RemoveRoleFromInstanceProfile", "iam:TagInstanceProfile", "iam:UntagInstanceProfile"},

	"aws:cloudwatch/logGroup:LogGroup":            {"logs:CreateLogGroup", "logs:DeleteLogGroup", "logs:DescribeLogGroups", "logs:PutRetentionPolicy", "logs:DeleteRetentionPolicy", "logs:ListTagsForResource", "logs:TagResource", "logs:UntagResource"},
	"aws:cloudwatch/metricAlarm:MetricAlarm":      {"cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms", "cloudwatch:DescribeAlarms", "cloudwatch:ListTagsForResource", "cloudwatch:TagResource", "cloudwatch:UntagResource"},
	"aws:cloudwatch/dashboard:Dashboard":          {"cloudwatch:PutDashboard", "cloudwatch:GetDashboard", "cloudwatch:DeleteDashboards"},
	"aws:sns/topic:Topic":                         {"sns:CreateTopic", "sns:DeleteTopic", "sns:GetTopicAttributes", "sns:SetTopicAttributes", "sns:ListTagsForResource", "sns:TagResource", "sns:UntagResource"},
	"aws:sns/topicPolicy:TopicPolicy":             {"sns:GetTopicAttributes", "sns:SetTopicAttributes"},
	"aws:sns/topicSubscription:TopicSubscription": {"sns:Subscribe", "sns:Unsubscribe", "sns:GetSubscriptionAttributes", "sns:SetSubscriptionAttributes", "sns:ListSubscriptionsByTopic"},
}

// scopes are the resources that a service's actions can be limited to: the names that every stack of the project
// has. Services that are not listed, and actions that AWS checks on nothing, get "*".
var scopes = map[string][]string{
	"s3":       {"arn:aws:s3:::imagery-*", "arn:aws:s3:::imagery-*/*"},
	"dynamodb": {"arn:aws:dynamodb:*:*:table/imagery-*"},
	"sqs":      {"arn:aws:sqs:*:*:imagery-*"},
	"sns":      {"arn:aws:sns:*:*:imagery-*"},
	"iam":      {"arn:aws:iam::*:role/imagery-*", "arn:aws:iam::*:instance-profile/imagery-*"},
	"logs":     {"arn:aws:logs:*:*:log-group:/imagery/*"},
	"ssm":      {"arn:aws:ssm:*::parameter" + images + "*"},
}

// everywhere are the actions of a scoped service that AWS grants only on everything, or on what is not ours.
var everywhere = []string{"logs:DescribeLogGroups", "sns:Unsubscribe", "sns:GetSubscriptionAttributes", "sns:SetSubscriptionAttributes", "iam:CreateServiceLinkedRole"}

// policyLimit is how many characters a managed policy of IAM may have.
const policyLimit = 6144

// deployerPolicies renders the policies of whoever deploys, for an AWS partition of the normal kind: one of the
// actions that AWS cannot limit, one of those that it can. IAM would not take both in one.
func deployerPolicies() (unscoped, scoped string) {
	by := map[string][]string{}
	for _, actions := range deployerNeeds {
		for _, a := range actions {
			service, _, _ := strings.Cut(a, ":")
			if slices.Contains(everywhere, a) || scopes[service] == nil {
				service = ""
			}
			by[service] = append(by[service], a)
		}
	}
	var limited []policy.Statement
	for _, service := range slices.Sorted(maps.Keys(by)) {
		if service != "" {
			limited = append(limited, policy.Statement{Sid: strings.ToUpper(service), Effect: policy.Allow, Action: by[service], Resource: scopes[service]})
		}
	}
	return policy.JSON(policy.Statement{Effect: policy.Allow, Action: by[""], Resource: []string{"*"}}), policy.JSON(limited...)
}
