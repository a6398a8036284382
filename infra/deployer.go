package main

import (
	"maps"
	"slices"
	"strings"

	"imagery/app/deploy/record"
	"imagery/infra/policy"
)

// deployerNeeds says, for each type of resource, what the person who runs `pulumi up` must be allowed to do: make,
// read, change, delete, and what the provider asks on the way. A test holds the types against those that stacks
// register, another the actions against those that rehearsals were seen to make.
var deployerNeeds = map[string][]string{
	// questions before the first resource
	"": slices.Concat(
		on("sts", "GetCallerIdentity"),
		on("ec2", "DescribeAvailabilityZones DescribeInstanceTypeOfferings"),
		on("ssm", "GetParameter")),
	"aws:ec2/vpc:Vpc": on("ec2", `CreateVpc DeleteVpc DescribeVpcs DescribeVpcAttribute ModifyVpcAttribute DescribeNetworkAcls
		CreateTags DeleteTags DescribeTags`),
	"aws:ec2/subnet:Subnet": on("ec2", "CreateSubnet DeleteSubnet DescribeSubnets ModifySubnetAttribute DescribeNetworkInterfaces"),
	"aws:ec2/internetGateway:InternetGateway": on("ec2", `CreateInternetGateway DeleteInternetGateway AttachInternetGateway DetachInternetGateway
		DescribeInternetGateways`),
	"aws:ec2/routeTable:RouteTable":                       on("ec2", "CreateRouteTable DeleteRouteTable DescribeRouteTables"),
	"aws:ec2/route:Route":                                 on("ec2", "CreateRoute DeleteRoute ReplaceRoute"),
	"aws:ec2/routeTableAssociation:RouteTableAssociation": on("ec2", "AssociateRouteTable DisassociateRouteTable ReplaceRouteTableAssociation"),
	"aws:ec2/eip:Eip":                                     on("ec2", "AllocateAddress ReleaseAddress DisassociateAddress DescribeAddresses DescribeAddressesAttribute"),
	"aws:ec2/natGateway:NatGateway":                       on("ec2", "CreateNatGateway DeleteNatGateway DescribeNatGateways"),
	"aws:ec2/vpcEndpoint:VpcEndpoint":                     on("ec2", "CreateVpcEndpoint DeleteVpcEndpoints DescribeVpcEndpoints ModifyVpcEndpoint DescribePrefixLists"),
	"aws:ec2/securityGroup:SecurityGroup": on("ec2", `CreateSecurityGroup DeleteSecurityGroup DescribeSecurityGroups RevokeSecurityGroupEgress
		RevokeSecurityGroupIngress`),
	"aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": on("ec2", `AuthorizeSecurityGroupIngress RevokeSecurityGroupIngress DescribeSecurityGroupRules
		ModifySecurityGroupRules`),
	"aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": on("ec2", `AuthorizeSecurityGroupEgress RevokeSecurityGroupEgress DescribeSecurityGroupRules
		ModifySecurityGroupRules`),
	"aws:ec2/launchTemplate:LaunchTemplate": on("ec2", `CreateLaunchTemplate CreateLaunchTemplateVersion ModifyLaunchTemplate DeleteLaunchTemplate
		DescribeLaunchTemplates DescribeLaunchTemplateVersions DescribeInstanceTypes`),
	"aws:autoscaling/group:Group": on("autoscaling", `CreateAutoScalingGroup UpdateAutoScalingGroup
		DeleteAutoScalingGroup DescribeAutoScalingGroups
		DescribeScalingActivities DescribeWarmPool CreateOrUpdateTags DeleteTags EnableMetricsCollection
		DisableMetricsCollection SetInstanceProtection AttachLoadBalancerTargetGroups
		DetachLoadBalancerTargetGroups`),
	"aws:autoscaling/lifecycleHook:LifecycleHook": on("autoscaling", "PutLifecycleHook DescribeLifecycleHooks DeleteLifecycleHook"),
	"aws:autoscaling/policy:Policy":               on("autoscaling", "PutScalingPolicy DescribePolicies DeletePolicy"),
	"aws:lb/loadBalancer:LoadBalancer": on("elasticloadbalancing", `CreateLoadBalancer DeleteLoadBalancer
		DescribeLoadBalancers
		DescribeLoadBalancerAttributes
		ModifyLoadBalancerAttributes DescribeCapacityReservation SetSecurityGroups SetSubnets AddTags
		RemoveTags DescribeTags`),
	"aws:lb/targetGroup:TargetGroup": on("elasticloadbalancing", `CreateTargetGroup DeleteTargetGroup DescribeTargetGroups ModifyTargetGroup
		DescribeTargetGroupAttributes ModifyTargetGroupAttributes`),
	"aws:lb/listener:Listener": on("elasticloadbalancing", `CreateListener DeleteListener DescribeListeners DescribeListenerAttributes ModifyListener
		ModifyListenerAttributes DescribeListenerCertificates`),
	"aws:s3/bucketV2:BucketV2": on("s3", `CreateBucket DeleteBucket ListBucket ListBucketVersions GetBucketAcl GetBucketCORS
		GetBucketWebsite GetBucketVersioning GetAccelerateConfiguration GetBucketRequestPayment
		GetBucketLogging GetReplicationConfiguration GetBucketObjectLockConfiguration GetBucketTagging
		PutBucketTagging GetBucketLocation ListTagsForResource TagResource UntagResource DeleteObject
		DeleteObjectVersion`),
	"aws:s3/bucketOwnershipControls:BucketOwnershipControls":                                     on("s3", "GetBucketOwnershipControls PutBucketOwnershipControls"),
	"aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock":                                     on("s3", "GetBucketPublicAccessBlock PutBucketPublicAccessBlock"),
	"aws:s3/bucketPolicy:BucketPolicy":                                                           on("s3", "GetBucketPolicy PutBucketPolicy DeleteBucketPolicy"),
	"aws:s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2": on("s3", "GetEncryptionConfiguration PutEncryptionConfiguration"),
	"aws:s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2":                       on("s3", "GetLifecycleConfiguration PutLifecycleConfiguration"),
	"aws:s3/bucketObjectv2:BucketObjectv2":                                                       on("s3", "PutObject GetObject GetObjectTagging PutObjectTagging AbortMultipartUpload"),
	"aws:dynamodb/table:Table": on("dynamodb", `CreateTable DeleteTable DescribeTable UpdateTable DescribeContinuousBackups
		UpdateContinuousBackups DescribeTimeToLive UpdateTimeToLive ListTagsOfResource TagResource
		UntagResource`),
	"aws:sqs/queue:Queue": on("sqs", `CreateQueue DeleteQueue GetQueueAttributes SetQueueAttributes GetQueueUrl ListQueueTags TagQueue
		UntagQueue`),
	"aws:sqs/redriveAllowPolicy:RedriveAllowPolicy": on("sqs", "GetQueueAttributes SetQueueAttributes"),
	"aws:iam/role:Role": on("iam", `CreateRole DeleteRole GetRole UpdateRole UpdateAssumeRolePolicy ListRolePolicies
		ListAttachedRolePolicies ListInstanceProfilesForRole TagRole UntagRole PutRolePermissionsBoundary
		DeleteRolePermissionsBoundary`),
	"aws:iam/rolePolicy:RolePolicy": on("iam", "PutRolePolicy GetRolePolicy DeleteRolePolicy"),
	"aws:iam/instanceProfile:InstanceProfile": on("iam", `CreateInstanceProfile DeleteInstanceProfile GetInstanceProfile AddRoleToInstanceProfile
		RemoveRoleFromInstanceProfile TagInstanceProfile UntagInstanceProfile`),
	"aws:cloudwatch/logGroup:LogGroup": on("logs", `CreateLogGroup DeleteLogGroup DescribeLogGroups PutRetentionPolicy DeleteRetentionPolicy
		ListTagsForResource TagResource UntagResource`),
	"aws:cloudwatch/metricAlarm:MetricAlarm": on("cloudwatch", "PutMetricAlarm DeleteAlarms DescribeAlarms ListTagsForResource TagResource UntagResource"),
	"aws:cloudwatch/dashboard:Dashboard":     on("cloudwatch", "PutDashboard GetDashboard DeleteDashboards"),
	"aws:sns/topic:Topic": on("sns", `CreateTopic DeleteTopic GetTopicAttributes SetTopicAttributes ListTagsForResource TagResource
		UntagResource`),
	"aws:sns/topicPolicy:TopicPolicy": on("sns", "GetTopicAttributes SetTopicAttributes"),
	"aws:sns/topicSubscription:TopicSubscription": on("sns", `Subscribe Unsubscribe GetSubscriptionAttributes SetSubscriptionAttributes
		ListSubscriptionsByTopic`),
}

