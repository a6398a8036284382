package rollout

import (
	"fmt"
	"regexp"
	"time"
)

// cause says why a launch failed. Only causeRelease counts against the release: for every other cause the rollout waits
// while Auto Scaling retries, and after the timeout ends without a verdict.
type cause int

const (
	// causeRelease: an instance was there and failed its launch hook, its boot or its health checks.
	causeRelease cause = iota
	// causeAccount: the account or the stack's configuration must be changed by a person. Some of these pass by
	// themselves within minutes: the validation of a new account, a new service-linked role.
	causeAccount
	// causeZone: the Availability Zone has no capacity or does not offer the type. Auto Scaling tries the other zones.
	causeZone
	// causeTransient: throttling, an internal error, or a person who ended the instance.
	causeTransient
	// causeUnknown: no instance was launched, and the message is not in the table.
	causeUnknown
)

func (c cause) String() string {
	return [...]string{"release", "account", "zone", "transient", "unknown"}[c]
}

// timeouts bound how long a group may be without a successful launch before a rollout ends without a verdict. "While
// normally resolved within minutes" is what AWS says of the validation of a new account; a service-linked role is
// usable after about a minute. All are shorter than healthyTimeout, after which existing instances would be judged.
var timeouts = map[cause]time.Duration{
	causeAccount:   10 * time.Minute,
	causeZone:      15 * time.Minute,
	causeTransient: 15 * time.Minute,
	causeUnknown:   15 * time.Minute,
}

// launchMessage is a kind of StatusMessage of a scaling activity that failed.
type launchMessage struct {
	name    string
	form    *regexp.Regexp
	cause   cause
	advice  string // tells the reader of the error what to do, a sentence
	example string // as AWS writes it
	source  string
}

// Pages of AWS's documentation that launchMessages refers to.
const (
	docsLaunch   = "https://docs.aws.amazon.com/autoscaling/ec2/userguide/ts-as-instancelaunchfailure.html"
	docsCapacity = "https://docs.aws.amazon.com/autoscaling/ec2/userguide/ts-as-capacity.html"
	docsErrors   = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html"
	docsState    = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html"
	docsHooks    = "https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html"
	docsKeys     = "https://docs.aws.amazon.com/autoscaling/ec2/userguide/key-policy-requirements-EBS-encryption.html"
)

const unhealthy = "Instance became unhealthy while waiting for instance to be in InService state. Termination Reason: "

