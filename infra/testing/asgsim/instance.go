package asgsim

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// instance is an EC2 instance. Its lifecycle is Pending, Pending:Wait, InService, Terminating, Terminating:Wait,
// Terminating:Proceed.
type instance struct {
	Machine
	state            types.LifecycleState
	launched, served time.Time // served: when it entered service
	seq              int       // order of launches
	unhealthy        bool
	terminating      bool
	registered       bool
	draining         bool
	hook             *Hook         // of the pending lifecycle action, or nil
	result           chan string   // of that action
	terminated       chan struct{} // closed when termination begins
}

func (i *instance) number() int { n, _ := strconv.Atoi(i.Version); return n }

// hookDelay is the time from power-on to Pending:Wait. Not documented; a fast boot script can complete the hook too
// early.
const hookDelay = 2 * time.Second

// launch starts an instance in the zone with the fewest instances: "By default, Amazon EC2 Auto Scaling balances
// instances across all Availability Zones."
func (s *Simulator) launch(g *group, cause string) *instance {
	s.serial++
	// User guide: "When one Availability Zone becomes unhealthy or unavailable, Amazon EC2 Auto Scaling launches new
	// instances in an unaffected zone", and capacity: "Auto Scaling tries to launch in another Availability Zone".
	zone := slices.MinFunc(g.Zones, func(a, b string) int {
		return 1000*(btoi(g.full[a])-btoi(g.full[b])) + g.count(a) - g.count(b)
	})
	i := &instance{Machine: Machine{ID: fmt.Sprintf("i-%017x", s.serial), Group: g.Name, Zone: zone, Version: g.wanted()},
		seq: s.serial, state: types.LifecycleStatePending, launched: time.Now(), terminated: make(chan struct{})}
	g.instances[i.ID] = i
	a := s.begin(g, i, "Launching a new EC2 instance: ", cause)
	s.all.Go(func() { s.start(g, i, a) })
	return i
}

func (g *group) count(zone string) (n int) {
	for _, i := range g.instances {
		n += btoi(i.Zone == zone && !i.terminating && !i.unhealthy)
	}
	return n
}

// hook returns a copy of the hook of a group for a transition, or nil. It takes the lock.
func (s *Simulator) hook(name, transition string) *Hook {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.groups[name]; g != nil { // otherwise it is deleted
		for _, h := range g.Hooks {
			if h.Transition == transition {
				return &h
			}
		}
	}
	return nil
}

