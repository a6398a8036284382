package main

import (
	"fmt"
	"slices"
	"strings"
)

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
