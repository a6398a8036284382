package asgsim

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	cw "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"
)

type refresh struct {
	types.InstanceRefresh
	version    string // of the desired configuration
	alarms     []string
	since      time.Time // start of the present status
	progressed time.Time
	// first and last are sequence numbers of launches. The refresh has launched the instances after first, and until its
	// rollback those up to last.
	first, last int
	total       int // instances to be replaced when the refresh, or its rollback, began
	remaining   int // smallest number of instances still to be replaced, so far
	replaced    int // largest number of healthy and warm replacements, so far
}

// finished lists the final statuses.
var finished = []types.InstanceRefreshStatus{types.InstanceRefreshStatusSuccessful, types.InstanceRefreshStatusFailed,
	types.InstanceRefreshStatusCancelled, types.InstanceRefreshStatusRollbackFailed,
	types.InstanceRefreshStatusRollbackSuccessful}

// active returns the refresh that has not ended, or nil.
func (g *group) active() *refresh {
	if n := len(g.refreshes); n > 0 && !slices.Contains(finished, g.refreshes[n-1].Status) {
		return g.refreshes[n-1]
	}
	return nil
}

// wanted returns the version of new instances. User guide: "If a scale-out event occurs during an instance refresh,
// Amazon EC2 Auto Scaling launches new instances with the desired configuration instead of the group's current
// settings." While it is cancelled or rolled back, the group's own: not documented.
func (g *group) wanted() string {
	r := g.active()
	if r != nil && (r.Status == types.InstanceRefreshStatusInProgress || r.Status == types.InstanceRefreshStatusBaking) {
		return r.version
	}
	return g.Version
}

// StartInstanceRefresh starts a rolling refresh to another version of the group's launch template.
func (s *Simulator) StartInstanceRefresh(in *autoscaling.StartInstanceRefreshInput) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.group(*in.AutoScalingGroupName)
	if err != nil {
		return nil, err
	}
	if g.active() != nil {
		return nil, &smithy.GenericAPIError{Code: "InstanceRefreshInProgress",
			Message: "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh."}
	}
	if err := s.checkStart(g, in); err != nil {
		return nil, err
	}
	s.serial++
	r := &refresh{since: time.Now(), progressed: time.Now(), first: s.serial,
		version: *in.DesiredConfiguration.LaunchTemplate.Version}
	toUpdate := 0
	for _, i := range g.partition().good {
		toUpdate += btoi(r.outdated(i))
	}
	r.InstanceRefresh = types.InstanceRefresh{AutoScalingGroupName: &g.Name, StartTime: now(), Preferences: in.Preferences,
		InstanceRefreshId:    aws.String(fmt.Sprintf("00000000-0000-4000-8000-%012d", s.serial)),
		DesiredConfiguration: in.DesiredConfiguration, Status: types.InstanceRefreshStatusPending,
		PercentageComplete: number(0), InstancesToUpdate: number(toUpdate)}
	if a := in.Preferences.AlarmSpecification; a != nil {
		r.alarms = a.Alarms
	}
	g.refreshes = append(g.refreshes, r)
	s.changed(g)
	return &autoscaling.StartInstanceRefreshOutput{InstanceRefreshId: r.InstanceRefreshId}, nil
}

// checkStart returns an error if the service would reject the refresh, or the simulator does not implement it. Its
// messages are not documented.
func (s *Simulator) checkStart(g *group, in *autoscaling.StartInstanceRefreshInput) error {
	p, d := in.Preferences, in.DesiredConfiguration
	if p == nil || p.MinHealthyPercentage == nil || p.MaxHealthyPercentage == nil || !aws.ToBool(p.SkipMatching) ||
		p.ScaleInProtectedInstances != types.ScaleInProtectedInstancesRefresh ||
		p.StandbyInstances != types.StandbyInstancesIgnore || p.InstanceWarmup != nil || p.CheckpointPercentages != nil ||
		in.Strategy != "" && in.Strategy != types.RefreshStrategyRolling {
		return invalid("the simulator implements rolling refreshes with both percentages and skip matching, that do not " +
			"wait for protected and standby instances, without checkpoints and a warm-up of their own")
	}
	if d == nil || d.LaunchTemplate == nil || aws.ToString(d.LaunchTemplate.LaunchTemplateId) != g.Template {
		return invalid("the simulator implements refreshes to versions of the group's launch template only")
	}
	known, version := s.templates[g.Template], aws.ToString(d.LaunchTemplate.Version)
	exists := func(t TemplateVersion) bool { return strconv.Itoa(t.Number) == version }
	if known != nil && !slices.ContainsFunc(known, exists) {
		return invalid("You must use a valid fully-formed launch template. Could not find launch template version %s",
			version)
	}
	least, most := *p.MinHealthyPercentage, *p.MaxHealthyPercentage
	switch {
	// "Value range is 0 to 100." "Value range is 100 to 200." "The difference between them cannot be greater than 100."
	case least < 0 || least > 100 || most < 100 || most > 200 || most-least > 100:
		return invalid("MinHealthyPercentage %d and MaxHealthyPercentage %d are not possible", least, most)
	case aws.ToInt32(p.BakeTime) > 172800: // the API's limit
		return invalid("BakeTime %d is more than two days", *p.BakeTime)
	case p.AlarmSpecification == nil:
		return nil
	case len(p.AlarmSpecification.Alarms) > 10: // "You can specify up to 10 alarms."
		return invalid("%d alarms are more than 10", len(p.AlarmSpecification.Alarms))
	}
	// User guide: "If the alarm state is INSUFFICIENT_DATA or ALARM, you receive an error when you try to start the
	// instance refresh." An unknown alarm is not documented.
	for _, name := range p.AlarmSpecification.Alarms {
		if state := s.alarms[name]; state != cw.StateValueOk {
			return invalid("The alarm %s is in the state %q; it must be OK to start an instance refresh", name, state)
		}
	}
	return nil
}

