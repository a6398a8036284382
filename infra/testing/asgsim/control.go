package asgsim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	cw "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"
)

func invalid(format string, args ...any) error {
	return &smithy.GenericAPIError{Code: "ValidationError", Message: fmt.Sprintf(format, args...)}
}

// group returns a group by name.
func (s *Simulator) group(name string) (*group, error) {
	if g := s.groups[name]; g != nil {
		return g, nil
	}
	return nil, invalid("AutoScalingGroup name not found - AutoScalingGroup '%s' not found", name)
}

// Change is an update of a group. Fields that are nil or empty do not change.
type Change struct {
	Min, Max, Desired      *int
	Version                string // of the launch template
	ELB                    *bool
	Grace, Warmup          *time.Duration
	MinHealthy, MaxHealthy *int
	Zones                  []string
}

// Update implements UpdateAutoScalingGroup: "Existing instances continue to run with the configuration that they were
// originally launched with."
func (s *Simulator) Update(name string, c Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.group(name)
	if err != nil {
		return err
	}
	// User guide: "If you attempt to update an Auto Scaling group's launch template while an instance refresh with a
	// desired configuration is active, the request will fail with the following validation error".
	if g.active() != nil && c.Version != "" {
		return invalid("An active instance refresh with a desired configuration exists. All configuration options " +
			"derived from the desired configuration are not available for update while the instance refresh is active.")
	}
	set := g.Group
	set.Version = cmp.Or(c.Version, set.Version)
	// "If you specify a new value for MinSize without specifying a value for DesiredCapacity, and the new MinSize is
	// larger than the current size of the group, this sets the group's DesiredCapacity to the new MinSize value."
	if c.Min != nil {
		set.Min, set.Desired = *c.Min, max(set.Desired, *c.Min)
	}
	// "... MaxSize ... smaller than the current size of the group, this sets the group's DesiredCapacity to the new
	// MaxSize value."
	if c.Max != nil {
		set.Max, set.Desired = *c.Max, min(set.Desired, *c.Max)
	}
	if c.Desired != nil {
		set.Desired = *c.Desired
	}
	if set.Desired < set.Min || set.Desired > set.Max {
		return invalid("Desired capacity:%d must be between the specified min size:%d and max size:%d",
			set.Desired, set.Min, set.Max)
	}
	assign(&set.ELB, c.ELB)
	assign(&set.Grace, c.Grace)
	assign(&set.Warmup, c.Warmup)
	assign(&set.MinHealthy, c.MinHealthy)
	assign(&set.MaxHealthy, c.MaxHealthy)
	if c.Zones != nil {
		set.Zones = c.Zones
	}
	// The name, the template and the target group never change and are read without the lock.
	g.Min, g.Max, g.Desired, g.Version, g.ELB, g.Grace = set.Min, set.Max, set.Desired, set.Version, set.ELB, set.Grace
	g.Warmup, g.MinHealthy, g.MaxHealthy, g.Zones = set.Warmup, set.MinHealthy, set.MaxHealthy, set.Zones
	return nil
}

// assign sets to, unless v is nil.
func assign[T any](to, v *T) {
	if v != nil {
		*to = *v
	}
}

// SetDrainDelay changes the deregistration delay of a target group. Targets that are draining keep the old one; AWS
// does not document it.
func (s *Simulator) SetDrainDelay(targetGroup string, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.groups {
		if g.TargetGroup == targetGroup {
			g.DrainDelay = d
		}
	}
}

// Terminate implements TerminateInstanceInAutoScalingGroup: "If you do not specify the option to decrement the desired
// capacity, Amazon EC2 Auto Scaling launches instances to replace the ones that are terminated."
func (s *Simulator) Terminate(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, i := s.find(id)
	if i == nil || i.terminating {
		return invalid("Instance Id not found - No managed instance found for instance ID: %s", id)
	}
	s.terminate(g, i, "instance was taken out of service in response to a user request")
	return nil
}

// find returns an instance and its group, or nil.
func (s *Simulator) find(id string) (*group, *instance) {
	for _, g := range s.groups {
		if i := g.instances[id]; i != nil {
			return g, i
		}
	}
	return nil, nil
}

// Suspend implements SuspendProcesses: "If you omit this property, all processes are specified." An empty reason is
// that of a user. Of all processes, only Launch has an effect.
func (s *Simulator) Suspend(name, reason string, processes ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.group(name)
	if err != nil {
		return err
	}
	if len(processes) == 0 {
		processes = []string{"Launch", "Terminate", "AddToLoadBalancer", "AlarmNotification", "AZRebalance", "HealthCheck",
			"InstanceRefresh", "ReplaceUnhealthy", "ScheduledActions"}
	}
	for _, p := range processes {
		g.suspended[p] = cmp.Or(reason, "User suspended at "+time.Now().UTC().Format(time.RFC3339))
	}
	return nil
}

// Suspended returns the suspended processes of a group with the reason of each.
func (s *Simulator) Suspended(name string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.groups[name].suspended)
}

// Instance is an instance as in DescribeAutoScalingGroups and DescribeTargetHealth.
type Instance struct {
	Machine
	State   types.LifecycleState
	Healthy bool
	Target  string // target health; empty: not registered
	Reason  string // of the target health
	Passes  bool   // in service, and all health checks of the group pass
	Proven  bool   // Passes was true for the whole warm-up
}

// Snapshot returns a group and its instances, sorted by id.
func (s *Simulator) Snapshot(name string) (Group, []Instance, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.group(name)
	if err != nil {
		return Group{}, nil, err
	}
	return g.Group, s.instances(g), nil
}

func (s *Simulator) instances(g *group) []Instance {
	var out []Instance
	for _, id := range slices.Sorted(maps.Keys(g.instances)) {
		i := g.instances[id]
		view := Instance{Machine: i.Machine, State: i.state, Healthy: !i.unhealthy, Passes: s.passes(g, i),
			Proven: s.proven(g, i)}
		if i.registered {
			state, reason := s.targetHealth(i)
			view.Target, view.Reason = string(state), string(reason)
		}
		out = append(out, view)
	}
	return out
}

// Activities returns the activities of a group, newest first.
func (s *Simulator) Activities(name string) []Activity {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Activity
	for _, a := range slices.Backward(s.activities) {
		if *a.AutoScalingGroupName == name {
			out = append(out, *a)
		}
	}
	return out
}

// Refreshes returns the instance refreshes of a group, newest first.
func (s *Simulator) Refreshes(name string) ([]types.InstanceRefresh, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.group(name)
	if err != nil {
		return nil, err
	}
	var out []types.InstanceRefresh
	for _, r := range slices.Backward(g.refreshes) {
		out = append(out, r.InstanceRefresh)
	}
	return out, nil
}

// TargetState returns the value of the instance metadata autoscaling/target-lifecycle-state: the state to which the
// group moves the instance.
func (s *Simulator) TargetState(id string) types.LifecycleState {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, i := s.find(id); i != nil && !i.terminating {
		return types.LifecycleStateInService
	}
	return types.LifecycleStateTerminated
}

// TemplateVersion is one version of a launch template.
type TemplateVersion struct {
	Number   int
	Image    string
	UserData string // before base64
}

// SetTemplate sets the versions of a launch template. Instance refreshes to other versions are then rejected.
func (s *Simulator) SetTemplate(id string, versions ...TemplateVersion) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.templates[id] = versions
}

// SetAlarms sets the state of CloudWatch alarms, which need not exist.
func (s *Simulator) SetAlarms(state cw.StateValue, names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		s.alarms[name] = state
	}
}
