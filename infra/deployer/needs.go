package deployer

import (
	"slices"
	"strings"
)

// Needs maps each resource type to the actions that a person who runs `pulumi up` needs: to create, read, change and
// delete such a resource, and for the provider's checks. Tests compare the types with those of all stacks, and the
// actions with those that rehearsals made.
var Needs = map[string][]string{
	// before the first resource
	"": slices.Concat(On("sts", "GetCallerIdentity"), On("ssm", "GetParameter"),
		On("ec2", "DescribeAvailabilityZones DescribeInstanceTypeOfferings")),
	"aws:ec2/vpc:Vpc": On("ec2", `
		CreateVpc DeleteVpc DescribeVpcs DescribeVpcAttribute ModifyVpcAttribute DescribeNetworkAcls CreateTags DeleteTags
		DescribeTags`),
	"aws:ec2/subnet:Subnet": On("ec2", `
		CreateSubnet DeleteSubnet DescribeSubnets ModifySubnetAttribute DescribeNetworkInterfaces`),
	"aws:ec2/internetGateway:InternetGateway": On("ec2", `
		CreateInternetGateway DeleteInternetGateway AttachInternetGateway DetachInternetGateway DescribeInternetGateways`),
	"aws:ec2/routeTable:RouteTable": On("ec2", "CreateRouteTable DeleteRouteTable DescribeRouteTables"),
	"aws:ec2/route:Route":           On("ec2", "CreateRoute DeleteRoute ReplaceRoute"),
	"aws:ec2/routeTableAssociation:RouteTableAssociation": On("ec2", `
		AssociateRouteTable DisassociateRouteTable ReplaceRouteTableAssociation`),
	"aws:ec2/eip:Eip": On("ec2", `
		AllocateAddress ReleaseAddress DisassociateAddress DescribeAddresses DescribeAddressesAttribute`),
	"aws:ec2/natGateway:NatGateway": On("ec2", "CreateNatGateway DeleteNatGateway DescribeNatGateways"),
	"aws:ec2/vpcEndpoint:VpcEndpoint": On("ec2", `
		CreateVpcEndpoint DeleteVpcEndpoints DescribeVpcEndpoints ModifyVpcEndpoint DescribePrefixLists`),
	"aws:ec2/securityGroup:SecurityGroup": On("ec2", `
		CreateSecurityGroup DeleteSecurityGroup DescribeSecurityGroups RevokeSecurityGroupEgress RevokeSecurityGroupIngress`),
	"aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": On("ec2", `
		AuthorizeSecurityGroupIngress RevokeSecurityGroupIngress DescribeSecurityGroupRules ModifySecurityGroupRules`),
	"aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": On("ec2", `
		AuthorizeSecurityGroupEgress RevokeSecurityGroupEgress DescribeSecurityGroupRules ModifySecurityGroupRules`),
	"aws:ec2/launchTemplate:LaunchTemplate": On("ec2", `
		CreateLaunchTemplate CreateLaunchTemplateVersion ModifyLaunchTemplate DeleteLaunchTemplate DescribeLaunchTemplates
		DescribeLaunchTemplateVersions DescribeInstanceTypes`),
	"aws:autoscaling/group:Group": On("autoscaling", `
		CreateAutoScalingGroup UpdateAutoScalingGroup DeleteAutoScalingGroup DescribeAutoScalingGroups
		DescribeScalingActivities DescribeWarmPool CreateOrUpdateTags DeleteTags EnableMetricsCollection
		DisableMetricsCollection SetInstanceProtection AttachLoadBalancerTargetGroups DetachLoadBalancerTargetGroups`),
	"aws:autoscaling/lifecycleHook:LifecycleHook": On("autoscaling", `
		PutLifecycleHook DescribeLifecycleHooks DeleteLifecycleHook`),
	"aws:autoscaling/policy:Policy": On("autoscaling", "PutScalingPolicy DescribePolicies DeletePolicy"),
	"aws:lb/loadBalancer:LoadBalancer": On("elasticloadbalancing", `
		CreateLoadBalancer DeleteLoadBalancer DescribeLoadBalancers DescribeLoadBalancerAttributes
		ModifyLoadBalancerAttributes DescribeCapacityReservation SetSecurityGroups SetSubnets AddTags RemoveTags
		DescribeTags`),
	"aws:lb/targetGroup:TargetGroup": On("elasticloadbalancing", `
		CreateTargetGroup DeleteTargetGroup DescribeTargetGroups ModifyTargetGroup DescribeTargetGroupAttributes
		ModifyTargetGroupAttributes`),
	"aws:lb/listener:Listener": On("elasticloadbalancing", `
		CreateListener DeleteListener DescribeListeners DescribeListenerAttributes ModifyListener ModifyListenerAttributes
		DescribeListenerCertificates`),
	"aws:s3/bucketV2:BucketV2": On("s3", `
		CreateBucket DeleteBucket ListBucket ListBucketVersions GetBucketAcl GetBucketCORS GetBucketWebsite
		GetBucketVersioning GetAccelerateConfiguration GetBucketRequestPayment GetBucketLogging GetReplicationConfiguration
		GetBucketObjectLockConfiguration GetBucketTagging PutBucketTagging GetBucketLocation ListTagsForResource TagResource
		UntagResource DeleteObject DeleteObjectVersion`),
	"aws:s3/bucketOwnershipControls:BucketOwnershipControls": On("s3", `
		GetBucketOwnershipControls PutBucketOwnershipControls`),
	"aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": On("s3", `
		GetBucketPublicAccessBlock PutBucketPublicAccessBlock`),
	"aws:s3/bucketPolicy:BucketPolicy": On("s3", "GetBucketPolicy PutBucketPolicy DeleteBucketPolicy"),
	"aws:s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2": On("s3", `
		GetEncryptionConfiguration PutEncryptionConfiguration`),
	"aws:s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2": On("s3", `
		GetLifecycleConfiguration PutLifecycleConfiguration`),
	"aws:s3/bucketObjectv2:BucketObjectv2": On("s3", `
		PutObject GetObject GetObjectTagging PutObjectTagging AbortMultipartUpload`),
	"aws:dynamodb/table:Table": On("dynamodb", `
		CreateTable DeleteTable DescribeTable UpdateTable DescribeContinuousBackups UpdateContinuousBackups DescribeTimeToLive
		UpdateTimeToLive ListTagsOfResource TagResource UntagResource`),
	"aws:sqs/queue:Queue": On("sqs", `
		CreateQueue DeleteQueue GetQueueAttributes SetQueueAttributes GetQueueUrl ListQueueTags TagQueue UntagQueue`),
	"aws:sqs/redriveAllowPolicy:RedriveAllowPolicy": On("sqs", "GetQueueAttributes SetQueueAttributes"),
	"aws:iam/role:Role": On("iam", `
		CreateRole DeleteRole GetRole UpdateRole UpdateAssumeRolePolicy ListRolePolicies ListAttachedRolePolicies
		ListInstanceProfilesForRole TagRole UntagRole PutRolePermissionsBoundary DeleteRolePermissionsBoundary`),
	"aws:iam/rolePolicy:RolePolicy": On("iam", "PutRolePolicy GetRolePolicy DeleteRolePolicy"),
	"aws:iam/instanceProfile:InstanceProfile": On("iam", `
		CreateInstanceProfile DeleteInstanceProfile GetInstanceProfile AddRoleToInstanceProfile RemoveRoleFromInstanceProfile
		TagInstanceProfile UntagInstanceProfile`),
	"aws:cloudwatch/logGroup:LogGroup": On("logs", `
		CreateLogGroup DeleteLogGroup DescribeLogGroups PutRetentionPolicy DeleteRetentionPolicy ListTagsForResource
		TagResource UntagResource`),
	"aws:cloudwatch/metricAlarm:MetricAlarm": On("cloudwatch", `
		PutMetricAlarm DeleteAlarms DescribeAlarms ListTagsForResource TagResource UntagResource`),
	"aws:cloudwatch/dashboard:Dashboard": On("cloudwatch", "PutDashboard GetDashboard DeleteDashboards"),
	"aws:sns/topic:Topic": On("sns", `
		CreateTopic DeleteTopic GetTopicAttributes SetTopicAttributes ListTagsForResource TagResource UntagResource`),
	"aws:sns/topicPolicy:TopicPolicy": On("sns", "GetTopicAttributes SetTopicAttributes"),
	"aws:sns/topicSubscription:TopicSubscription": On("sns", `
		Subscribe Unsubscribe GetSubscriptionAttributes SetSubscriptionAttributes ListSubscriptionsByTopic`),
}