// RollbackInstanceRefresh implements the operation. That a refresh that is rolled back or cancelled already counts as
// not found is not documented.
func (s *Simulator) RollbackInstanceRefresh(in *autoscaling.RollbackInstanceRefreshInput) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, r, err := s.activeRefresh(*in.AutoScalingGroupName)
	if err != nil {
		return nil, err
	}
	if r.Status == types.InstanceRefreshStatusRollbackInProgress || r.Status == types.InstanceRefreshStatusCancelling {
		return nil, notActive(g.Name)
	}
	s.startRollback(g, r, "The rollback was initiated by a user")
	return &autoscaling.RollbackInstanceRefreshOutput{InstanceRefreshId: r.InstanceRefreshId}, nil
}

// CancelInstanceRefresh implements the operation: "Cancels an instance refresh or rollback that is in progress." "This
// does not roll back any changes that it made."
func (s *Simulator) CancelInstanceRefresh(in *autoscaling.CancelInstanceRefreshInput) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, r, err := s.activeRefresh(*in.AutoScalingGroupName)
	if err != nil {
		return nil, err
	}
	s.setStatus(g, r, types.InstanceRefreshStatusCancelling, "Cancelled by a user")
	return &autoscaling.CancelInstanceRefreshOutput{InstanceRefreshId: r.InstanceRefreshId}, nil
}

// activeRefresh returns a group and its active refresh.
func (s *Simulator) activeRefresh(name string) (*group, *refresh, error) {
	g, err := s.group(name)
	if err != nil {
		return nil, nil, err
	}
	if r := g.active(); r != nil {
		return g, r, nil
	}
	return nil, nil, notActive(name)
}

func notActive(name string) error {
	return &smithy.GenericAPIError{Code: "ActiveInstanceRefreshNotFound",
		Message: "No in progress or pending Instance Refresh found for Auto Scaling group " + name}
}

// setStatus sets the status of a refresh.
func (s *Simulator) setStatus(g *group, r *refresh, status types.InstanceRefreshStatus, reason string) {
	r.Status, r.StatusReason, r.since, r.progressed = status, &reason, time.Now(), time.Now()
	if slices.Contains(finished, status) {
		r.EndTime = now()
	}
	s.Log("%s refresh to %s: %s %s", g.Name, r.version, status, reason)
	s.changed(g)
}

// startRollback starts the rollback of a refresh.
func (s *Simulator) startRollback(g *group, r *refresh, reason string) {
	r.RollbackDetails = &types.RollbackDetails{RollbackStartTime: now(), RollbackReason: &reason,
		PercentageCompleteOnRollback: r.PercentageComplete, InstancesToUpdateOnRollback: r.InstancesToUpdate}
	r.last, r.total = s.serial, 0
	s.setStatus(g, r, types.InstanceRefreshStatusRollbackInProgress, reason)
}

// fail ends a refresh that cannot continue, or starts its rollback. "AutoRollback: indicates whether to roll back the
// Auto Scaling group to its previous configuration if the instance refresh fails or a CloudWatch alarm threshold is
// met."
func (s *Simulator) fail(g *group, r *refresh, reason string) {
	switch {
	case r.Status == types.InstanceRefreshStatusRollbackInProgress:
		s.setStatus(g, r, types.InstanceRefreshStatusRollbackFailed, reason)
	case aws.ToBool(r.Preferences.AutoRollback):
		s.startRollback(g, r, reason)
	default:
		s.setStatus(g, r, types.InstanceRefreshStatusFailed, reason)
	}
}
