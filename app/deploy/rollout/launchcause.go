package rollout

import (
	"fmt"
	"regexp"
	"time"
)

// cause says why a launch failed. Only causeRelease counts against the release: for every other cause the rollout waits
// while Auto Scaling retries, and after the timeout ends without a verdict.
type cause string

const (
	// causeRelease: an instance was there and failed its launch hook, its boot or its health checks.
	causeRelease cause = "release"
	// causeAccount: the account or the stack's configuration must be changed by a person. Some of these pass by
	// themselves within minutes: the validation of a new account, a new service-linked role.
	causeAccount cause = "account"
	// causeZone: the Availability Zone has no capacity or does not offer the type. Auto Scaling tries the other zones.
	causeZone cause = "zone"
	// causeTransient: throttling, an internal error, or a person who ended the instance.
	causeTransient cause = "transient"
	// causeUnknown: no instance was launched, and the message is not in the table.
	causeUnknown cause = "unknown"
)

// timeout bounds how long a group may be without a successful launch before a rollout ends without a verdict. "While
// normally resolved within minutes" is what AWS says of the validation of a new account; a service-linked role is
// usable after about a minute. Both are shorter than healthyTimeout, after which existing instances would be judged.
func (c cause) timeout() time.Duration {
	if c == causeAccount {
		return 10 * time.Minute
	}
	return 15 * time.Minute
}

// launchMessage is a kind of StatusMessage of a scaling activity that failed.
type launchMessage struct {
	name   string
	form   *regexp.Regexp
	cause  cause
	advice string // tells the reader of the error what to do, a sentence
}

// Pages of AWS's documentation.
const (
	docsLaunch = "https://docs.aws.amazon.com/autoscaling/ec2/userguide/ts-as-instancelaunchfailure.html"
	docsKeys   = "https://docs.aws.amazon.com/autoscaling/ec2/userguide/key-policy-requirements-EBS-encryption.html"
)

