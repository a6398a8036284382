package asgsim

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	cw "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// outdated reports whether the refresh replaces an instance. "SkipMatching: skips replacing instances that match the
// desired configuration. If no desired configuration is specified, then it skips replacing instances that have the
// same launch template that the Auto Scaling group was using before the start." A rollback "replaces any instances
// that were replaced during the instance refresh", and no others.
func (r *refresh) outdated(g *group, i *instance) bool {
	switch {
	case i.protected && r.Preferences.Protected == "Ignore":
		// "Amazon EC2 Auto Scaling ignores instances that are protected from scale in and continues to replace instances
		// that are not protected."
		return false
	case r.Rollback != nil:
		return i.seq > r.first && i.seq <= r.last
	case r.Preferences.SkipMatching:
		return i.Version != cmp.Or(r.Version, g.Version)
	default:
		return i.seq < r.first
	}
}

// warmup: "If you do not specify this property, the instance warmup by default is the value of the
// DefaultInstanceWarmup property, if defined (which is recommended in all cases), or the HealthCheckGracePeriod
// property otherwise."
func (r *refresh) warmup(g *group) time.Duration {
	switch {
	case r.Preferences.Warmup != nil:
		return *r.Preferences.Warmup
	case g.Warmup != 0:
		return g.Warmup
	}
	return g.Grace
}

// passes reports whether an instance is in service and passes all health checks of the group. The lock is held.
func (s *Simulator) passes(g *group, i *instance) bool {
	return i.state == types.LifecycleStateInService && !i.terminating && !i.unhealthy && s.Driver.Running(i.ID) &&
		(!g.ELB || g.TargetGroup == "" || s.Driver.Health(i.ID) == elb.TargetHealthStateEnumHealthy)
}

// proven: "When the instance's health status changes to healthy and the specified warm-up time passes, the instance is
// considered updated."
func (s *Simulator) proven(g *group, r *refresh, i *instance) bool {
	return s.passes(g, i) && time.Since(i.served) >= s.scaled(r.warmup(g))
}

// rolling classifies the instances of a group during a refresh.
type rolling struct {
	old      []*instance // to be replaced
	sick     int         // outdated and unhealthy: replaced by the health checks
	fresh    int         // up to date
	ready    int         // old ones that pass, and up-to-date ones that are proven
	replaced int         // proven ones that this refresh launched
	waiting  string      // status reason: the instance that the refresh waits for, and why
}

// classify classifies the instances of a group that is being refreshed. The lock is held.
func (s *Simulator) classify(g *group, r *refresh, c partition) rolling {
	var l rolling
	for _, i := range c.unhealthy {
		l.sick += btoi(r.outdated(g, i))
	}
	for _, i := range c.good {
		switch old := r.outdated(g, i); {
		case old:
			l.old = append(l.old, i)
			if s.passes(g, i) {
				l.ready++
			}
		case s.proven(g, r, i):
			l.fresh++
			l.ready++
			if r.Rollback != nil || i.seq > r.first {
				l.replaced++
			}
		case s.passes(g, i):
			l.fresh++
			l.waiting = fmt.Sprintf("Waiting for instances to warm up before continuing. For example: %s is warming up.", i.ID)
		default:
			l.fresh++
			l.waiting = fmt.Sprintf("Waiting for remaining instances to be available. For example: %s has insufficient "+
				"data to evaluate its health.", i.ID)
		}
	}
	return l
}

