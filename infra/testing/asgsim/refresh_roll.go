package asgsim

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	cw "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

const (
	// pendingDelay is the time in status Pending. User guide: "The status should then quickly change to InProgress."
	pendingDelay = 5 * time.Second
	// refreshTimeout: user guide: "When an instance refresh is unable to continue making replacements because [...] the
	// new instances do not pass their health checks, Amazon EC2 Auto Scaling keeps retrying for an hour. If the problem
	// persists after an hour, the operation fails."
	refreshTimeout = time.Hour
)

// refresh advances the group's refresh by one step. It returns how many instances above the desired capacity must not
// be scaled in.
func (s *Simulator) refresh(g *group) int {
	r, above := g.active(), g.bounds().most-g.Desired
	if r == nil {
		return 0
	}
	if name := s.alarmed(r, cw.StateValueAlarm); name != "" &&
		(r.Status == types.InstanceRefreshStatusInProgress || r.Status == types.InstanceRefreshStatusBaking) {
		s.fail(g, r, "The alarm "+name+" is in the ALARM state")
		return above // a scale-in would terminate an instance that the rollback needs
	}
	switch r.Status {
	case types.InstanceRefreshStatusPending:
		if time.Since(r.since) >= s.scaled(pendingDelay) {
			s.setStatus(g, r, types.InstanceRefreshStatusInProgress, "")
		}
	case types.InstanceRefreshStatusInProgress, types.InstanceRefreshStatusRollbackInProgress:
		// That alarms are ignored during a rollback is not documented.
		return s.roll(g, r)
	case types.InstanceRefreshStatusBaking:
		if time.Since(r.since) >= s.scaled(time.Duration(*r.Preferences.BakeTime)*time.Second) {
			s.succeed(g, r)
		}
	case types.InstanceRefreshStatusCancelling:
		// "WaitForTransitioningInstances: whether to wait for in-flight launches and terminations to complete. [...] The
		// default is true."
		for _, i := range g.instances {
			if i.state != types.LifecycleStateInService {
				return above
			}
		}
		s.setStatus(g, r, types.InstanceRefreshStatusCancelled, *r.StatusReason)
	}
	return 0
}

// alarmed returns the first alarm of a refresh that is in a state, or "".
func (s *Simulator) alarmed(r *refresh, state cw.StateValue) string {
	for _, name := range r.alarms {
		if s.alarms[name] == state {
			return name
		}
	}
	return ""
}

// succeed: "Once the instance refresh succeeds, Amazon EC2 Auto Scaling updates the settings of the Auto Scaling group
// to reflect the new desired configuration."
func (s *Simulator) succeed(g *group, r *refresh) {
	g.Version = r.version
	s.setStatus(g, r, types.InstanceRefreshStatusSuccessful, "")
}

// outdated reports whether the refresh replaces an instance. "SkipMatching: skips replacing instances that match the
// desired configuration." A rollback "replaces any instances that were replaced during the instance refresh", and no
// others.
func (r *refresh) outdated(i *instance) bool {
	if r.RollbackDetails != nil {
		return i.seq > r.first && i.seq <= r.last
	}
	return i.Version != r.version
}

// warmup: "the instance warmup by default is the value of the DefaultInstanceWarmup property, if defined (which is
// recommended in all cases), or the HealthCheckGracePeriod property otherwise."
func (g Group) warmup() time.Duration { return cmp.Or(g.Warmup, g.Grace) }

// passes reports whether an instance is in service and passes all health checks of the group.
func (s *Simulator) passes(g *group, i *instance) bool {
	return i.state == types.LifecycleStateInService && !i.terminating && !i.unhealthy && s.Driver.Running(i.ID) &&
		(!g.ELB || g.TargetGroup == "" || s.Driver.Health(i.ID) == elb.TargetHealthStateEnumHealthy)
}

// proven: "When the instance's health status changes to healthy and the specified warm-up time passes, the instance is
// considered updated."
func (s *Simulator) proven(g *group, i *instance) bool {
	return s.passes(g, i) && time.Since(i.served) >= s.scaled(g.warmup())
}

// rolling classifies the instances of a group during a refresh.
type rolling struct {
	old       []*instance // to be replaced
	unhealthy int         // outdated and unhealthy: replaced by the health checks
	current   int         // up to date
	ready     int         // old ones that pass, and up-to-date ones that are proven
	replaced  int         // proven ones that this refresh launched
	waiting   string      // status reason: the instance that the refresh waits for, and why
}

