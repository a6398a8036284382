// Package asgsim simulates EC2 Auto Scaling and Elastic Load Balancing as documented: instances boot, pass or fail
// their lifecycle hooks, register, drain and terminate, and a group keeps its desired capacity. Handler serves the
// APIs to clients of aws-sdk-go-v2 over HTTP. A Driver runs the machines: Memory simulates them, package nspawn boots
// real ones behind a real load balancer.
//
// Comments quote the sentence of the SDK's documentation or the user guide from which a rule comes, or say "not
// documented". Exported methods, operations and the goroutines of an instance take the lock; all other functions are
// called with the lock held. The simulator uses package time only, so that tests can run it in a synctest bubble.
package asgsim

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	cw "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// Machine identifies an instance to its Driver.
type Machine struct {
	ID, Group, Zone string
	Version         string // of the launch template
}

// Driver replaces EC2 and the data path of the load balancer. Its methods may be called concurrently. Running and
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
	// Console returns the console output of a machine, also after it has stopped.
	Console(id string) string
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
	// Observe, if set, receives a group, its instances and its newest refresh, or nil, at every change and once a second.
	// It must not call the simulator.
	Observe func(Group, []Instance, *types.InstanceRefresh)
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
	alarms     map[string]cw.StateValue
	templates  map[string][]TemplateVersion
	serial     int
}

type group struct {
	Group
	instances map[string]*instance
	refreshes []*refresh // oldest first
	// notBefore is the earliest time of the next launch, after failed ones.
	notBefore time.Time
	failures  int
	// full holds the zones in which a launch failed since the last one that succeeded.
	full      map[string]bool
	suspended map[string]string // process -> reason
}

// Activity is a scaling activity.
type Activity struct {
	types.Activity
	Instance string // empty: the launch was refused
	Version  string // of the launch template
}

// New returns a simulator without groups.
func New(o Options) *Simulator {
	if o.Factor == 0 {
		o.Factor = 1
	}
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	s := &Simulator{Options: o, groups: map[string]*group{}, alarms: map[string]cw.StateValue{},
		templates: map[string][]TemplateVersion{}}
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
	created := &group{Group: g, instances: map[string]*instance{}, full: map[string]bool{}, suspended: map[string]string{}}
	created.Desired = max(g.Desired, g.Min)
	s.groups[g.Name] = created
	s.mu.Unlock()
	s.all.Go(func() {
		for s.sleep(reconcileInterval) {
			s.mu.Lock()
			if s.groups[g.Name] != created {
				s.mu.Unlock()
				return // deleted
			}
			s.reconcile(created)
			s.changed(created)
			s.mu.Unlock()
		}
	})
}

// changed passes the group to Observe.
func (s *Simulator) changed(g *group) {
	if s.Observe == nil {
		return
	}
	var newest *types.InstanceRefresh
	if n := len(g.refreshes); n > 0 {
		r := g.refreshes[n-1].InstanceRefresh
		newest = &r
	}
	s.Observe(g.Group, s.instances(g), newest)
}

// Delete removes a group and powers off its instances, as DeleteAutoScalingGroup does with ForceDelete.
func (s *Simulator) Delete(name string) {
	s.mu.Lock()
	g := s.groups[name]
	delete(s.groups, name)
	s.mu.Unlock()
	if g == nil {
		return
	}
	for id := range g.instances {
		s.all.Go(func() { s.Driver.Stop(id) })
	}
}

// scaled divides a documented duration by Factor.
func (s *Simulator) scaled(d time.Duration) time.Duration { return d / time.Duration(s.Factor) }

// sleep waits for d, divided by Factor. It returns false if the simulator is closed.
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

// begin adds an activity.
func (s *Simulator) begin(g *group, i *instance, description, cause string) *Activity {
	s.serial++
	a := &Activity{Instance: i.ID, Version: i.Version, Activity: types.Activity{
		ActivityId: aws.String(fmt.Sprintf("activity-%d", s.serial)), AutoScalingGroupName: &g.Name,
		Description: aws.String(description + i.ID), Cause: &cause, StartTime: now(),
		StatusCode: types.ScalingActivityStatusCodeInProgress}}
	s.activities = append(s.activities, a)
	return a
}

// end completes an activity.
func (s *Simulator) end(a *Activity, status types.ScalingActivityStatusCode, message string) {
	a.StatusCode, a.StatusMessage, a.EndTime = status, &message, now()
	s.Log("%s %s: %s %s", *a.AutoScalingGroupName, *a.Description, status, message)
}

func now() *time.Time { return aws.Time(time.Now().UTC()) }
