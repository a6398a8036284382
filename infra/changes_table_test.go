package main

// effect describes what an `up` that changes one key does to running instances.
type effect string

const (
	// replaced: the change creates a new launch template version, and the rollout of the same `up` replaces every
	// instance. Pulumi deletes resources that are no longer needed only after the program, and with it the rollout, has
	// ended without an error (deploymentExecutor.Execute in pulumi's pkg/resource/deploy).
	replaced effect = "replaced by the rollout"
	// inPlace: resources change in place. No instance is replaced or loses its connection to AWS.
	inPlace effect = "not replaced, resources change in place"
	// untouched: no resource changes.
	untouched effect = "not replaced, nothing changes"
	// refused: a stack with resources cannot make this change; the `up` ends before it changes anything.
	refused effect = "refused"
)

// change documents one row of the table "what a change does to a running stack".
type change struct {
	key    string
	effect effect
	note   string
}

// changes has a row for every configuration key, in the order of keys. TestChanges compares each row with the program.
var changes = []change{
	{"profile", replaced, "the changes of all keys whose defaults differ between the presets, together"},
	{"egress", replaced, "new endpoints or gateways are created first, old ones deleted after the last old instance is " +
		"terminated; refused with rollout `start` or `off`, where running instances would lose their connection to AWS. " +
		"The SDKs retry calls that are open when an endpoint or NAT gateway is deleted"},
	{"vpcCidr", refused, "AWS cannot change the range of a network; create a new stack"},
	{"azCount", inPlace, "raising it adds a zone and Auto Scaling moves instances there, new before old; " +
		"lowering it is refused, since a subnet with instances cannot be deleted"},
	{"azs", inPlace, "pin the zones in use, or append one and raise azCount in the same `up`; " +
		"removing, replacing or reordering zones is refused"},
	{"allowedCidrs", inPlace, "rules of new ranges are added before those of old ranges are removed; " +
		"both together must fit the quota of rules"},
	{"certificateArn", inPlace, "the HTTPS listener is created before HTTP redirects to it; " +
		"when the certificate is removed, the redirect is removed first and the HTTPS listener last"},
	{"accessLogs", inPlace, "the bucket of the logs is created, or deleted with its contents"},
	{"arch", refused, "instance types of one architecture cannot boot an image of the other; change serverType, " +
		"workerType and amiId in the same `up`, or set amiFollow, and the instances are replaced by the rollout"},
	{"serverType", replaced, "servers only"},
	{"workerType", replaced, "servers too: they reject photos that a worker has too little memory for"},
	{"serverMin", inPlace, "Auto Scaling launches missing instances"},
	{"serverMax", inPlace, "if more are running, Auto Scaling terminates the oldest after they have finished their work"},
	{"workerMin", inPlace, "Auto Scaling launches missing instances"},
	{"workerMax", inPlace, "if more are running, Auto Scaling terminates the oldest after they have finished their work"},
	{"requestsPerTarget", inPlace, "scaling uses the new target"},
	{"backlogPerWorker", inPlace, "scaling uses the new target"},
	{"amiId", replaced, "new instances use the pinned image"},
	{"amiFollow", replaced, "if today's image is newer than the one in use; switching it off changes nothing"},
	{"ssm", replaced, "the Session Manager agent is switched on or off at boot; open sessions end"},
	{"alarmEmail", inPlace, "AWS sends a confirmation link to a new address"},
	{"protectData", inPlace, "only deletion protection changes"},
	{"logRetentionDays", inPlace, "a shorter period deletes older lines"},
	{"uploadExpireDays", replaced, "the instances have this period in their settings"},
	{"bootRetrySeconds", replaced, "it is part of the boot script"},
	{"rollout", untouched, "it applies to the rollout of the same `up`; " +
		"a release that was deployed with `off` is then rolled out"},
	{"rolloutForce", untouched, "it applies to the rollout of the same `up`"},
	{"bakeSeconds", untouched, "it applies to the rollout of the same `up`"},
	{"smoke", untouched, "it applies to the rollout of the same `up`"},
	{"preflight", untouched, "it applies to the checks of the same `up`"},
	{"artifact", replaced, "if its SHA-256 differs"},
	{"accountId", untouched, "with credentials of another account the `up` is refused"},
	{"tags", replaced, "instances and their disks have the tags from their launch template"},
	{"permissionsBoundary", inPlace, "it applies to running instances at once: AWS denies calls that it does not allow"},
}
