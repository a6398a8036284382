package rollout_test

// Pages of AWS's documentation that launchExamples refers to.
const (
	docsLaunch   = "https://docs.aws.amazon.com/autoscaling/ec2/userguide/ts-as-instancelaunchfailure.html"
	docsCapacity = "https://docs.aws.amazon.com/autoscaling/ec2/userguide/ts-as-capacity.html"
	docsErrors   = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html"
	docsState    = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html"
	docsHooks    = "https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html"
)

const diedEarly = "Instance became unhealthy while waiting for instance to be in InService state. Termination Reason: "

// launchExample is a StatusMessage of a scaling activity that failed, as AWS writes it.
type launchExample struct {
	name   string // of its row in launchMessages, if it has one
	text   string
	source string
}

// launchExamples has an example for each row of launchMessages, and of failures that the release causes.
var launchExamples = []launchExample{
	{"throttled", "Request limit exceeded. Launching EC2 instance failed.", docsErrors},
	{"vcpu quota",
		"You have requested more vCPU capacity than your current vCPU limit of 5 allows for the instance bucket that the " +
			"specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an " +
			"adjustment to this limit. Launching EC2 instance failed.", "https://github.com/kubernetes/kops/pull/15778"},
	{"instance quota",
		"You have requested more instances (2) than your current instance limit of 1 allows for the specified instance " +
			"type. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit. " +
			"Launching EC2 instance failed.", "https://github.com/widdix/aws-s3-virusscan/issues/55"},
	{"spot quota", "Max spot instance count exceeded. Launching EC2 instance failed.",
		"https://github.com/aws-deepracer-community/deepracer-on-the-spot/issues/55"},
	{"other quota", diedEarly + "Client.VolumeLimitExceeded: Volume limit exceeded", docsState},
	{"account in validation",
		"Your request for accessing resources in this region is being validated, and you will not be able to launch " +
			"additional resources in this region until the validation is complete. We will notify you by email once your " +
			"request has been validated. While normally resolved within minutes, please allow up to 4 hours for this " +
			"process to complete. Launching EC2 instance failed.", docsErrors},
	{"account blocked",
		"This account is currently blocked and not recognized as a valid account. Launching EC2 instance failed.",
		docsErrors},
	{"not subscribed",
		"You are not subscribed to this service. Please go to http://aws.amazon.com to subscribe. Launching EC2 " +
			"instance failed.", docsErrors},
	{"free plan",
		"Could not launch On-Demand Instances. InvalidParameterCombination - The specified instance type is not eligible " +
			"for Free Tier. For a list of Free Tier instance types, run 'describe-instance-types' with the filter " +
			"'free-tier-eligible=true'. Launching EC2 instance failed.",
		"https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/free-tier-plans.html"},
	{"service-linked role",
		"Access denied when attempting to assume role arn:aws:iam::111122223333:role/aws-service-role/" +
			"autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling. Validating load balancer configuration failed.",
		"https://github.com/pelias-deprecated/kubernetes/issues/32"},
	{"service role not yet visible", "Authentication Failure. Launching EC2 instance failed.",
		"https://docs.aws.amazon.com/autoscaling/ec2/userguide/autoscaling-service-linked-role.html"},
	{"load balancer", "One or more target groups not found. Validating load balancer configuration failed.",
		"https://docs.aws.amazon.com/autoscaling/ec2/userguide/ts-as-loadbalancer.html"},
	{"not authorized",
		"You are not authorized to perform this operation. Encoded authorization failure message: 4GIOHlTkIaWHQD0Q. " +
			"Launching EC2 instance failed.", docsErrors},
	{"disk key", diedEarly + "Client.InternalError: Client error on launch",
		docsLaunch + "#ts-as-instancelaunchfailure-12"},
	{"image", "The image id '[ami-02c7e84c65fcfecee]' does not exist. Launching EC2 instance failed.", docsLaunch},
	{"configuration", "The security group 'sg-0123456789abcdef0' does not exist. Launching EC2 instance failed.",
		docsLaunch},
	{"no capacity",
		"We currently do not have sufficient t4g.small capacity in the Availability Zone you requested (us-east-1c). Our " +
			"system will be working on provisioning additional capacity. You can currently get t4g.small capacity by not " +
			"specifying an Availability Zone in your request or choosing us-east-1a. Launching EC2 instance failed.",
		docsCapacity},
	{"no spot capacity", "There is no Spot capacity available that matches your request. Launching EC2 instance failed.",
		docsCapacity},
	{"type not offered",
		"Your requested instance type (t4g.micro) is not supported in your requested Availability Zone (us-east-1e). " +
			"Please retry your request by not specifying an Availability Zone or choosing us-east-1a. Launching EC2 " +
			"instance failed.", docsLaunch},
	{"unsupported",
		"The requested configuration is currently not supported. Please check the documentation for supported " +
			"configurations. Launching EC2 instance failed.", docsLaunch},
	{"zone closed",
		"The requested Availability Zone is no longer supported. Please retry your request by not specifying an " +
			"Availability Zone or choosing us-east-1a. Launching EC2 instance failed.", docsLaunch},
	{"subnet full",
		"There are not enough free addresses in subnet 'subnet-0123456789abcdef0' to satisfy the requested number of " +
			"instances. Launching EC2 instance failed.", docsErrors},
	{"internal error", diedEarly + "Server.InternalError: Internal error on launch", docsState},
	{"unavailable", "The service is unavailable. Please try again shortly. Launching EC2 instance failed.", docsErrors},
	{"taken by AWS", diedEarly + "Server.SpotInstanceTermination: Spot instance termination", docsState},
	{"ended by a person", diedEarly + "Client.UserInitiatedShutdown: User initiated shutdown", docsState},

	{"hook timed out", "Instance failed to complete user's Lifecycle Action: Lifecycle Action with token " +
		"a054c99b-cda0-4210-b3c5-4774e971c307 was abandoned: Heartbeat Timeout", docsHooks},
	{"hook abandoned", "Instance failed to complete user's Lifecycle Action: Lifecycle Action with token " +
		"a054c99b-cda0-4210-b3c5-4774e971c307 was abandoned: Lifecycle Action Completed with ABANDON Result", docsHooks},
	{"powered off", diedEarly + "Client.InstanceInitiatedShutdown: Instance initiated shutdown", docsState},
	{"unhealthy", "Instance became unhealthy while waiting for instance to be in InService state.",
		"https://docs.aws.amazon.com/autoscaling/ec2/userguide/ts-as-healthchecks.html"},
}
