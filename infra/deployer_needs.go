package main

import (
	"slices"
	"strings"
)

// deployerNeeds maps each resource type to the actions that a person who runs `pulumi up` needs: to create, read,
// change and delete such a resource, and for the provider's checks. Tests compare the types with those of all stacks,
// and the actions with those that rehearsals made.
var deployerNeeds = map[string][]string{
	// before the first resource
	"": slices.Concat(on("sts", "GetCallerIdentity"), on("ssm", "GetParameter"),
		on("ec2", "DescribeAvailabilityZones DescribeInstanceTypeOfferings")),
	"aws:ec2/vpc:Vpc": on("ec2", `
		CreateVpc DeleteVpc DescribeVpcs DescribeVpcAttribute ModifyVpcAttribute DescribeNetworkAcls CreateTags DeleteTags
		DescribeTags`),
	"aws:ec2/subnet:Subnet": on("ec2", `
		CreateSubnet DeleteSubnet DescribeSubnets ModifySubnetAttribute DescribeNetworkInterfaces`),
	"aws:ec2/internetGateway:InternetGateway": on("ec2", `
		CreateInternetGateway DeleteInternetGateway AttachInternetGateway DetachInternetGateway DescribeInternetGateways`),
	"aws:ec2/routeTable:RouteTable": on("ec2", "CreateRouteTable DeleteRouteTable DescribeRouteTables"),
	"aws:ec2/route:Route":           on("ec2", "CreateRoute DeleteRoute ReplaceRoute"),
	"aws:ec2/routeTableAssociation:RouteTableAssociation": on("ec2", `
		AssociateRouteTable DisassociateRouteTable ReplaceRouteTableAssociation`),
	"aws:ec2/eip:Eip": on("ec2", `
		AllocateAddress ReleaseAddress DisassociateAddress DescribeAddresses DescribeAddressesAttribute`),
	"aws:ec2/natGateway:NatGateway": on("ec2", "CreateNatGateway DeleteNatGateway DescribeNatGateways"),
	"aws:ec2/vpcEndpoint:VpcEndpoint": on("ec2", `
		CreateVpcEndpoint DeleteVpcEndpoints DescribeVpcEndpoints ModifyVpcEndpoint DescribePrefixLists`),
	"aws:ec2/securityGroup:SecurityGroup": on("ec2", `
		CreateSecurityGroup DeleteSecurityGroup DescribeSecurityGroups RevokeSecurityGroupEgress RevokeSecurityGroupIngress`),
	"aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": on("ec2", `
		AuthorizeSecurityGroupIngress RevokeSecurityGroupIngress DescribeSecurityGroupRules ModifySecurityGroupRules`),
	"aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": on("ec2", `
		AuthorizeSecurityGroupEgress RevokeSecurityGroupEgress DescribeSecurityGroupRules ModifySecurityGroupRules`),
	"aws:ec2/launchTemplate:LaunchTemplate": on("ec2", `
		CreateLaunchTemplate CreateLaunchTemplateVersion ModifyLaunchTemplate DeleteLaunchTemplate DescribeLaunchTemplates
		DescribeLaunchTemplateVersions DescribeInstanceTypes`),
	"aws:autoscaling/group:Group": on("autoscaling", `
		CreateAutoScalingGroup UpdateAutoScalingGroup DeleteAutoScalingGroup DescribeAutoScalingGroups
		DescribeScalingActivities DescribeWarmPool CreateOrUpdateTags DeleteTags EnableMetricsCollection
		DisableMetricsCollection SetInstanceProtection AttachLoadBalancerTargetGroups DetachLoadBalancerTargetGroups`),
	"aws:autoscaling/lifecycleHook:LifecycleHook": on("autoscaling", `
		PutLifecycleHook DescribeLifecycleHooks DeleteLifecycleHook`),
	"aws:autoscaling/policy:Policy": on("autoscaling", "PutScalingPolicy DescribePolicies DeletePolicy"),
	"aws:lb/loadBalancer:LoadBalancer": on("elasticloadbalancing", `
		CreateLoadBalancer DeleteLoadBalancer DescribeLoadBalancers DescribeLoadBalancerAttributes
		ModifyLoadBalancerAttributes DescribeCapacityReservation SetSecurityGroups SetSubnets AddTags RemoveTags
		DescribeTags`),
	"aws:lb/targetGroup:TargetGroup": on("elasticloadbalancing", `
		CreateTargetGroup DeleteTargetGroup DescribeTargetGroups ModifyTargetGroup DescribeTargetGroupAttributes
		ModifyTargetGroupAttributes`),
	"aws:lb/listener:Listener": on("elasticloadbalancing", `
		CreateListener DeleteListener DescribeListeners DescribeListenerAttributes ModifyListener ModifyListenerAttributes
		DescribeListenerCertificates`),
	"aws:s3/bucketV2:BucketV2": on("s3", `
		CreateBucket DeleteBucket ListBucket ListBucketVersions GetBucketAcl GetBucketCORS GetBucketWebsite
		GetBucketVersioning GetAccelerateConfiguration GetBucketRequestPayment GetBucketLogging GetReplicationConfiguration
		GetBucketObjectLockConfiguration GetBucketTagging PutBucketTagging GetBucketLocation ListTagsForResource TagResource
		UntagResource DeleteObject DeleteObjectVersion`),
	"aws:s3/bucketOwnershipControls:BucketOwnershipControls": on("s3", `
		GetBucketOwnershipControls PutBucketOwnershipControls`),
	"aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": on("s3", `
		GetBucketPublicAccessBlock PutBucketPublicAccessBlock`),
	"aws:s3/bucketPolicy:BucketPolicy": on("s3", "GetBucketPolicy PutBucketPolicy DeleteBucketPolicy"),
	"aws:s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2": on("s3", `
		GetEncryptionConfiguration PutEncryptionConfiguration`),
	"aws:s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2": on("s3", `
		GetLifecycleConfiguration PutLifecycleConfiguration`),
	"aws:s3/bucketObjectv2:BucketObjectv2": on("s3", `
		PutObject GetObject GetObjectTagging PutObjectTagging AbortMultipartUpload`),
	"aws:dynamodb/table:Table": on("dynamodb", `
		CreateTable DeleteTable DescribeTable UpdateTable DescribeContinuousBackups UpdateContinuousBackups DescribeTimeToLive
		UpdateTimeToLive ListTagsOfResource TagResource UntagResource`),
	"aws:sqs/queue:Queue": on("sqs", `
		CreateQueue DeleteQueue GetQueueAttributes SetQueueAttributes GetQueueUrl ListQueueTags TagQueue UntagQueue`),
	"aws:sqs/redriveAllowPolicy:RedriveAllowPolicy": on("sqs", "GetQueueAttributes SetQueueAttributes"),
	"aws:iam/role:Role": on("iam", `
		CreateRole DeleteRole GetRole UpdateRole UpdateAssumeRolePolicy ListRolePolicies ListAttachedRolePolicies
		ListInstanceProfilesForRole TagRole UntagRole PutRolePermissionsBoundary DeleteRolePermissionsBoundary`),
	"aws:iam/rolePolicy:RolePolicy": on("iam", "PutRolePolicy GetRolePolicy DeleteRolePolicy"),
	"aws:iam/instanceProfile:InstanceProfile": on("iam", `
		CreateInstanceProfile DeleteInstanceProfile GetInstanceProfile AddRoleToInstanceProfile RemoveRoleFromInstanceProfile
		TagInstanceProfile UntagInstanceProfile`),
	"aws:cloudwatch/logGroup:LogGroup": on("logs", `
		CreateLogGroup DeleteLogGroup DescribeLogGroups PutRetentionPolicy DeleteRetentionPolicy ListTagsForResource
		TagResource UntagResource`),
	"aws:cloudwatch/metricAlarm:MetricAlarm": on("cloudwatch", `
		PutMetricAlarm DeleteAlarms DescribeAlarms ListTagsForResource TagResource UntagResource`),
	"aws:cloudwatch/dashboard:Dashboard": on("cloudwatch", "PutDashboard GetDashboard DeleteDashboards"),
	"aws:sns/topic:Topic": on("sns", `
		CreateTopic DeleteTopic GetTopicAttributes SetTopicAttributes ListTagsForResource TagResource UntagResource`),
	"aws:sns/topicPolicy:TopicPolicy": on("sns", "GetTopicAttributes SetTopicAttributes"),
	"aws:sns/topicSubscription:TopicSubscription": on("sns", `
		Subscribe Unsubscribe GetSubscriptionAttributes SetSubscriptionAttributes ListSubscriptionsByTopic`),
}