// rolloutNeeds are the calls of a rollout beside those above; a test holds them against the clients that it has. Items
// of the table are apart, see rolloutItem.
var rolloutNeeds = slices.Concat(
	on("autoscaling", `DescribeAutoScalingGroups DescribeScalingActivities DescribeInstanceRefreshes StartInstanceRefresh RollbackInstanceRefresh
		CancelInstanceRefresh UpdateAutoScalingGroup SuspendProcesses ResumeProcesses`),
	on("elasticloadbalancing", "DescribeTargetHealth"),
	on("ec2", "DescribeLaunchTemplateVersions GetConsoleOutput"),
	on("cloudwatch", "DescribeAlarms"),
	on("s3", "GetObject")) // for a HEAD

// preflightNeeds are the calls of the checks before the first resource. Without one of them its check is skipped with
// a warning. Those of service-linked roles are apart, see linkedRoles.
var preflightNeeds = slices.Concat(
	on("servicequotas", "GetServiceQuota GetAWSDefaultServiceQuota"),
	on("ec2", `DescribeInstances DescribeAddresses DescribeVpcs DescribeInstanceTypeOfferings DescribeImages
		DescribeLaunchTemplates GetEbsDefaultKmsKeyId`),
	on("autoscaling", "DescribeAutoScalingGroups"),
	on("kms", "ListGrants GetKeyPolicy"))