// roll replaces as many instances as the bounds allow. It returns how many instances above the desired capacity must
// not be scaled in. User guide: "Launch the new instances first before terminating the old ones if the minimum healthy
// percentage is set to 100 percent. Check instances for health status and give them time to warm up before more
// instances are replaced." The lock is held.
func (s *Simulator) roll(g *group, r *refresh) int {
	c, b := g.partition(), r.bounds(g)
	l := s.classify(g, r, c)
	if r.total == 0 { // first iteration
		r.total, r.replaced, r.remaining = max(len(l.old)+l.sick, 1), 0, len(l.old)
		if r.Rollback == nil && r.Preferences.SkipMatching && len(l.old)+l.sick == 0 && !s.standby(g, r) {
			// User guide: "If you enable skip matching but the launch template, the launch template version, and instance
			// types are not changing, the instance refresh will succeed immediately without making any replacements."
			r.Percent = 100
			s.succeed(g, r)
			return 0
		}
	}
	// User guide: INSUFFICIENT_DATA: "When this happens, Amazon EC2 Auto Scaling cannot replace instances until new data
	// points are found."
	if name := s.alarmed(r, cw.StateValueInsufficientData); name != "" && r.Rollback == nil {
		l.waiting = "Waiting for the alarm " + name + ", which is in the INSUFFICIENT_DATA state."
	} else {
		s.replace(g, r, c, &l, b)
	}
	standby := s.standby(g, r)
	r.progress(l)
	switch {
	case len(l.old)+l.sick == 0 && !standby && l.ready >= g.Desired:
		s.finish(g, r)
	case time.Since(r.progressed) >= s.scaled(refreshTimeout+r.warmup(g)):
		s.fail(g, r, "The instance refresh made no progress for an hour. "+l.waiting)
	default:
		r.Reason = l.waiting
	}
	if len(l.old) > 0 {
		return b.most - g.Desired
	}
	return 0
}

// replace launches and terminates instances as far as b allows. The lock is held.
func (s *Simulator) replace(g *group, r *refresh, c partition, l *rolling, b bounds) {
	live := len(c.good) + len(c.unhealthy)
	for n := l.fresh; len(l.old) > 0 && n < g.Desired && live < b.most && g.launches(); n++ {
		s.launch(g, "an instance was launched in response to an instance refresh")
		live++
	}
	order := slices.Clone(l.old)
	slices.SortStableFunc(order, func(x, y *instance) int { // those that do not pass first; not documented
		return btoi(s.passes(g, x)) - btoi(s.passes(g, y))
	})
	for _, i := range order {
		serves := s.passes(g, i)
		// A rollback terminates instances of the failed configuration that are still launching. Not documented.
		pending := i.state != types.LifecycleStateInService
		if i.protected && r.Preferences.Protected != "Refresh" {
			// "Wait (default): Amazon EC2 Auto Scaling waits one hour for you to remove scale-in protection. Otherwise, the
			// instance refresh will fail."
			l.waiting = "Waiting for " + i.ID + ", which is protected from scale in."
			continue
		}
		if l.ready-btoi(serves) < b.least && (!pending || r.Rollback == nil) {
			continue
		}
		l.ready -= btoi(serves)
		s.terminate(g, i, "an instance was taken out of service in response to an instance refresh")
		l.old = slices.DeleteFunc(l.old, func(o *instance) bool { return o == i })
	}
}

// standby handles instances in Standby, and reports whether the refresh waits for one: "Terminate: Amazon EC2 Auto
// Scaling terminates instances that are in Standby. Ignore: ignores instances that are in Standby and continues to
// replace instances that are in the InService state. Wait (default): waits one hour for you to return the instances to
// service. Otherwise, the instance refresh will fail."
func (s *Simulator) standby(g *group, r *refresh) bool {
	waits := false
	for _, i := range g.instances {
		if i.state != types.LifecycleStateStandby || i.terminating || !r.outdated(g, i) {
			continue
		}
		switch r.Preferences.Standby {
		case "Terminate":
			s.terminate(g, i, "an instance was taken out of service in response to an instance refresh")
		case "Ignore":
		default:
			waits = true
		}
	}
	return waits
}

// progress: "PercentageComplete does not include instances that are replaced during a rollback. This value gradually
// goes back down to zero during a rollback." "If you roll back the instance refresh, InstancesToUpdate shows you the
// number of instances that were not yet updated by the instance refresh."
func (r *refresh) progress(l rolling) {
	if l.replaced > r.replaced || len(l.old) < r.remaining {
		r.progressed = time.Now()
	}
	r.replaced, r.remaining = max(r.replaced, l.replaced), min(r.remaining, len(l.old))
	if r.Rollback != nil {
		r.Percent = r.Rollback.Percent * min(len(l.old), r.total) / r.total
		return
	}
	r.ToUpdate = len(l.old) + l.sick
	r.Percent = 100 * min(l.replaced, r.total) / r.total
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
