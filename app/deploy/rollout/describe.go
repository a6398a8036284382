package rollout

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"imagery/app/deploy/settings"
)

// group is an Auto Scaling group as AWS described it last. Its bounds are those of its maintenance policy, which the
// Pulumi program sets: a new instance before an old one goes.
type group struct {
	Group
	role                   settings.Role
	template, version      string // id and number
	min                    int
	minHealthy, maxHealthy *int32 // percent
	targets                []string
	instances              []instance
	suspended              map[string]string // processes that are suspended -> why
	dead                   bool              // no instance served when the run began
	refreshes              []refresh         // newest first

	versions map[string]string // of all instances that were ever seen
	served   map[string]bool   // those of them that were seen in service
	seen     map[string]string // lines about instances that were said
	said     string            // about the refresh
}

type instance struct {
	id, version string
	state       types.LifecycleState
	healthy     bool
}

// here leaves out who is on the way out, or was put aside by a person.
func (i instance) here() bool {
	for _, gone := range []string{"Terminat", "Detach", "Standby", "EnteringStandby"} {
		if strings.HasPrefix(string(i.state), gone) {
			return false
		}
	}
	return true
}

func (i instance) serves() bool { return i.state == types.LifecycleStateInService && i.healthy }

type refresh struct{ types.InstanceRefresh }

// version is the number that it leads to; empty: that of the group.
func (f refresh) version() string {
	if d := f.DesiredConfiguration; d != nil && d.LaunchTemplate != nil && d.LaunchTemplate.Version != nil {
		return *d.LaunchTemplate.Version
	}
	return ""
}

// why is the first reason that AWS gave: once it rolls back, the status is about that.
func (f refresh) why() string {
	if d := f.RollbackDetails; d != nil && d.RollbackReason != nil {
		return *d.RollbackReason
	}
	return deref(f.StatusReason)
}

// forward reports whether it is on its way to its version, ended whether it changes nothing any more. Between the
// two it is on its way back.
func (f refresh) forward() bool {
	return slices.Contains([]types.InstanceRefreshStatus{types.InstanceRefreshStatusPending, types.InstanceRefreshStatusInProgress, types.InstanceRefreshStatusBaking}, f.Status)
}

func (f refresh) ended() bool {
	return slices.Contains([]types.InstanceRefreshStatus{types.InstanceRefreshStatusSuccessful, types.InstanceRefreshStatusFailed, types.InstanceRefreshStatusCancelled,
		types.InstanceRefreshStatusRollbackSuccessful, types.InstanceRefreshStatusRollbackFailed}, f.Status)
}

// covers reports whether an activity began during the refresh.
func (f refresh) covers(a types.Activity) bool {
	return f.StartTime != nil && !a.StartTime.Before(*f.StartTime) && (f.EndTime == nil || !a.StartTime.After(*f.EndTime))
}

// active is the refresh that has not ended; there is one at most.
func (g *group) active() *refresh {
	if n := slices.IndexFunc(g.refreshes, func(f refresh) bool { return !f.ended() }); n >= 0 {
		return &g.refreshes[n]
	}
	return nil
}

// since are the refreshes to a version, of which a rollout finds its own after a kill without having noted the id
// and without a clock in common with AWS: those that are newer than the one with the id, all if it is unknown.
func (g *group) since(id, version string) []refresh {
	newer := g.refreshes
	if n := slices.IndexFunc(newer, func(f refresh) bool { return deref(f.InstanceRefreshId) == id }); n >= 0 {
		newer = newer[:n]
	}
	return slices.DeleteFunc(slices.Clone(newer), func(f refresh) bool { return f.version() != version })
}

// at reports whether the group has arrived: whether it has a version and nothing but instances of it.
func (g *group) at(version string) bool {
	return g.version == version && !slices.ContainsFunc(g.instances, func(i instance) bool { return i.here() && i.version != version })
}

// serves reports whether an instance of another version than the given one serves; of any if it is empty.
func (g *group) serves(except string) bool {
	return slices.ContainsFunc(g.instances, func(i instance) bool { return i.serves() && i.version != except })
}

// whole reports whether the group has its minimum of a version in service, and nothing of another one.
func (g *group) whole(version string) bool {
	n := 0
	for _, i := range g.instances {
		if i.here() && i.version != version {
			return false
		}
		if i.serves() {
			n++
		}
	}
	return n >= max(1, g.min)
}

// describe reads both groups.
func (r *run) describe(ctx context.Context) (bool, error) {
	r.groups = map[settings.Role]*group{}
	for _, role := range Order {
		r.groups[role] = &group{Group: r.Groups[role], role: role, versions: map[string]string{}, served: map[string]bool{}}
		if err := r.read(ctx, r.groups[role]); err != nil {
			return false, err
		}
		r.groups[role].dead = !r.groups[role].serves("")
	}
	return false, nil
}

