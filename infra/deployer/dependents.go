package deployer

import "slices"

// Dependent lists the other actions that AWS checks when a deployer makes one of some calls. An emulator does not show
// them, since no call is made.
type Dependent struct {
	Of, Needs []string
	Source    string // page that documents them
	// When is the parameter of the call, in the spelling of its protocol, without which AWS does not check them; empty:
	// AWS always does.
	When string
}

// Pages of AWS that several rows come from.
const (
	docs      = "https://docs.aws.amazon.com/"
	authority = docs + "service-authorization/latest/reference/"
	iamGuide  = docs + "IAM/latest/UserGuide/"
	scaling   = docs + "autoscaling/ec2/userguide/"
)

// launching lists the actions that AWS checks when a group gets a launch template with tags and a role.
var launching = slices.Concat(On("ec2", "RunInstances CreateTags"), On("iam", "PassRole"))

// Dependents lists the dependent actions that a deployer needs. A test compares them with AWS's own list,
// authz.Reference, which is not complete.
var Dependents = []Dependent{
	{On("elasticloadbalancing", "CreateLoadBalancer"), slices.Concat(
		On("ec2", `DescribeAccountAttributes DescribeAddresses DescribeInternetGateways DescribeSecurityGroups
		DescribeSubnets DescribeVpcs`), On("iam", "CreateServiceLinkedRole")),
		docs + "elasticloadbalancing/latest/userguide/elb-api-permissions.html", ""},
	// AWS may not check this in accounts that had load balancers before October 2024.
	{On("elasticloadbalancing", "CreateLoadBalancer"), On("ec2", "GetSecurityGroupsForVpc"),
		"https://github.com/kubernetes-sigs/aws-load-balancer-controller/issues/3917", ""},
	{On("elasticloadbalancing", "CreateLoadBalancer CreateTargetGroup CreateListener"),
		On("elasticloadbalancing", "AddTags"), authority + "list_awselasticloadbalancingv2.html", "Tags"},
	// The hosted zone that AWS creates for the private DNS name of the endpoint.
	{On("ec2", "CreateVpcEndpoint"), On("route53", "AssociateVPCWithHostedZone"), authority + "list_amazonec2.html",
		"PrivateDnsEnabled"},
	{On("route53", "AssociateVPCWithHostedZone"), On("ec2", "DescribeVpcs"), authority + "list_amazonroute53.html", ""},
	{On("ec2", `CreateVpcEndpoint CreateVpc CreateSubnet CreateRouteTable CreateInternetGateway CreateNatGateway
		AllocateAddress CreateSecurityGroup AuthorizeSecurityGroupIngress AuthorizeSecurityGroupEgress CreateLaunchTemplate`),
		On("ec2", "CreateTags"), docs + "AWSEC2/latest/UserGuide/supported-iam-actions-tagging.html", "TagSpecification"},
	// A caller who gives a group a launch template needs the permission to launch such an instance, with tags and a role.
	{On("autoscaling", "CreateAutoScalingGroup UpdateAutoScalingGroup"), launching,
		scaling + "ec2-auto-scaling-launch-template-permissions.html", "LaunchTemplate"},
	{On("autoscaling", "StartInstanceRefresh"), launching,
		scaling + "ec2-auto-scaling-launch-template-permissions.html", "DesiredConfiguration.LaunchTemplate"},
	{On("autoscaling", "CreateAutoScalingGroup"), On("iam", "CreateServiceLinkedRole"),
		scaling + "autoscaling-service-linked-role.html", ""},
	{On("autoscaling", "CreateAutoScalingGroup"), On("autoscaling", "CreateOrUpdateTags"),
		scaling + "ec2-auto-scaling-tagging.html", "Tags"},
	{On("ec2", "RunInstances"), slices.Concat(On("ec2", "CreateTags"), On("iam", "PassRole")),
		authority + "list_amazonec2.html", ""},
	{On("iam", "AddRoleToInstanceProfile"), On("iam", "PassRole"),
		docs + "IAM/latest/APIReference/API_AddRoleToInstanceProfile.html", ""},
	{On("iam", "CreateRole"), On("iam", "TagRole"), iamGuide + "id_tags_roles.html", "Tags"},
	{On("iam", "CreateRole"), On("iam", "PutRolePermissionsBoundary"), iamGuide + "access_policies_boundaries.html",
		"PermissionsBoundary"},
	{On("iam", "CreateInstanceProfile"), On("iam", "TagInstanceProfile"),
		iamGuide + "id_tags_instance-profiles.html", "Tags"},
	{On("sqs", "CreateQueue"), On("sqs", "TagQueue"),
		docs + "AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html", "tags"},
	{On("sns", "CreateTopic"), On("sns", "TagResource"), docs + "sns/latest/api/API_CreateTopic.html", "Tags"},
	{On("dynamodb", "CreateTable"), On("dynamodb", "TagResource"),
		docs + "amazondynamodb/latest/APIReference/API_CreateTable.html", "Tags"},
	{On("logs", "CreateLogGroup"), On("logs", "TagResource"),
		docs + "AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html", "tags"},
	{On("cloudwatch", "PutMetricAlarm"), On("cloudwatch", "TagResource"),
		docs + "AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html", "Tags"},
	{On("s3", "CreateBucket"), On("s3", "TagResource"), docs + "AmazonS3/latest/API/API_CreateBucket.html", "Tags"},
	{On("s3", "PutObject"), On("s3", "PutObjectTagging"), docs + "AmazonS3/latest/API/API_PutObject.html",
		"X-Amz-Tagging"},
}
