// Package asgsim simulates EC2 Auto Scaling and Elastic Load Balancing as documented: instances boot, pass or fail
// their lifecycle hooks, register, drain and terminate, and a group keeps its desired capacity. Handler serves the
// APIs to clients of aws-sdk-go-v2 over HTTP. A Driver runs the machines: Memory simulates them, package nspawn boots
// real ones behind a real load balancer.
//
// Each rule stands beside the sentence of the SDK's documentation that it comes from. Where that says nothing the
// comment says "not documented". Time is that of package time, so that a test may run it in a synctest bubble.
package asgsim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// Machine identifies an instance to its Driver.
type Machine struct {
	ID, Group, Zone string
	Version         string // of the launch template
}

// Driver stands in for EC2 and the data path of the load balancer. Its methods may be called concurrently. Running and
// Health are polled and must not block.
type Driver interface {
	// Start powers the machine on. It does not wait for the boot.
	Start(ctx context.Context, m Machine) error
	// Running reports whether the machine is powered on.
	Running(id string) bool
	// Stop shuts the machine down and returns once it is powered off.
	Stop(id string)
	// Register adds the machine as a target: it is health-checked, and receives requests while healthy.
	Register(id string)
	// Drain stops new requests to the machine. Requests in flight continue.
	Drain(id string)
	// Deregister removes the target; requests in flight are cut.
	Deregister(id string)
	// Health returns the health of a registered machine: initial, healthy or unhealthy.
	Health(id string) elb.TargetHealthStateEnum
}

// Hook is a lifecycle hook.
type Hook struct {
	Name, Transition, DefaultResult string
	Timeout                         time.Duration
}

// Transitions and results of hooks.
const (
	Launching   = "autoscaling:EC2_INSTANCE_LAUNCHING"
	Terminating = "autoscaling:EC2_INSTANCE_TERMINATING"
	Continue    = "CONTINUE"
	Abandon     = "ABANDON"
)

// Group holds the settings of an Auto Scaling group.
type Group struct {
	Name              string
	Min, Max, Desired int
	Template, Version string // id and number of the launch template
	Zones             []string
	TargetGroup       string // ARN; empty: none
	// ELB enables target health checks in addition to EC2 status checks.
	ELB               bool
	Grace, DrainDelay time.Duration
	// Warmup is the DefaultInstanceWarmup; 0 is the grace period.
	Warmup                 time.Duration
	MinHealthy, MaxHealthy int // percent, instance maintenance policy
	Hooks                  []Hook
}

// Options of a simulator.
type Options struct {
	Driver Driver
	// Factor divides every duration; 0 is 1.
	Factor int
	// Log, if set, receives one line per event.
	Log func(format string, args ...any)
	// Observe, if set, receives a snapshot of a group at every change and once a second. It must not call the simulator.
	Observe func(View)
}

// Simulator runs groups. Create it with New and stop it with Close.
type Simulator struct {
	Options
	ctx    context.Context
	cancel context.CancelFunc
	all    sync.WaitGroup

	mu         sync.Mutex
	groups     map[string]*group
	activities []*Activity // oldest first
	alarms     map[string]*Alarm
	templates  map[string][]TemplateVersion
	serial     int
}

type group struct {
	Group
	instances map[string]*instance
	refreshes []*refresh // oldest first
	// notBefore puts off the next launch after failed ones.
	notBefore time.Time
	failures  int
	// full are the zones in which EC2 launched nothing, since the last launch that succeeded.
	full      map[string]bool
	suspended map[string]string // process -> reason
}

// Activity is a scaling activity.
type Activity struct {
	ID, Group, Instance string
	Version             string // of the launch template
	Description, Cause  string
	Status              types.ScalingActivityStatusCode
	Message             string
	Start, End          time.Time
}