// read asks AWS about a group and says what changed. It is the only source of what the controller knows of the
// groups: nothing is kept between two reads but what was
// logged, and which version an instance had.
func (r *run) read(ctx context.Context, g *group) error {
	out, err := r.Clients.Groups.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{g.Name}})
	if err != nil {
		return fmt.Errorf("look at group %s: %w", g.Name, err)
	}
	if len(out.AutoScalingGroups) != 1 {
		return fmt.Errorf("look at group %s: there is none", g.Name)
	}
	if err := g.take(out.AutoScalingGroups[0]); err != nil {
		return err
	}
	g.refreshes = nil
	in := &autoscaling.DescribeInstanceRefreshesInput{AutoScalingGroupName: &g.Name}
	for more := true; more; {
		page, err := r.Clients.Groups.DescribeInstanceRefreshes(ctx, in)
		if err != nil {
			return fmt.Errorf("look at the instance refreshes of %s: %w", g.Name, err)
		}
		for _, f := range page.InstanceRefreshes {
			g.refreshes = append(g.refreshes, refresh{f})
		}
		in.NextToken = page.NextToken
		more = deref(in.NextToken) != ""
	}
	// One that is pending need not have begun.
	slices.SortStableFunc(g.refreshes, func(a, b refresh) int { return begun(b).Compare(begun(a)) })
	r.tell(g)
	return nil
}

// begun is when a refresh began; one that has not is newer than all.
func begun(f refresh) time.Time {
	if f.StartTime == nil {
		return time.Unix(1<<40, 0)
	}
	return *f.StartTime
}

// take keeps what a rollout cares about. An instance without a template of its own, from a group that was made
// otherwise, is of no version and so never counts as new.
func (g *group) take(a types.AutoScalingGroup) error {
	if a.LaunchTemplate == nil || a.LaunchTemplate.LaunchTemplateId == nil {
		return fmt.Errorf("look at group %s: it has no launch template", g.Name)
	}
	g.template, g.version, g.targets = *a.LaunchTemplate.LaunchTemplateId, deref(a.LaunchTemplate.Version), a.TargetGroupARNs
	g.min = 0
	if a.MinSize != nil {
		g.min = int(*a.MinSize)
	}
	g.minHealthy, g.maxHealthy = nil, nil
	if p := a.InstanceMaintenancePolicy; p != nil {
		g.minHealthy, g.maxHealthy = p.MinHealthyPercentage, p.MaxHealthyPercentage
	}
	g.suspended = map[string]string{}
	for _, p := range a.SuspendedProcesses {
		g.suspended[deref(p.ProcessName)] = deref(p.SuspensionReason)
	}
	g.instances = nil
	for _, i := range a.Instances {
		it := instance{id: deref(i.InstanceId), state: i.LifecycleState, healthy: deref(i.HealthStatus) == "Healthy"}
		if i.LaunchTemplate != nil {
			it.version = deref(i.LaunchTemplate.Version)
		}
		g.versions[it.id] = it.version
		g.served[it.id] = g.served[it.id] || it.state == types.LifecycleStateInService
		g.instances = append(g.instances, it)
	}
	slices.SortFunc(g.instances, func(a, b instance) int { return cmp.Compare(a.id, b.id) })
	return nil
}

// tell says what changed since the last time: a line per instance, and one for the refresh. What the first
// read finds is not logged.
func (r *run) tell(g *group) {
	now := map[string]string{}
	for _, i := range g.instances {
		now[i.id] = fmt.Sprintf("version %s, %s", i.version, i.state)
		if !i.healthy {
			now[i.id] += ", unhealthy"
		}
		if g.seen != nil && g.seen[i.id] != now[i.id] {
			r.say("%s %s: %s", g.role, i.id, now[i.id])
		}
	}
	for id := range g.seen {
		if now[id] == "" {
			r.say("%s %s: gone", g.role, id)
		}
	}
	g.seen = now
	if len(g.refreshes) == 0 {
		return
	}
	f := g.refreshes[0]
	said := fmt.Sprintf("%s to version %s: %s", g.role, f.version(), f.Status)
	if reason := deref(f.StatusReason); reason != "" {
		said += ", " + reason
	}
	if said != g.said && (g.said != "" || !f.ended()) {
		r.say("%s", said)
	}
	g.said = said
}

// healthy reports whether the group has its minimum in service, all of it well, behind the balancer too; missing says
// what is not.
func (r *run) healthy(ctx context.Context, g *group) (ok bool, missing string, err error) {
	serving := map[string]bool{}
	for _, i := range g.instances {
		if i.state == types.LifecycleStateInService && !i.healthy {
			return false, i.id + " is unhealthy", nil
		} else if i.serves() {
			serving[i.id] = true
		}
	}
	if len(serving) < max(1, g.min) {
		return false, fmt.Sprintf("%d of at least %d instances are in service", len(serving), max(1, g.min)), nil
	}
	// An instance that Auto Scaling believes in, within its grace period, need not serve yet.
	for _, arn := range g.targets {
		out, err := r.Clients.Targets.DescribeTargetHealth(ctx, &elasticloadbalancingv2.DescribeTargetHealthInput{TargetGroupArn: &arn})
		if err != nil {
			return false, "", fmt.Errorf("look at the targets of %s: %w", g.Name, err)
		}
		well := 0
		for _, d := range out.TargetHealthDescriptions {
			// Those that drain belong to instances on their way out.
			if d.Target == nil || d.TargetHealth == nil || !serving[deref(d.Target.Id)] {
				continue
			}
			if well++; d.TargetHealth.State != elb.TargetHealthStateEnumHealthy {
				return false, fmt.Sprintf("%s is %s at the balancer: %s", deref(d.Target.Id), d.TargetHealth.State, d.TargetHealth.Reason), nil
			}
		}
		if well < len(serving) {
			return false, fmt.Sprintf("%d of %d instances are known to the balancer", well, len(serving)), nil
		}
	}
	return true, "", nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
