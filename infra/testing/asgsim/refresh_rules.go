package asgsim

import (
	"slices"
	"strconv"
	"strings"
	"time"

	cw "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// checkStart returns an error if the service would reject the refresh. The error messages are not documented. The lock
// is held.
func (s *Simulator) checkStart(g *group, template, version string, p Preferences) error {
	if err := p.check(); err != nil {
		return err
	}
	if template != "" && (template != g.Template || version == "") {
		return invalid("the simulator implements refreshes to numbered versions of the group's launch template only")
	}
	if version != "" {
		if _, err := strconv.Atoi(version); err != nil {
			return invalid("the simulator implements launch template versions by number, not %q", version)
		}
		known := s.templates[g.Template]
		exists := func(t TemplateVersion) bool { return strconv.Itoa(t.Number) == version }
		if known != nil && !slices.ContainsFunc(known, exists) {
			return invalid("You must use a valid fully-formed launch template. Could not find launch template version %s",
				version)
		}
	}
	// "A rollback is not supported in the following situations", and user guide: "If the Auto Scaling group has an
	// incompatible launch template or launch template version, you receive an error when you start a manual rollback
	// or an instance refresh with auto rollback enabled."
	if reason := s.irreversible(g, version); p.AutoRollback && reason != "" {
		return invalid("AutoRollback cannot be enabled: %s", reason)
	}
	// User guide: "If the alarm state is INSUFFICIENT_DATA or ALARM, you receive an error when you try to start the
	// instance refresh." An unknown alarm is not documented.
	for _, name := range p.Alarms {
		if a := s.alarms[name]; a == nil {
			return invalid("The alarm %s does not exist", name)
		} else if a.State != cw.StateValueOk {
			return invalid("The alarm %s is in the state %s; it must be OK to start an instance refresh", name, a.State)
		}
	}
	return nil
}

// irreversible returns why a refresh cannot be rolled back, or "". "There is no desired configuration specified for the
// instance refresh. The Auto Scaling group has a launch template that uses an Amazon Web Services Systems Manager
// parameter instead of an AMI ID for the ImageId property. The Auto Scaling group uses the launch template's $Latest
// or $Default version." The lock is held.
func (s *Simulator) irreversible(g *group, version string) string {
	image := ""
	for _, t := range s.templates[g.Template] {
		if strconv.Itoa(t.Number) == g.Version {
			image = t.Image
		}
	}
	switch {
	case version == "":
		return "there is no desired configuration"
	case strings.HasPrefix(image, "resolve:ssm:"):
		return "the group's launch template has a Systems Manager parameter as its image"
	case strings.HasPrefix(g.Version, "$"):
		return "the group uses version " + g.Version + " of its launch template"
	}
	return ""
}

// maxBakeTime is the API's limit, two days.
const maxBakeTime = 172800 * time.Second

func (p Preferences) check() error {
	switch {
	case p.MinHealthy != nil && (*p.MinHealthy < 0 || *p.MinHealthy > 100): // "Value range is 0 to 100."
		return invalid("MinHealthyPercentage %d is not between 0 and 100", *p.MinHealthy)
	case p.MaxHealthy != nil && (*p.MaxHealthy < 100 || *p.MaxHealthy > 200): // "Value range is 100 to 200."
		return invalid("MaxHealthyPercentage %d is not between 100 and 200", *p.MaxHealthy)
	// "If you specify MaxHealthyPercentage, you must also specify MinHealthyPercentage, and the difference between them
	// cannot be greater than 100."
	case p.MaxHealthy != nil && p.MinHealthy == nil:
		return invalid("MaxHealthyPercentage needs MinHealthyPercentage")
	case p.MaxHealthy != nil && *p.MaxHealthy-*p.MinHealthy > 100:
		return invalid("MaxHealthyPercentage may be at most 100 above MinHealthyPercentage")
	case len(p.Alarms) > 10: // "You can specify up to 10 alarms."
		return invalid("%d alarms are more than 10", len(p.Alarms))
	case p.BakeTime < 0 || p.BakeTime > maxBakeTime:
		return invalid("BakeTime %s is not between 0 and two days", p.BakeTime)
	case !slices.Contains([]string{"", "Refresh", "Ignore", "Wait"}, p.Protected):
		return invalid("ScaleInProtectedInstances cannot be %s", p.Protected)
	case !slices.Contains([]string{"", "Terminate", "Ignore", "Wait"}, p.Standby):
		return invalid("StandbyInstances cannot be %s", p.Standby)
	}
	return nil
}

// bounds returns the bounds of a refresh. "If you do not specify this property, the default is 90 percent [the maximum:
// 100 percent], or the percentage set in the instance maintenance policy for the Auto Scaling group, if defined." The
// minimum is rounded up, the maximum down; the latter is not documented.
func (r *refresh) bounds(g *group) bounds {
	least, most, set := 90, 100, false
	if g.MaxHealthy != 0 {
		least, most, set = g.MinHealthy, g.MaxHealthy, true
	}
	if p := r.Preferences.MinHealthy; p != nil {
		least = *p
	}
	if p := r.Preferences.MaxHealthy; p != nil {
		most, set = *p, true
	}
	b := bounds{least: (g.Desired*least + 99) / 100, most: max(g.Desired, g.Desired*most/100)}
	if b.least >= g.Desired && b.most <= g.Desired {
		// "When MaxHealthyPercentage is explicitly set and it is mathematically impossible to replace instances while
		// honoring both bounds simultaneously, Auto Scaling launches a new instance before terminating an old one
		// (temporarily exceeding the desired capacity). When MaxHealthyPercentage is omitted, Auto Scaling terminates
		// an instance and launches its replacement simultaneously."
		if set {
			b.most = g.Desired + 1
		} else {
			b.least = g.Desired - 1
		}
	}
	return b
}
