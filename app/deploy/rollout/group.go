package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"imagery/app/deploy/settings"
)

// group is an Auto Scaling group as AWS described it last.
type group struct {
	Group
	role              settings.Role
	template, version string // launch template: id, and number of the version
	min               int
	maintenance       types.InstanceMaintenancePolicy
	targets           []string
	instances         []instance        // by id
	suspended         map[string]string // suspended processes, with the reason of each
	wasDown           bool              // no instance was in service when the run began
	refreshes         []refresh         // newest first

	// What AWS does not keep.
	versions map[string]string // of all instances that were ever read
	served   map[string]bool   // those of them that were ever in service
	failed   map[string]*Error // instances of the release that failed to launch or became unhealthy
	blocked  *blockedLaunch    // see updateBlocked
	marked   map[string]bool   // ids of activities that do not count, see sinceMark

	// States as they were logged last.
	logged        map[string]string // by instance
	loggedRefresh string            // of the newest refresh
}

func newGroup(g Group, role settings.Role) *group {
	return &group{Group: g, role: role, versions: map[string]string{}, served: map[string]bool{},
		failed: map[string]*Error{}}
}

type instance struct {
	id, version string
	state       types.LifecycleState
	healthy     bool
}

// active reports whether the instance is neither being removed nor in standby.
func (i instance) active() bool {
	return !slices.ContainsFunc([]string{"Terminat", "Detach", "Standby", "EnteringStandby"},
		func(gone string) bool { return strings.HasPrefix(string(i.state), gone) })
}

func (i instance) serves() bool { return i.state == types.LifecycleStateInService && i.healthy }

func (i instance) String() string {
	text := fmt.Sprintf("version %s, %s", i.version, i.state)
	if !i.healthy {
		text += ", unhealthy"
	}
	return text
}

type refresh struct{ types.InstanceRefresh }

// version returns the launch template version of the refresh, or "" if it uses that of the group.
func (f refresh) version() string {
	if d := f.DesiredConfiguration; d != nil && d.LaunchTemplate != nil {
		return aws.ToString(d.LaunchTemplate.Version)
	}
	return ""
}

// reason returns the first reason that AWS gave: once a refresh rolls back, its status reason is about the rollback.
func (f refresh) reason() string {
	if d := f.RollbackDetails; d != nil && d.RollbackReason != nil {
		return *d.RollbackReason
	}
	return aws.ToString(f.StatusReason)
}

// forward reports whether the refresh still replaces instances by those of its version. A refresh that is neither
// forward nor ended is being cancelled or rolled back.
func (f refresh) forward() bool {
	return slices.Contains([]types.InstanceRefreshStatus{types.InstanceRefreshStatusPending,
		types.InstanceRefreshStatusInProgress, types.InstanceRefreshStatusBaking}, f.Status)
}

func (f refresh) ended() bool {
	return slices.Contains([]types.InstanceRefreshStatus{types.InstanceRefreshStatusSuccessful,
		types.InstanceRefreshStatusFailed, types.InstanceRefreshStatusCancelled,
		types.InstanceRefreshStatusRollbackSuccessful, types.InstanceRefreshStatusRollbackFailed}, f.Status)
}

// covers reports whether an activity started during the refresh.
func (f refresh) covers(a types.Activity) bool {
	return f.StartTime != nil && !a.StartTime.Before(*f.StartTime) &&
		(f.EndTime == nil || !a.StartTime.After(*f.EndTime))
}

// refresh returns the refresh that has not ended, or nil. AWS allows one at a time.
func (g *group) refresh() *refresh {
	if n := slices.IndexFunc(g.refreshes, func(f refresh) bool { return !f.ended() }); n >= 0 {
		return &g.refreshes[n]
	}
	return nil
}

// since returns the refreshes to a version that are newer than the one with the id, or all of them if the id is
// unknown. With it a rollout finds its own refreshes after a kill, although it has not recorded their ids and its clock
// may differ from that of AWS.
func (g *group) since(id, version string) []refresh {
	newer := g.refreshes
	if n := slices.IndexFunc(newer, func(f refresh) bool { return aws.ToString(f.InstanceRefreshId) == id }); n >= 0 {
		newer = newer[:n]
	}
	return slices.DeleteFunc(slices.Clone(newer), func(f refresh) bool { return f.version() != version })
}

// at reports whether the group has the version, and no instance of another one.
func (g *group) at(version string) bool {
	return g.version == version && !g.mixed(version)
}

// mixed reports whether the group has an active instance of another version.
func (g *group) mixed(version string) bool {
	return slices.ContainsFunc(g.instances, func(i instance) bool { return i.active() && i.version != version })
}

// serves reports whether an instance of another version than except is in service and healthy.
func (g *group) serves(except string) bool {
	return slices.ContainsFunc(g.instances, func(i instance) bool { return i.serves() && i.version != except })
}

// serving returns the number of instances that are in service and healthy.
func (g *group) serving() (n int) {
	for _, i := range g.instances {
		if i.serves() {
			n++
		}
	}
	return n
}

// minimum returns the number of instances without which the group is not healthy.
func (g *group) minimum() int { return max(1, g.min) }

// update sets the fields that AWS reports. An instance without a launch template, which is older than the template of
// its group, gets version "" and so never counts as new.
func (g *group) update(a types.AutoScalingGroup) error {
	if a.LaunchTemplate == nil || a.LaunchTemplate.LaunchTemplateId == nil {
		return fmt.Errorf("describe group %s: it has no launch template", g.Name)
	}
	g.template, g.version = *a.LaunchTemplate.LaunchTemplateId, aws.ToString(a.LaunchTemplate.Version)
	g.targets = a.TargetGroupARNs
	g.min = int(aws.ToInt32(a.MinSize))
	if a.InstanceMaintenancePolicy != nil {
		g.maintenance = *a.InstanceMaintenancePolicy
	}
	g.suspended = map[string]string{}
	for _, p := range a.SuspendedProcesses {
		g.suspended[aws.ToString(p.ProcessName)] = aws.ToString(p.SuspensionReason)
	}
	g.instances = nil
	for _, i := range a.Instances {
		it := instance{id: aws.ToString(i.InstanceId), state: i.LifecycleState,
			healthy: aws.ToString(i.HealthStatus) == "Healthy"}
		if i.LaunchTemplate != nil {
			it.version = aws.ToString(i.LaunchTemplate.Version)
		}
		g.versions[it.id] = it.version
		g.served[it.id] = g.served[it.id] || it.state == types.LifecycleStateInService
		g.instances = append(g.instances, it)
	}
	slices.SortFunc(g.instances, func(a, b instance) int { return cmp.Compare(a.id, b.id) })
	return nil
}