// launchMessages is searched from top to bottom. The test has an example of each, and where it was found.
var launchMessages = []launchMessage{
	// Above the quotas: "RequestLimitExceeded" contains "LimitExceeded".
	{"throttled", form(`[Rr]equest limit exceeded|Rate exceeded|RequestLimitExceeded|Throttling`), causeTransient,
		"AWS throttles the account's API calls: try again later"},
	{"vcpu quota", form(`vCPU (capacity|limit)|VcpuLimitExceeded`), causeAccount,
		"Raise the quota \"Running On-Demand Standard instances\" (aws service-quotas request-service-quota-increase " +
			"--service-code ec2 --quota-code L-1216C47A --desired-value N), or use fewer or smaller instances"},
	{"instance quota", form(`current instance limit|InstanceLimitExceeded`), causeAccount,
		"Raise the instance quota of the account (Service Quotas, Amazon EC2), or use another instance type"},
	{"spot quota", form(`[Ss]pot instance count exceeded|MaxSpotInstanceCountExceeded`), causeAccount,
		"Raise the quota \"All Standard Spot Instance Requests\" (L-34B43A08)"},
	{"other quota",
		form(`reached your quota|LimitExceeded|limit (on|for) the number of|[Mm]aximum number of .* (reached|exceeded)`),
		causeAccount, "Raise the quota that the message names (Service Quotas), or delete what is not needed"},
	{"account in validation", form(`PendingVerification|being (validated|verified)|pending verification`), causeAccount,
		"AWS is validating the account for this region; wait for its e-mail (at most 4 hours, else open a support case)"},
	{"account blocked", form(`account is currently blocked`), causeAccount,
		"AWS has blocked the account; open a case at https://console.aws.amazon.com/support"},
	{"not subscribed", form(`OptInRequired|not (signed up|subscribed)|accept terms and subscribe`), causeAccount,
		"Activate the service or the image in this account, or unset imagery:amiId"},
	{"free plan", form(`not eligible for Free Tier`), causeAccount,
		"The account is on AWS's free plan: choose an eligible type (aws ec2 describe-instance-types --filters " +
			"Name=free-tier-eligible,Values=true) with imagery:serverType and workerType, or upgrade the plan"},
	{"service-linked role", form(`AWSServiceRoleFor`), causeAccount,
		"The service-linked role of Auto Scaling is missing or new: aws iam create-service-linked-role " +
			"--aws-service-name autoscaling.amazonaws.com, and try again after a minute"},
	{"service role not yet visible", form(`Authentication Failure`), causeAccount,
		"The service-linked role of Auto Scaling is new; try again after a minute"},
	{"load balancer", form(`Validating load balancer configuration failed`), causeAccount,
		"The target group of the servers cannot be used; compare it with `pulumi preview --refresh`"},
	{"not authorized", form(`not authorized to perform|UnauthorizedOperation`), causeAccount,
		"A policy of the organization or the service-linked role refuses the launch; decode the message with aws sts " +
			"decode-authorization-message"},
	{"disk key", form(`Client\.InternalError|KMSKey|KMS key`), causeAccount,
		"The account encrypts disks with a key that Auto Scaling may not use: grant it to AWSServiceRoleForAutoScaling, " +
			"see " + docsKeys + ", or make alias/aws/ebs the default key"},
	{"image", form(`image id .* does not exist|InvalidAMIID|Client\.InvalidSnapshot`), causeAccount,
		"The machine image is gone: pin another one with imagery:amiId, or set imagery:amiFollow"},
	{"configuration",
		form(`does not exist\.|does not exist$|Invalid IAM Instance Profile|not match the architecture|InvalidParameter`),
		causeAccount, "Something that the launch template names is gone or does not fit; see `pulumi preview --refresh`"},
	{"no capacity",
		form(`do(es)? not have (sufficient|enough) .*capacity|InsufficientInstanceCapacity|[Ii]nsufficient capacity`),
		causeZone, "AWS has no capacity for the type there: wait, or choose another type"},
	{"no spot capacity", form(`no Spot capacity`), causeZone,
		"AWS has no Spot capacity for the types: wait, or add types"},
	{"type not offered", form(`not supported in your requested Availability Zone`), causeZone,
		"The zone does not offer the type: choose another type, or zones with imagery:azs in a new stack"},
	{"unsupported", form(`requested configuration is currently not supported|Unsupported`), causeZone,
		"The zone or the account cannot run the type: choose another one with imagery:serverType and workerType"},
	{"zone closed", form(`Availability Zone is (no longer|not) supported`), causeZone,
		"The zone takes no new instances of this account: use others with imagery:azs in a new stack"},
	{"subnet full", form(`not enough free addresses|InsufficientFreeAddressesInSubnet`), causeZone,
		"The subnet has no free address: something else uses the stack's network"},
	{"internal error", form(`Server\.InternalError|[Ii]nternal [Ee]rror|InternalFailure`), causeTransient,
		"AWS had an internal error: try again, and look at https://health.aws.amazon.com"},
	{"unavailable", form(`[Ss]ervice is (temporarily )?unavailable|ServiceUnavailable|try again (shortly|later)`),
		causeTransient, "EC2 is unavailable: try again, and look at https://health.aws.amazon.com"},
	{"taken by AWS", form(`Server\.(Spot|Scheduled)`), causeTransient, "AWS took the instance back: try again"},
	{"ended by a person", form(`Client\.(UserInitiatedShutdown|InstanceTerminated|UserInitiatedHibernate)`),
		causeTransient, "A person or a program ended the instance: see the calls of TerminateInstances in CloudTrail"},
}

func form(text string) *regexp.Regexp { return regexp.MustCompile(text) }

// classify returns the row of launchMessages for a launch that failed with message, or one without a name for a message
// that is in no row. Instance is empty if EC2 launched none.
func classify(instance, message string) launchMessage {
	for _, m := range launchMessages {
		if m.form.MatchString(message) {
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