// Rollout lists the actions of a rollout, except those on the table. A test compares them with the rollout's clients.
var Rollout = slices.Concat(
	On("autoscaling", `DescribeAutoScalingGroups DescribeScalingActivities DescribeInstanceRefreshes
		StartInstanceRefresh RollbackInstanceRefresh CancelInstanceRefresh
		UpdateAutoScalingGroup SuspendProcesses ResumeProcesses`),
	On("elasticloadbalancing", "DescribeTargetHealth"),
	On("ec2", "DescribeLaunchTemplateVersions GetConsoleOutput"),
	On("cloudwatch", "DescribeAlarms"),
	On("s3", "GetObject")) // for HeadObject

// Preflight lists the actions of the preflight, except those on service-linked roles. Without one of them the preflight
// skips a check with a warning.
var Preflight = slices.Concat(
	On("servicequotas", "GetServiceQuota GetAWSDefaultServiceQuota"),
	On("ec2", `DescribeInstances DescribeAddresses DescribeVpcs DescribeInstanceTypeOfferings DescribeImages
		DescribeLaunchTemplates GetEbsDefaultKmsKeyId`),
	On("autoscaling", "DescribeAutoScalingGroups"),
	On("kms", "ListGrants GetKeyPolicy"))

// On returns the IAM actions of operations of a service, which are separated by white space.
func On(service, operations string) []string {
	actions := strings.Fields(operations)
	for i := range actions {
		actions[i] = service + ":" + actions[i]
	}
	return actions
}
