package main

import "slices"

// dependent lists the other actions that AWS checks when a deployer makes one of some calls. A rehearsal does not show
// them, since no call is made; source is the page that documents them.
type dependent struct {
	of, needs []string
	source    string
}

// Pages of AWS that several rows come from.
const (
	docs      = "https://docs.aws.amazon.com/"
	authority = docs + "service-authorization/latest/reference/"
	iamGuide  = docs + "IAM/latest/UserGuide/"
	scaling   = docs + "autoscaling/ec2/userguide/"
)

// launching lists the actions that AWS checks when a group gets a launch template with tags and a role.
var launching = slices.Concat(on("ec2", "RunInstances CreateTags"), on("iam", "PassRole"))

// dependentNeeds lists the dependent actions that a deployer needs. A test compares them with
// testdata/iam-reference.txt, AWS's own list, which is not complete.
var dependentNeeds = []dependent{
	{on("elasticloadbalancing", "CreateLoadBalancer"), slices.Concat(
		on("ec2", `DescribeAccountAttributes DescribeAddresses DescribeInternetGateways DescribeSecurityGroups
		DescribeSubnets DescribeVpcs`), on("iam", "CreateServiceLinkedRole")),
		docs + "elasticloadbalancing/latest/userguide/elb-api-permissions.html"},
	// AWS may not check this in accounts that had load balancers before October 2024.
	{on("elasticloadbalancing", "CreateLoadBalancer"), on("ec2", "GetSecurityGroupsForVpc"),
		"https://github.com/kubernetes-sigs/aws-load-balancer-controller/issues/3917"},
	{on("elasticloadbalancing", "CreateLoadBalancer CreateTargetGroup CreateListener"),
		on("elasticloadbalancing", "AddTags"), authority + "list_awselasticloadbalancingv2.html"},
	// The hosted zone that AWS creates for the private DNS name of the endpoint.
	{on("ec2", "CreateVpcEndpoint"), on("route53", "AssociateVPCWithHostedZone"), authority + "list_amazonec2.html"},
	{on("route53", "AssociateVPCWithHostedZone"), on("ec2", "DescribeVpcs"), authority + "list_amazonroute53.html"},
	{on("ec2", `CreateVpcEndpoint CreateVpc CreateSubnet CreateRouteTable CreateInternetGateway CreateNatGateway
		AllocateAddress CreateSecurityGroup AuthorizeSecurityGroupIngress AuthorizeSecurityGroupEgress CreateLaunchTemplate`),
		on("ec2", "CreateTags"), docs + "AWSEC2/latest/UserGuide/supported-iam-actions-tagging.html"},
	// A caller who gives a group a launch template needs the permission to launch such an instance, with tags and a role.
	{on("autoscaling", "CreateAutoScalingGroup UpdateAutoScalingGroup StartInstanceRefresh"), launching,
		scaling + "ec2-auto-scaling-launch-template-permissions.html"},
	{on("autoscaling", "CreateAutoScalingGroup"), on("iam", "CreateServiceLinkedRole"),
		scaling + "autoscaling-service-linked-role.html"},
	{on("autoscaling", "CreateAutoScalingGroup"), on("autoscaling", "CreateOrUpdateTags"),
		scaling + "ec2-auto-scaling-tagging.html"},
	{on("ec2", "RunInstances"), slices.Concat(on("ec2", "CreateTags"), on("iam", "PassRole")),
		authority + "list_amazonec2.html"},
	{on("iam", "AddRoleToInstanceProfile"), on("iam", "PassRole"),
		docs + "IAM/latest/APIReference/API_AddRoleToInstanceProfile.html"},
	{on("iam", "CreateRole"), on("iam", "TagRole"), iamGuide + "id_tags_roles.html"},
	{on("iam", "CreateRole"), on("iam", "PutRolePermissionsBoundary"), iamGuide + "access_policies_boundaries.html"},
	{on("iam", "CreateInstanceProfile"), on("iam", "TagInstanceProfile"), iamGuide + "id_tags_instance-profiles.html"},
	{on("sqs", "CreateQueue"), on("sqs", "TagQueue"),
		docs + "AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html"},
	{on("sns", "CreateTopic"), on("sns", "TagResource"), docs + "sns/latest/api/API_CreateTopic.html"},
	{on("dynamodb", "CreateTable"), on("dynamodb", "TagResource"),
		docs + "amazondynamodb/latest/APIReference/API_CreateTable.html"},
	{on("logs", "CreateLogGroup"), on("logs", "TagResource"),
		docs + "AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html"},
	{on("cloudwatch", "PutMetricAlarm"), on("cloudwatch", "TagResource"),
		docs + "AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html"},
	{on("s3", "CreateBucket"), on("s3", "TagResource"), docs + "AmazonS3/latest/API/API_CreateBucket.html"},
	{on("s3", "PutObject"), on("s3", "PutObjectTagging"), docs + "AmazonS3/latest/API/API_PutObject.html"},
}
