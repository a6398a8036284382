package asgsim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

// apiError is an error response of the service.
type apiError struct{ code, message string }

func (e *apiError) Error() string { return e.code + ": " + e.message }

func invalid(format string, args ...any) error {
	return &apiError{"ValidationError", fmt.Sprintf(format, args...)}
}

// group returns a group by name. The lock is held.
func (s *Simulator) group(name string) (*group, error) {
	if g := s.groups[name]; g != nil {
		return g, nil
	}
	return nil, invalid("AutoScalingGroup name not found - AutoScalingGroup '%s' not found", name)
}

// Change is an update of a group. Fields that are nil or empty do not change.
type Change struct {
	Min, Max, Desired *int
	Template, Version string
}

// Update is UpdateAutoScalingGroup: "Existing instances continue to run with the configuration that they were
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
	if r := g.active(); r != nil && r.Version != "" && (c.Template != "" || c.Version != "") {
		return invalid("An active instance refresh with a desired configuration exists. All configuration options " +
			"derived from the desired configuration are not available for update while the instance refresh is active.")
	}
	set := g.Group
	set.Template, set.Version = cmp.Or(c.Template, set.Template), cmp.Or(c.Version, set.Version)
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
	if err := set.check(); err != nil {
		return err
	}
	// Other fields never change and are read without the lock.
	g.Min, g.Max, g.Desired, g.Template, g.Version = set.Min, set.Max, set.Desired, set.Template, set.Version
	return nil
}

// check validates the sizes: "This number must be greater than or equal to the minimum size of the group and less than
// or equal to the maximum size of the group."
func (g Group) check() error {
	switch {
	case g.Min > g.Max:
		return invalid("Max bound, %d, must be greater than or equal to min bound, %d", g.Max, g.Min)
	case g.Desired < g.Min:
		return invalid("Desired capacity:%d must be between the specified min size:%d and max size:%d",
			g.Desired, g.Min, g.Max)
	case g.Desired > g.Max:
		return invalid("New SetDesiredCapacity value %d is above max value %d for the AutoScalingGroup.",
			g.Desired, g.Max)
	}
	return nil
}

// Terminate implements TerminateInstanceInAutoScalingGroup: "If you do not specify the option to decrement the desired
// capacity, Amazon EC2 Auto Scaling launches instances to replace the ones that are terminated."
func (s *Simulator) Terminate(id string, decrement bool) (a *Activity, err error) {
	err = s.withInstance(id, func(g *group, i *instance) error {
		switch {
		case i.terminating:
			return &apiError{"ScalingActivityInProgress", "instance " + id + " is terminating"}
		case decrement && g.Desired == g.Min:
			return invalid("Currently, desiredSize equals minSize (%d). Terminating instance without replacement will "+
				"violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower "+
				"group's min size.", g.Min)
		case decrement:
			g.Desired--
		}
		a = s.terminate(g, i, "instance was taken out of service in response to a user request")
		return nil
	})
	return a, err
}

// Suspend implements SuspendProcesses: "If you omit this property, all processes are specified." An empty reason is
// that of a user.
func (s *Simulator) Suspend(name, reason string, processes ...string) error {
	return s.eachProcess(name, processes, func(g *group, process string) {
		g.suspended[process] = cmp.Or(reason, "User suspended at "+time.Now().UTC().Format(time.RFC3339))
	})
}

// Resume implements ResumeProcesses.
func (s *Simulator) Resume(name string, processes ...string) error {
	return s.eachProcess(name, processes, func(g *group, process string) { delete(g.suspended, process) })
}

// Suspended returns the suspended processes of a group with the reason of each.
func (s *Simulator) Suspended(name string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.groups[name].suspended)
}

// eachProcess calls do for processes of a group, or for all if processes is empty.
func (s *Simulator) eachProcess(name string, processes []string, do func(*group, string)) error {
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
		do(g, p)
	}
	return nil
}

// Instance is an instance as in DescribeAutoScalingGroups.
type Instance struct {
	Machine
	State     types.LifecycleState
	Healthy   bool
	Target    string // target health; empty: not registered
	Reason    string // of the target health
	Passes    bool   // in service, and all health checks of the group pass
	Proven    bool   // Passes was true for the whole warm-up
	Protected bool   // from scale-in
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
	var warm refresh
	if r := g.active(); r != nil {
		warm = *r
	}
	var out []Instance
	for _, id := range slices.Sorted(maps.Keys(g.instances)) {
		i := g.instances[id]
		view := Instance{Machine: i.Machine, State: i.state, Healthy: !i.unhealthy, Passes: s.passes(g, i),
			Proven: s.proven(g, &warm, i), Protected: i.protected}
		if i.registered {
			state, reason := s.targetHealth(i)
			view.Target, view.Reason = string(state), string(reason)
		}
		out = append(out, view)
	}
	return out
}

// Activities returns the activities of a group, newest first, or of all groups if name is empty.
func (s *Simulator) Activities(name string) []Activity {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Activity
	for _, a := range slices.Backward(s.activities) {
		if name == "" || a.Group == name {
			out = append(out, *a)
		}
	}
	return out
}

// Protect implements SetInstanceProtection: "Indicates whether the instance is protected from termination by Amazon EC2
// Auto Scaling when scaling in."
func (s *Simulator) Protect(id string, on bool) error {
	return s.withInstance(id, func(_ *group, i *instance) error {
		i.protected = on
		return nil
	})
}

// Standby implements EnterStandby with ShouldDecrementDesiredCapacity, and ExitStandby: "The instances can enter
// standby as long as the desired capacity of the Auto Scaling group after the instances are placed into standby is
// equal to or greater than the minimum capacity of the group."
func (s *Simulator) Standby(id string, on bool) error {
	return s.withInstance(id, func(g *group, i *instance) error {
		switch {
		case on && g.Desired == g.Min:
			return invalid("AutoScalingGroup %s has min-size=%d; the instance %s cannot enter standby", g.Name, g.Min, id)
		case on && i.state == types.LifecycleStateInService:
			g.Desired--
			i.state = types.LifecycleStateStandby
			s.Driver.Drain(i.ID)
		case !on && i.state == types.LifecycleStateStandby:
			g.Desired++
			i.state, i.served = types.LifecycleStateInService, time.Now()
			s.Driver.Register(i.ID)
		default:
			return invalid("The instance %s is not in a state that allows it", id)
		}
		s.changed(g)
		return nil
	})
}

// withInstance calls do with the instance and its group while it holds the lock.
func (s *Simulator) withInstance(id string, do func(*group, *instance) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.groups {
		if i := g.instances[id]; i != nil {
			return do(g, i)
		}
	}
	return invalid("Instance Id not found - No managed instance found for instance ID: %s", id)
}

// TargetState returns the value of the instance metadata autoscaling/target-lifecycle-state: the state to which the
// group moves the instance.
func (s *Simulator) TargetState(id string) types.LifecycleState {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.groups {
		if i := g.instances[id]; i != nil && !i.terminating {
			return types.LifecycleStateInService
		}
	}
	return types.LifecycleStateTerminated
}