// start starts an instance, waits for its launch hook and puts it in service or terminates it.
func (s *Simulator) start(g *group, i *instance, a *Activity) {
	if err := s.Driver.Start(s.ctx, i.Machine); err != nil {
		s.launchFailed(g, i, a, err)
		return
	}
	result, why := Continue, ""
	if h := s.hook(g.Name, Launching); h != nil && s.sleep(hookDelay) {
		result, why = s.await(i, h, types.LifecycleStatePendingWait, a)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil || i.terminating {
		s.end(a, types.ScalingActivityStatusCodeCancelled, "the instance is being terminated")
		return
	}
	if result == Abandon {
		s.backOff(g)
		// That an abandoned launch is Cancelled is not documented; Failed is possible as well.
		s.end(a, types.ScalingActivityStatusCodeCancelled, fmt.Sprintf(
			"Instance failed to complete user's Lifecycle Action: Lifecycle Action with token %s was abandoned: %s", i.ID, why))
		s.terminate(g, i, "a lifecycle action was abandoned")
		return
	}
	// The instance is registered with the load balancer after the hook.
	if g.TargetGroup != "" {
		s.Driver.Register(i.ID)
		i.registered = true
	}
	i.state, i.served = types.LifecycleStateInService, time.Now()
	g.failures = 0
	clear(g.full)
	s.changed(g)
	s.end(a, types.ScalingActivityStatusCodeSuccessful,
		fmt.Sprintf("in service after %.1f s", time.Since(i.launched).Seconds()))
}

// launchFailed ends the launch of an instance that EC2 did not start, whose activity then has no instance id, or
// terminated before it booted. The next launch uses another zone without delay until all zones were tried.
func (s *Simulator) launchFailed(g *group, i *instance, a *Activity, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g.full[i.Zone] = true; len(g.full) >= len(g.Zones) {
		clear(g.full)
		s.backOff(g)
	}
	died := &DiedError{}
	if !errors.As(err, &died) {
		a.Instance, a.Description = "", aws.String("Launching a new EC2 instance")
	}
	a.Description = aws.String(*a.Description + ".  Status Reason: " + err.Error())
	s.end(a, types.ScalingActivityStatusCodeFailed, err.Error())
	delete(g.instances, i.ID)
	s.changed(g)
}

// DiedError is returned by Driver.Start for an instance that EC2 terminated before it booted.
type DiedError struct{ Reason string }

func (e *DiedError) Error() string {
	return "Instance became unhealthy while waiting for instance to be in InService state. Termination Reason: " +
		e.Reason
}

// backOff delays the next launch, longer with every failure. AWS does so, but does not document how long.
func (s *Simulator) backOff(g *group) {
	g.failures++
	g.notBefore = time.Now().Add(s.scaled(min(time.Duration(g.failures)*30*time.Second, 5*time.Minute)))
}

// terminate begins the termination of an instance.
func (s *Simulator) terminate(g *group, i *instance, cause string) {
	inService := i.state == types.LifecycleStateInService
	i.terminating, i.draining, i.state = true, i.registered, types.LifecycleStateTerminating
	close(i.terminated)
	s.changed(g)
	a := s.begin(g, i, "Terminating EC2 instance: ", cause)
	if i.draining {
		a.StatusCode = types.ScalingActivityStatusCodeWaitingForELBConnectionDraining
	}
	s.all.Go(func() { s.shutdown(g, i, a, inService) })
}

// shutdown drains an instance, waits for its terminate hook and stops it.
func (s *Simulator) shutdown(g *group, i *instance, a *Activity, inService bool) {
	if i.draining {
		s.Driver.Drain(i.ID)
		s.mu.Lock()
		delay := s.scaled(g.DrainDelay)
		s.mu.Unlock()
		// "deregistration_delay.timeout_seconds - The amount of time, in seconds, for Elastic Load Balancing to wait
		// before changing the state of a deregistering target from draining to unused." A machine that is powered off is
		// unused at once: "Target.InvalidState - The target is in the stopped or terminated state."
		for until := time.Now().Add(delay); time.Now().Before(until) && s.Driver.Running(i.ID); {
			if !s.sleep(reconcileInterval) {
				return
			}
		}
		s.Driver.Deregister(i.ID)
	}
	// An instance that was never in service terminates without the hook. Not documented.
	if h := s.hook(g.Name, Terminating); h != nil && inService {
		// The instance terminates after CONTINUE and after ABANDON.
		s.await(i, h, types.LifecycleStateTerminatingWait, a)
	}
	s.mu.Lock()
	i.state = types.LifecycleStateTerminatingProceed
	s.mu.Unlock()
	s.Driver.Stop(i.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(g.instances, i.ID)
	s.changed(g)
	s.end(a, types.ScalingActivityStatusCodeSuccessful, "")
}

// targetHealth returns a target's health as ELB describes it.
func (s *Simulator) targetHealth(i *instance) (elb.TargetHealthStateEnum, elb.TargetHealthReasonEnum) {
	switch health := s.Driver.Health(i.ID); {
	case !s.Driver.Running(i.ID):
		return elb.TargetHealthStateEnumUnused, elb.TargetHealthReasonEnumInvalidState
	case i.draining:
		return elb.TargetHealthStateEnumDraining, elb.TargetHealthReasonEnumDeregistrationInProgress
	case health == elb.TargetHealthStateEnumHealthy: // "If the target state is healthy, a reason code is not provided."
		return health, ""
	case health == elb.TargetHealthStateEnumInitial:
		return health, elb.TargetHealthReasonEnumInitialHealthChecking
	case health == elb.TargetHealthStateEnumUnused: // the load balancer is deleted
		return health, elb.TargetHealthReasonEnumNotInUse
	default:
		return health, elb.TargetHealthReasonEnumFailedHealthChecks
	}
}