// rolloutNeeds lists the actions of a rollout, except those on the table. A test compares them with
// the rollout's clients.
var rolloutNeeds = slices.Concat(
	on("autoscaling", `DescribeAutoScalingGroups DescribeScalingActivities DescribeInstanceRefreshes
		StartInstanceRefresh RollbackInstanceRefresh CancelInstanceRefresh
		UpdateAutoScalingGroup SuspendProcesses ResumeProcesses`),
	on("elasticloadbalancing", "DescribeTargetHealth"),
	on("ec2", "DescribeLaunchTemplateVersions GetConsoleOutput"),
	on("cloudwatch", "DescribeAlarms"),
	on("s3", "GetObject")) // for HeadObject

// preflightNeeds lists the actions of the preflight, except those on service-linked roles. Without
// one of them the preflight skips a check with a warning.
var preflightNeeds = slices.Concat(
	on("servicequotas", "GetServiceQuota GetAWSDefaultServiceQuota"),
	on("ec2", `DescribeInstances DescribeAddresses DescribeVpcs DescribeInstanceTypeOfferings DescribeImages
		DescribeLaunchTemplates GetEbsDefaultKmsKeyId`),
	on("autoscaling", "DescribeAutoScalingGroups"),
	on("kms", "ListGrants GetKeyPolicy"))

// on returns the IAM actions of operations of a service, which are separated by white space.
func on(service, operations string) []string {
	actions := strings.Fields(operations)
	for i := range actions {
		actions[i] = service + ":" + actions[i]
	}
	return actions
}