// New returns a simulator without groups.
func New(o Options) *Simulator {
	if o.Factor == 0 {
		o.Factor = 1
	}
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	s := &Simulator{Options: o, groups: map[string]*group{}, alarms: map[string]*Alarm{}, templates: map[string][]TemplateVersion{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Close stops all groups. Machines keep running.
func (s *Simulator) Close() {
	s.cancel()
	s.all.Wait()
}

// reconcileInterval is the time between two reconciliations of a group. Not documented; EC2's own status checks are a
// minute apart, so failures are detected earlier here.
const reconcileInterval = time.Second

// Create creates a group and starts its instances.
func (s *Simulator) Create(g Group) {
	s.mu.Lock()
	made := &group{Group: g, instances: map[string]*instance{}, full: map[string]bool{}, suspended: map[string]string{}}
	made.Desired = max(g.Desired, g.Min)
	s.groups[g.Name] = made
	s.mu.Unlock()
	s.all.Go(func() {
		for s.sleep(reconcileInterval) {
			s.mu.Lock()
			s.reconcile(made)
			s.changed(made)
			s.mu.Unlock()
		}
	})
}

// scaled divides a documented duration by Factor.
func (s *Simulator) scaled(d time.Duration) time.Duration { return d / time.Duration(s.Factor) }

// sleep reports false if the simulator was closed meanwhile.
func (s *Simulator) sleep(d time.Duration) bool {
	t := time.NewTimer(s.scaled(d))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// partition divides the instances of a group that are not terminating.
type partition struct {
	good      []*instance // healthy or pending
	serving   []*instance // the subset in service
	unhealthy []*instance
}

func (g *group) partition() partition {
	var c partition
	for _, id := range slices.Sorted(maps.Keys(g.instances)) {
		switch i := g.instances[id]; {
		case i.leaving || i.state == types.LifecycleStateStandby: // standby instances do not count
		case i.unhealthy:
			c.unhealthy = append(c.unhealthy, i)
		default:
			c.good = append(c.good, i)
			if i.state == types.LifecycleStateInService {
				c.serving = append(c.serving, i)
			}
		}
	}
	return c
}

// reconcile replaces unhealthy instances and scales the group to its desired capacity. The lock is held.
func (s *Simulator) reconcile(g *group) {
	s.checkHealth(g)
	surplus := s.refresh(g)
	c, b := g.partition(), g.limits()
	for len(c.good) < g.Desired && len(c.good)+len(c.unhealthy) < b.most && g.launches() {
		c.good = append(c.good, s.launch(g, "an instance was started in response to a difference between desired and actual capacity"))
	}
	// "MinHealthyPercentage: the minimum percentage of the group to keep in service, healthy, and ready to use to
	// support your workload when replacing instances." One that is powered off serves nothing.
	kept := len(c.serving) + len(c.unhealthy)
	for _, i := range c.unhealthy {
		if kept > b.least || b.most <= g.Desired || !s.Driver.Running(i.ID) {
			kept--
			s.terminate(g, i, "an instance was taken out of service in response to a health check failure")
		}
	}
	// "If a scale-in activity occurs as a result of a new DesiredCapacity value that is lower than the current size
	// of the group, the Auto Scaling group uses its termination policy to determine which instances to terminate."
	for len(c.good) > g.Desired+surplus {
		i := next(c.good)
		if i == nil {
			break
		}
		c.good = slices.DeleteFunc(c.good, func(o *instance) bool { return o == i })
		s.terminate(g, i, "an instance was taken out of service in response to a difference between desired and actual capacity")
	}
}

// launches reports whether a group may launch instances now: "If you suspend Launch, your Auto Scaling group does not
// scale out for alarms or scheduled actions", and "ReplaceUnhealthy continues to terminate unhealthy instances, but
// does not launch replacements".
func (g *group) launches() bool {
	_, suspended := g.suspended["Launch"]
	return !suspended && !time.Now().Before(g.notBefore)
}

// bounds limit the number of instances while some are replaced.
type bounds struct{ least, most int }

// limits returns the bounds of the active refresh, else of the instance maintenance policy.
func (g *group) limits() bounds {
	if r := g.active(); r != nil {
		return r.bounds(g)
	}
	// "MaxHealthyPercentage: the maximum percentage of the group that can be in service and healthy, or pending, to
	// support your workload when replacing instances."
	return bounds{least: (g.Desired*g.MinHealthy + 99) / 100, most: max(g.Desired, g.Desired*g.MaxHealthy/100)}
}

// next selects the instance to terminate on scale-in: in the zone with the most instances, the one with the oldest launch template,
// then the oldest. "Indicates whether the instance is protected from termination by Amazon EC2 Auto Scaling when
// scaling in": nil if all are.
func next(of []*instance) *instance {
	of = slices.DeleteFunc(slices.Clone(of), func(i *instance) bool { return i.protected })
	if len(of) == 0 {
		return nil
	}
	crowd := map[string]int{}
	for _, i := range of {
		crowd[i.Zone]++
	}
	return slices.MinFunc(of, func(a, b *instance) int {
		if d := crowd[b.Zone] - crowd[a.Zone]; d != 0 {
			return d
		}
		if a.number() != b.number() {
			return a.number() - b.number()
		}
		return a.launched.Compare(b.launched)
	})
}

// checkHealth marks unhealthy instances. "Unhealthy means that the instance is unhealthy and that Amazon EC2 Auto Scaling
// should terminate and replace it."
func (s *Simulator) checkHealth(g *group) {
	for _, i := range g.instances {
		if i.state != types.LifecycleStateInService || i.unhealthy || i.leaving {
			continue
		}
		// "EC2 is the default health check and cannot be disabled." Power loss counts within the grace period, too.
		if !s.Driver.Running(i.ID) {
			i.unhealthy = true
		}
		// "The amount of time, in seconds, that Amazon EC2 Auto Scaling waits before checking the health status of an
		// EC2 instance that has come into service and marking it unhealthy due to a failed health check."
		if g.ELB && time.Since(i.served) >= s.scaled(g.Grace) && s.Driver.Health(i.ID) == elb.TargetHealthStateEnumUnhealthy {
			i.unhealthy = true
		}
		if i.unhealthy {
			s.Log("%s %s is unhealthy", g.Name, i.ID)
		}
	}
}

func (s *Simulator) begin(g *group, i *instance, description, cause string) *Activity {
	s.serial++
	a := &Activity{ID: fmt.Sprintf("activity-%d", s.serial), Group: g.Name, Instance: i.ID, Version: i.Version, Description: description + i.ID, Cause: cause,
		Status: types.ScalingActivityStatusCodeInProgress, Start: time.Now()}
	s.activities = append(s.activities, a)
	return a
}

// end completes an activity. The lock is held.
func (s *Simulator) end(a *Activity, status types.ScalingActivityStatusCode, message string) {
	a.Status, a.Message, a.End = status, message, time.Now()
	s.Log("%s %s: %s %s", a.Group, a.Description, status, message)
}
