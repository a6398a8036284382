package main

import (
	"fmt"
	"slices"
	"strings"
)

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

// refusals returns the reasons why an `up` cannot change a deployed stack into what c describes. Zones are those that
// the `up` would use for a new stack: the pinned ones, or those that were looked up.
func (c Config) refusals(old deployed, zones []string) []string {
	var bad []string
	add := func(format string, args ...any) { bad = append(bad, fmt.Sprintf(format, args...)) }
	if old.VPCCIDR.IsValid() && c.VPCCIDR != old.VPCCIDR {
		add("imagery:vpcCidr %s: the network of this stack is %s, and AWS cannot change it: set it back, or create a "+
			"new stack", c.VPCCIDR, old.VPCCIDR)
	}
	c.refuseZones(add, old.Zones, zones)
	if old.Egress != "" && c.Egress != old.Egress && c.Rollout != "wait" {
		add("imagery:egress %s: running instances reach AWS by %s, which this `up` would delete while they use it, since "+
			"imagery:rollout is %s: set it to wait for this change", c.Egress, old.Egress, c.Rollout)
	}
	if old.Arch != "" && c.Arch != old.Arch && c.AMIID == "" && !c.AMIFollow {
		add("imagery:arch %s: the image that this stack keeps is for %s: set imagery:amiId or imagery:amiFollow "+
			"in the same `up`", c.Arch, old.Arch)
	}
	return bad
}

// refuseZones refuses every change of zones except an append. The index of a zone decides the address range of its
// subnet, so another zone at the same index would need a second subnet of the same range. An index of old without a
// zone is free: its subnet does not exist.
func (c Config) refuseZones(add func(string, ...any), old, zones []string) {
	if len(zones) < len(old) {
		add("imagery:azCount %d: instances run in %d zones, and a subnet with instances cannot be deleted: `pulumi config "+
			"set imagery:azCount %[2]d`", len(zones), len(old))
		return
	}
	free := func(i int) bool { return i >= len(old) || old[i] == "" }
	// suggested is a valid value of imagery:azs: the zones in use at their indexes, and others at the free ones.
	suggested := slices.Clone(zones)
	for i, z := range zones {
		if !free(i) {
			suggested[i] = old[i]
		} else if slices.Contains(old, z) {
			suggested[i] = "ZONE"
		}
	}
	set := "`pulumi config set imagery:azs " + strings.Join(suggested, ",") + "`"
	for i, z := range zones {
		switch {
		case !free(i) && len(c.AZs) > 0 && z != old[i]:
			add("imagery:azs %s: the subnets of this stack are in %s, in this order; zones can only be appended: %s",
				strings.Join(zones, ","), strings.Join(old, ","), set)
			return
		case free(i) && slices.Contains(old, z):
			add("imagery:azCount %d: the new zone would be %s, which already has subnets: %s, with another one for ZONE",
				len(zones), z, set)
		}
	}
}