// classify classifies the instances of a group that is being refreshed.
func (s *Simulator) classify(g *group, r *refresh, c partition) rolling {
	var l rolling
	for _, i := range c.unhealthy {
		l.unhealthy += btoi(r.outdated(i))
	}
	for _, i := range c.good {
		if r.outdated(i) {
			l.old = append(l.old, i)
			l.ready += btoi(s.passes(g, i))
			continue
		}
		l.current++
		switch {
		case s.proven(g, i):
			l.ready++
			l.replaced += btoi(r.RollbackDetails != nil || i.seq > r.first)
		case s.passes(g, i):
			l.waiting = fmt.Sprintf("Waiting for instances to warm up before continuing. For example: %s is warming up.", i.ID)
		default:
			l.waiting = fmt.Sprintf("Waiting for remaining instances to be available. For example: %s has insufficient "+
				"data to evaluate its health.", i.ID)
		}
	}
	return l
}

// roll replaces as many instances as the bounds allow. It returns how many instances above the desired capacity must
// not be scaled in. User guide: "Launch the new instances first before terminating the old ones if the minimum healthy
// percentage is set to 100 percent. Check instances for health status and give them time to warm up before more
// instances are replaced."
func (s *Simulator) roll(g *group, r *refresh) int {
	c, b := g.partition(), g.bounds()
	l := s.classify(g, r, c)
	left := len(l.old) + l.unhealthy
	if r.total == 0 { // first iteration
		r.total, r.replaced, r.remaining = max(left, 1), 0, len(l.old)
		if r.RollbackDetails == nil && left == 0 {
			// User guide: "If you enable skip matching but the launch template, the launch template version, and instance
			// types are not changing, the instance refresh will succeed immediately without making any replacements."
			r.PercentageComplete = number(100)
			s.succeed(g, r)
			return 0
		}
	}
	// User guide: INSUFFICIENT_DATA: "When this happens, Amazon EC2 Auto Scaling cannot replace instances until new data
	// points are found."
	if name := s.alarmed(r, cw.StateValueInsufficientData); name != "" && r.RollbackDetails == nil {
		l.waiting = "Waiting for the alarm " + name + ", which is in the INSUFFICIENT_DATA state."
	} else {
		s.replace(g, r, c, &l, b)
	}
	r.progress(l)
	switch {
	case len(l.old)+l.unhealthy == 0 && l.ready >= g.Desired:
		s.finish(g, r)
	case time.Since(r.progressed) >= s.scaled(refreshTimeout+g.warmup()):
		s.fail(g, r, "The instance refresh made no progress for an hour. "+l.waiting)
	default:
		r.StatusReason = &l.waiting
	}
	if len(l.old) > 0 {
		return b.most - g.Desired
	}
	return 0
}

// replace launches and terminates instances as far as b allows.
func (s *Simulator) replace(g *group, r *refresh, c partition, l *rolling, b bounds) {
	live := len(c.good) + len(c.unhealthy)
	for n := l.current; len(l.old) > 0 && n < g.Desired && live < b.most && g.launches(); n++ {
		s.launch(g, "an instance was launched in response to an instance refresh")
		live++
	}
	order := slices.Clone(l.old)
	slices.SortStableFunc(order, func(x, y *instance) int { // those that do not pass first; not documented
		return btoi(s.passes(g, x)) - btoi(s.passes(g, y))
	})
	for _, i := range order {
		serves := btoi(s.passes(g, i))
		// A rollback terminates instances of the failed configuration that are still launching. Not documented.
		pending := i.state != types.LifecycleStateInService
		if l.ready-serves < b.least && (!pending || r.RollbackDetails == nil) {
			continue
		}
		l.ready -= serves
		s.terminate(g, i, "an instance was taken out of service in response to an instance refresh")
		l.old = slices.DeleteFunc(l.old, func(o *instance) bool { return o == i })
	}
}

// progress: "PercentageComplete does not include instances that are replaced during a rollback. This value gradually
// goes back down to zero during a rollback." "If you roll back the instance refresh, InstancesToUpdate shows you the
// number of instances that were not yet updated by the instance refresh."
func (r *refresh) progress(l rolling) {
	if l.replaced > r.replaced || len(l.old) < r.remaining {
		r.progressed = time.Now()
	}
	r.replaced, r.remaining = max(r.replaced, l.replaced), min(r.remaining, len(l.old))
	if d := r.RollbackDetails; d != nil {
		r.PercentageComplete = number(int(*d.PercentageCompleteOnRollback) * min(len(l.old), r.total) / r.total)
		return
	}
	r.InstancesToUpdate = number(len(l.old) + l.unhealthy)
	r.PercentageComplete = number(100 * min(l.replaced, r.total) / r.total)
}

// finish sets the status after the last replacement.
func (s *Simulator) finish(g *group, r *refresh) {
	r.PercentageComplete = number(100)
	switch {
	case r.RollbackDetails != nil:
		r.PercentageComplete = number(0)
		s.setStatus(g, r, types.InstanceRefreshStatusRollbackSuccessful, *r.RollbackDetails.RollbackReason)
	case aws.ToInt32(r.Preferences.BakeTime) > 0:
		s.setStatus(g, r, types.InstanceRefreshStatusBaking, "Waiting for the bake time to pass.")
	default:
		s.succeed(g, r)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