// launchMessages is searched from top to bottom. classify returns causeRelease for an unknown message if an instance
// existed, else causeUnknown.
var launchMessages = []launchMessage{
	// Above the quotas: "RequestLimitExceeded" contains "LimitExceeded".
	{"throttled", form(`[Rr]equest limit exceeded|Rate exceeded|RequestLimitExceeded|Throttling`), causeTransient,
		"AWS throttles the account's API calls: try again later", "Request limit exceeded. Launching EC2 instance failed.",
		docsErrors},
	{"vcpu quota", form(`vCPU (capacity|limit)|VcpuLimitExceeded`), causeAccount,
		"Raise the quota \"Running On-Demand Standard instances\" (aws service-quotas request-service-quota-increase " +
			"--service-code ec2 --quota-code L-1216C47A --desired-value N), or use fewer or smaller instances",
		"You have requested more vCPU capacity than your current vCPU limit of 5 allows for the instance bucket that the " +
			"specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an " +
			"adjustment to this limit. Launching EC2 instance failed.",
		"https://github.com/kubernetes/kops/pull/15778"},
	{"instance quota", form(`current instance limit|InstanceLimitExceeded`), causeAccount,
		"Raise the instance quota of the account (Service Quotas, Amazon EC2), or use another instance type",
		"You have requested more instances (2) than your current instance limit of 1 allows for the specified instance " +
			"type. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit. " +
			"Launching EC2 instance failed.",
		"https://github.com/widdix/aws-s3-virusscan/issues/55"},
	{"spot quota", form(`[Ss]pot instance count exceeded|MaxSpotInstanceCountExceeded`), causeAccount,
		"Raise the quota \"All Standard Spot Instance Requests\" (L-34B43A08)",
		"Max spot instance count exceeded. Launching EC2 instance failed.",
		"https://github.com/aws-deepracer-community/deepracer-on-the-spot/issues/55"},
	{"other quota",
		form(`reached your quota|LimitExceeded|limit (on|for) the number of|[Mm]aximum number of .* (reached|exceeded)`),
		causeAccount, "Raise the quota that the message names (Service Quotas), or delete what is not needed",
		unhealthy + "Client.VolumeLimitExceeded: Volume limit exceeded", docsState},
	{"account in validation", form(`PendingVerification|being (validated|verified)|pending verification`), causeAccount,
		"AWS is validating the account for this region; wait for its e-mail (at most 4 hours, else open a support case)",
		"Your request for accessing resources in this region is being validated, and you will not be able to launch " +
			"additional resources in this region until the validation is complete. We will notify you by email once your " +
			"request has been validated. While normally resolved within minutes, please allow up to 4 hours for this " +
			"process to complete. Launching EC2 instance failed.",
		docsErrors},
	{"account blocked", form(`account is currently blocked`), causeAccount,
		"AWS has blocked the account; open a case at https://console.aws.amazon.com/support",
		"This account is currently blocked and not recognized as a valid account. Launching EC2 instance failed.",
		docsErrors},
	{"not subscribed", form(`OptInRequired|not (signed up|subscribed)|accept terms and subscribe`), causeAccount,
		"Activate the service or the image in this account, or unset imagery:amiId",
		"You are not subscribed to this service. Please go to http://aws.amazon.com to subscribe. Launching EC2 " +
			"instance failed.",
		docsErrors},
	{"free plan", form(`not eligible for Free Tier`), causeAccount,
		"The account is on AWS's free plan: choose an eligible type (aws ec2 describe-instance-types --filters " +
			"Name=free-tier-eligible,Values=true) with imagery:serverType and workerType, or upgrade the plan",
		"Could not launch On-Demand Instances. InvalidParameterCombination - The specified instance type is not eligible " +
			"for Free Tier. For a list of Free Tier instance types, run 'describe-instance-types' with the filter " +
			"'free-tier-eligible=true'. Launching EC2 instance failed.",
		"https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/free-tier-plans.html"},
	{"service-linked role", form(`AWSServiceRoleFor`), causeAccount,
		"The service-linked role of Auto Scaling is missing or new: aws iam create-service-linked-role " +
			"--aws-service-name autoscaling.amazonaws.com, and try again after a minute",
		"Access denied when attempting to assume role arn:aws:iam::111122223333:role/aws-service-role/" +
			"autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling. Validating load balancer configuration failed.",
		"https://github.com/pelias-deprecated/kubernetes/issues/32"},
	{"service role not yet visible", form(`Authentication Failure`), causeAccount,
		"The service-linked role of Auto Scaling is new; try again after a minute",
		"Authentication Failure. Launching EC2 instance failed.",
		"https://docs.aws.amazon.com/autoscaling/ec2/userguide/autoscaling-service-linked-role.html"},
	{"load balancer", form(`Validating load balancer configuration failed`), causeAccount,
		"The target group of the servers cannot be used; compare it with `pulumi preview --refresh`",
		"One or more target groups not found. Validating load balancer configuration failed.",
		"https://docs.aws.amazon.com/autoscaling/ec2/userguide/ts-as-loadbalancer.html"},
	{"not authorized", form(`not authorized to perform|UnauthorizedOperation`), causeAccount,
		"A policy of the organization or the service-linked role refuses the launch; decode the message with aws sts " +
			"decode-authorization-message",
		"You are not authorized to perform this operation. Encoded authorization failure message: 4GIOHlTkIaWHQD0Q. " +
			"Launching EC2 instance failed.",
		docsErrors},
	{"disk key", form(`Client\.InternalError|KMSKey|KMS key`), causeAccount,
		"The account encrypts disks with a key that Auto Scaling may not use: grant it to AWSServiceRoleForAutoScaling, " +
			"see " + docsKeys + ", or make alias/aws/ebs the default key",
		unhealthy + "Client.InternalError: Client error on launch", docsLaunch + "#ts-as-instancelaunchfailure-12"},
	{"image", form(`image id .* does not exist|InvalidAMIID|Client\.InvalidSnapshot`), causeAccount,
		"The machine image is gone: pin another one with imagery:amiId, or set imagery:amiFollow",
		"The image id '[ami-02c7e84c65fcfecee]' does not exist. Launching EC2 instance failed.", docsLaunch},
	{"configuration",
		form(`does not exist\.|does not exist$|Invalid IAM Instance Profile|not match the architecture|InvalidParameter`),
		causeAccount, "Something that the launch template names is gone or does not fit; see `pulumi preview --refresh`",
		"The security group 'sg-0123456789abcdef0' does not exist. Launching EC2 instance failed.", docsLaunch},

	{"no capacity",
		form(`do(es)? not have (sufficient|enough) .*capacity|InsufficientInstanceCapacity|[Ii]nsufficient capacity`),
		causeZone, "AWS has no capacity for the type there: wait, or choose another type",
		"We currently do not have sufficient t4g.small capacity in the Availability Zone you requested (us-east-1c). Our " +
			"system will be working on provisioning additional capacity. You can currently get t4g.small capacity by not " +
			"specifying an Availability Zone in your request or choosing us-east-1a. Launching EC2 instance failed.",
		docsCapacity},
	{"no spot capacity", form(`no Spot capacity`), causeZone, "AWS has no Spot capacity for the types: wait, or add types",
		"There is no Spot capacity available that matches your request. Launching EC2 instance failed.", docsCapacity},
	{"type not offered", form(`not supported in your requested Availability Zone`), causeZone,
		"The zone does not offer the type: choose another type, or zones with imagery:azs in a new stack",
		"Your requested instance type (t4g.micro) is not supported in your requested Availability Zone (us-east-1e). " +
			"Please retry your request by not specifying an Availability Zone or choosing us-east-1a. Launching EC2 " +
			"instance failed.",
		docsLaunch},
	{"unsupported", form(`requested configuration is currently not supported|Unsupported`), causeZone,
		"The zone or the account cannot run the type: choose another one with imagery:serverType and workerType",
		"The requested configuration is currently not supported. Please check the documentation for supported " +
			"configurations. Launching EC2 instance failed.",
		docsLaunch},
	{"zone closed", form(`Availability Zone is (no longer|not) supported`), causeZone,
		"The zone takes no new instances of this account: use others with imagery:azs in a new stack",
		"The requested Availability Zone is no longer supported. Please retry your request by not specifying an " +
			"Availability Zone or choosing us-east-1a. Launching EC2 instance failed.",
		docsLaunch},
	{"subnet full", form(`not enough free addresses|InsufficientFreeAddressesInSubnet`), causeZone,
		"The subnet has no free address: something else uses the stack's network",
		"There are not enough free addresses in subnet 'subnet-0123456789abcdef0' to satisfy the requested number of " +
			"instances. Launching EC2 instance failed.",
		docsErrors},

	{"internal error", form(`Server\.InternalError|[Ii]nternal [Ee]rror|InternalFailure`), causeTransient,
		"AWS had an internal error: try again, and look at https://health.aws.amazon.com",
		unhealthy + "Server.InternalError: Internal error on launch", docsState},
	{"unavailable", form(`[Ss]ervice is (temporarily )?unavailable|ServiceUnavailable|try again (shortly|later)`),
		causeTransient, "EC2 is unavailable: try again, and look at https://health.aws.amazon.com",
		"The service is unavailable. Please try again shortly. Launching EC2 instance failed.", docsErrors},
	{"taken by AWS", form(`Server\.(Spot|Scheduled)`), causeTransient, "AWS took the instance back: try again",
		unhealthy + "Server.SpotInstanceTermination: Spot instance termination", docsState},
	{"ended by a person", form(`Client\.(UserInitiatedShutdown|InstanceTerminated|UserInitiatedHibernate)`),
		causeTransient,
		"A person or a program ended the instance: see the calls of TerminateInstances in CloudTrail",
		unhealthy + "Client.UserInitiatedShutdown: User initiated shutdown", docsState},

	{"hook timed out", form(`Heartbeat Timeout`), causeRelease, "",
		"Instance failed to complete user's Lifecycle Action: Lifecycle Action with token " +
			"a054c99b-cda0-4210-b3c5-4774e971c307 was abandoned: Heartbeat Timeout",
		docsHooks},
	{"hook abandoned", form(`ABANDON|was abandoned`), causeRelease, "",
		"Instance failed to complete user's Lifecycle Action: Lifecycle Action with token " +
			"a054c99b-cda0-4210-b3c5-4774e971c307 was abandoned: Lifecycle Action Completed with ABANDON Result",
		docsHooks},
	{"powered off", form(`Client\.InstanceInitiatedShutdown`), causeRelease, "",
		unhealthy + "Client.InstanceInitiatedShutdown: Instance initiated shutdown", docsState},
	{"unhealthy", form(`became unhealthy`), causeRelease, "",
		"Instance became unhealthy while waiting for instance to be in InService state.",
		"https://docs.aws.amazon.com/autoscaling/ec2/userguide/ts-as-healthchecks.html"},
}

func form(text string) *regexp.Regexp { return regexp.MustCompile(text) }

// classify returns the row of launchMessages for a launch that failed with message, or one without a name for a message
// that is in no row. Instance is empty if EC2 launched none.
func classify(instance, message string) launchMessage {
	for _, m := range launchMessages {
		if m.form.MatchString(message) {
			if m.cause == causeRelease && instance == "" {
				break
			}
			return m
		}
	}
	if instance != "" {
		return launchMessage{cause: causeRelease}
	}
	return launchMessage{cause: causeUnknown, advice: "See the scaling activities of the group, and " + docsLaunch}
}

// blockedLaunch is a group's newest failed launch whose cause is not the release, if no launch has succeeded since.
type blockedLaunch struct {
	cause           cause
	message, advice string
	since           time.Time // of the first read that found the group blocked
}

func (b *blockedLaunch) String() string { return fmt.Sprintf("%s. %s", b.message, b.advice) }
