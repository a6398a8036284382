package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"imagery/infra/network"
)

// effect names what an `up` that changes one key does to running instances.
type effect string

const (
	// replaced is a change that makes a new launch template version. The rollout replaces every instance during the
	// same `up`, and Pulumi deletes what is no longer needed only after the program, and with it the rollout, has ended
	// without an error (deploymentExecutor.Execute in pulumi's pkg/resource/deploy).
	replaced effect = "replaced by the rollout"
	// inPlace is a change of what surrounds the instances. None of them is replaced or loses its way out.
	inPlace effect = "left alone, resources change in place"
	// untouched is a change that no resource sees.
	untouched effect = "left alone, nothing changes"
	// refused is a change that a living stack cannot make: the preflight or a rule of the configuration ends the `up`.
	refused effect = "refused"
)

// change documents one row of the table "what a change does to a running stack".
type change struct {
	key    string
	effect effect
	note   string
}

// changes has a row for every configuration key, in the order of keys. TestChanges holds each row against the program.
var changes = []change{
	{"profile", replaced, "the changes of all keys whose defaults differ between the presets, together"},
	{"egress", replaced, "the new way out exists first, the old one is deleted after the last old instance is gone; " +
		"refused with rollout `start` or `off`, which would delete it under running instances. " +
		"Calls that are open when an endpoint or NAT gateway goes are repeated"},
	{"vpcCidr", refused, "AWS cannot change the range of a network; make a new stack"},
	{"azCount", inPlace, "raising it adds a zone and Auto Scaling moves instances there, new before old; " +
		"lowering it is refused, since a subnet with instances cannot be deleted"},
	{"azs", inPlace, "pin the zones in use, or append one and raise azCount in the same `up`; " +
		"to drop, replace or reorder one is refused"},
	{"allowedCidrs", inPlace, "new ranges open before old ones close; " +
		"for that moment both must fit the quota of rules"},
	{"certificateArn", inPlace, "the HTTPS listener is made before HTTP redirects to it; " +
		"when the certificate is removed, the redirect goes first and the HTTPS listener last"},
	{"accessLogs", inPlace, "the bucket of the logs is made, or deleted with all that is in it"},
	{"arch", refused, "instance types of one architecture cannot boot an image of the other; change serverType, " +
		"workerType and amiId in the same `up`, or set amiFollow, and the instances are replaced by the rollout"},
	{"serverType", replaced, "servers only"},
	{"workerType", replaced, "servers too: they refuse photos that a worker cannot hold"},
	{"serverMin", inPlace, "Auto Scaling starts missing instances"},
	{"serverMax", inPlace, "below what runs, Auto Scaling stops the oldest after they have finished their work"},
	{"workerMin", inPlace, "Auto Scaling starts missing instances"},
	{"workerMax", inPlace, "below what runs, Auto Scaling stops the oldest after they have finished their work"},
	{"requestsPerTarget", inPlace, "scaling aims at the new value"},
	{"backlogPerWorker", inPlace, "scaling aims at the new value"},
	{"amiId", replaced, "by the pinned image"},
	{"amiFollow", replaced, "if today's image is newer than the one in use; turned off, nothing changes"},
	{"ssm", replaced, "the Session Manager agent is switched on or off at boot; open sessions end"},
	{"alarmEmail", inPlace, "a new address gets a link to confirm"},
	{"protectData", inPlace, "only deletion protection changes"},
	{"logRetentionDays", inPlace, "a shorter period deletes older lines"},
	{"uploadExpireDays", replaced, "both roles know how long an original lives"},
	{"bootRetrySeconds", replaced, "it is part of the boot script"},
	{"rollout", untouched, "it counts for the rollout of the same `up`; " +
		"a release that was shipped with `off` is then rolled out"},
	{"rolloutForce", untouched, "it counts for the rollout of the same `up`"},
	{"bakeSeconds", untouched, "it counts for the rollout of the same `up`"},
	{"smoke", untouched, "it counts for the rollout of the same `up`"},
	{"preflight", untouched, "it counts for the checks of the same `up`"},
	{"artifact", replaced, "if its SHA-256 differs"},
	{"accountId", untouched, "with credentials of another account the `up` is refused"},
	{"tags", replaced, "instances and their disks have the tags from their launch template"},
	{"permissionsBoundary", inPlace, "it bounds running instances at once: " +
		"calls that it does not allow fail from then on"},
}

// living describes a stack that exists, from Pulumi's state.
type living struct {
	VPCCIDR netip.Prefix
	Zones   []string       // by the place of their subnets; "" for one that is missing
	Egress  network.Egress // "": no instance runs
	Arch    string         // "": there is no launch template
}

// refusals returns why an `up` must not turn a living stack into what c asks for, one text for each reason. Zones are
// those that the `up` would use for a new stack: the pinned ones, or today's answer of AWS.
func (c Config) refusals(old living, zones []string) []string {
	var bad []string
	say := func(format string, args ...any) { bad = append(bad, fmt.Sprintf(format, args...)) }
	if old.VPCCIDR.IsValid() && c.VPCCIDR != old.VPCCIDR {
		say("imagery:vpcCidr %s: the network of this stack is %s, and AWS cannot change it: set it back, or make a new stack",
			c.VPCCIDR, old.VPCCIDR)
	}
	c.refuseZones(say, old.Zones, zones)
	if old.Egress != "" && c.Egress != old.Egress && c.Rollout != "wait" {
		say("imagery:egress %s: running instances use %s, which this `up` would delete under them, since imagery:rollout "+
			"is %s: set it to wait for this change", c.Egress, old.Egress, c.Rollout)
	}
	if old.Arch != "" && c.Arch != old.Arch && c.AMIID == "" && !c.AMIFollow {
		say("imagery:arch %s: the image that this stack keeps is of %s: set imagery:amiId or imagery:amiFollow "+
			"in the same `up`", c.Arch, old.Arch)
	}
	return bad
}

// refuseZones refuses every change of zones but an append. The address range of a subnet is its place in the list, so
// another zone at a place would be a second subnet of the same range. A place of old without a zone is free: its subnet
// was never made, or is gone.
func (c Config) refuseZones(say func(string, ...any), old, zones []string) {
	if len(zones) < len(old) {
		say("imagery:azCount %d: instances run in %d zones, and a subnet with instances cannot be deleted: `pulumi config "+
			"set imagery:azCount %[2]d`", len(zones), len(old))
		return
	}
	used := map[string]bool{}
	for _, z := range old {
		used[z] = z != ""
	}
	// What the list must be: the zones in use at their places, and others at the free ones.
	keep := slices.Clone(zones)
	for i, z := range old {
		if z != "" {
			keep[i] = z
		}
	}
	for i := range keep {
		if i >= len(old) || old[i] == "" {
			if used[keep[i]] {
				keep[i] = "ZONE"
			}
		}
	}
	set := "`pulumi config set imagery:azs " + strings.Join(keep, ",") + "`"
	for i, z := range zones {
		switch free := i >= len(old) || old[i] == ""; {
		case !free && len(c.AZs) > 0 && z != old[i]:
			say("imagery:azs %s: the subnets of this stack are in %s, in this order; only append to it: %s",
				strings.Join(zones, ","), strings.Join(old, ","), set)
			return
		case free && used[z]:
			say("imagery:azCount %d: the new zone would be %s, which has subnets already: %s, with another one for ZONE",
				len(zones), z, set)
		}
	}
}