// rolloutItem lets deployers read and write the release record, but no image.
var rolloutItem = policy.Statement{Sid: "RECORD", Effect: policy.Allow, Action: on("dynamodb", "GetItem PutItem"), Resource: scopes["dynamodb"],
	Condition: policy.Conditions{"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": {record.ID}}}}

// linkedRoles limits the service-linked roles that AWS makes with the caller's rights, for the first Auto Scaling group
// and the first load balancer of an account, to those of these two services; and lets the preflight see whether they
// exist.
func linkedRoles() []policy.Statement {
	roles := []string{"arn:aws:iam::*:role/aws-service-role/*"}
	return []policy.Statement{
		{Sid: "LINKEDROLES", Effect: policy.Allow, Action: on("iam", "CreateServiceLinkedRole"), Resource: roles,
			Condition: policy.Conditions{"StringEquals": {"iam:AWSServiceName": {
				"autoscaling.amazonaws.com", "elasticloadbalancing.amazonaws.com"}}}},
		{Sid: "SEELINKEDROLES", Effect: policy.Allow, Action: on("iam", "GetRole"), Resource: roles},
	}
}

// passRole lets the roles of instances be given to EC2 and to no other service, which could do with them what no
// instance may.
func passRole() policy.Statement {
	return policy.Statement{Sid: "PASSROLE", Effect: policy.Allow, Action: on("iam", "PassRole"),
		Resource:  []string{"arn:aws:iam::*:role/imagery-*"},
		Condition: policy.Conditions{"StringEquals": {"iam:PassedToService": {"ec2.amazonaws.com"}}}}
}

// on names operations of a service as IAM does.
func on(service, operations string) []string {
	var actions []string
	for _, o := range strings.Fields(operations) {
		actions = append(actions, service+":"+o)
	}
	return actions
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
var everywhere = slices.Concat(on("logs", "DescribeLogGroups"),
	on("sns", "Unsubscribe GetSubscriptionAttributes SetSubscriptionAttributes"))

// apart are the actions that have a statement of their own.
var apart = []string{"iam:PassRole", "iam:CreateServiceLinkedRole"}

// policyLimit is the most characters of a managed policy of IAM; white space does not count.
const policyLimit = 6144

// policyOptions select the variant of the deployer policies.
type policyOptions struct {
	// Boundary is the ARN of the only permissions boundary with which roles may be made or given rights; empty: none
	// is asked for.
	Boundary string
}

// wantedActions returns every action that a deployer needs, except those of rolloutItem.
func wantedActions() []string {
	var all []string
	for _, actions := range deployerNeeds {
		all = append(all, actions...)
	}
	for _, d := range dependentNeeds {
		all = append(all, d.needs...)
	}
	all = slices.Concat(all, rolloutNeeds, preflightNeeds)
	slices.Sort(all)
	return slices.Compact(all)
}

// deployerPolicies renders the two policies of a deployer: one of the actions that AWS cannot limit before the things
// exist, one of those that it can. IAM would not take both in one.
func deployerPolicies(o policyOptions) (unscoped, scoped string) {
	by := map[string][]string{}
	for _, a := range wantedActions() {
		service, _, _ := strings.Cut(a, ":")
		if slices.Contains(apart, a) || o.Boundary != "" && slices.Contains(boundedActions, a) ||
			o.Boundary != "" && a == unbinding {
			continue
		}
		if slices.Contains(everywhere, a) || scopes[service] == nil {
			service = ""
		}
		by[service] = append(by[service], a)
	}
	limited := append([]policy.Statement{rolloutItem, passRole()}, linkedRoles()...)
	if o.Boundary != "" {
		limited = append(limited, bounded(o.Boundary))
	}
	for _, service := range slices.Sorted(maps.Keys(by)) {
		if service != "" {
			limited = append(limited, policy.Statement{Sid: strings.ToUpper(service), Effect: policy.Allow, Action: by[service], Resource: scopes[service]})
		}
	}
	return policy.JSON(policy.Statement{Effect: policy.Allow, Action: by[""], Resource: []string{"*"}}), policy.JSON(limited...)
}

// boundedActions are those that give a role rights, and for which IAM compares its boundary.
var boundedActions = on("iam", "CreateRole PutRolePolicy PutRolePermissionsBoundary")

// unbinding is not granted to deployers that may make only bounded roles.
const unbinding = "iam:DeleteRolePermissionsBoundary"

// bounded lets a deployer make roles, and give them rights, only with a permissions boundary: such a role can do no
// more than the boundary allows, whatever its policies say.
func bounded(boundary string) policy.Statement {
	return policy.Statement{Sid: "BOUNDED", Effect: policy.Allow, Action: boundedActions,
		Resource:  []string{"arn:aws:iam::*:role/imagery-*"},
		Condition: policy.Conditions{"StringEquals": {"iam:PermissionsBoundary": {boundary}}}}
}
