package asgsim

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

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
		case i.terminating:
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

// reconcile replaces unhealthy instances and scales the group to its desired capacity.
func (s *Simulator) reconcile(g *group) {
	s.checkHealth(g)
	surplus := s.refresh(g)
	c, b := g.partition(), g.bounds()
	for len(c.good) < g.Desired && len(c.good)+len(c.unhealthy) < b.most && g.launches() {
		c.good = append(c.good,
			s.launch(g, "an instance was started in response to a difference between desired and actual capacity"))
	}
	// "MinHealthyPercentage: the minimum percentage of the group to keep in service, healthy, and ready to use to
	// support your workload when replacing instances." An instance that is powered off does not count.
	kept := len(c.serving) + len(c.unhealthy)
	for _, i := range c.unhealthy {
		if kept > b.least || b.most <= g.Desired || !s.Driver.Running(i.ID) {
			kept--
			s.terminate(g, i, "an instance was taken out of service in response to a health check failure")
		}
	}
	for len(c.good) > g.Desired+surplus {
		i := scaleInCandidate(c.good)
		c.good = slices.DeleteFunc(c.good, func(o *instance) bool { return o == i })
		s.terminate(g, i,
			"an instance was taken out of service in response to a difference between desired and actual capacity")
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

// bounds returns those of the active refresh, else of the instance maintenance policy: "MaxHealthyPercentage: the
// maximum percentage of the group that can be in service and healthy, or pending, to support your workload when
// replacing instances." The minimum is rounded up, the maximum down; the latter is not documented.
func (g *group) bounds() bounds {
	r, least, most := g.active(), g.MinHealthy, g.MaxHealthy
	if r != nil {
		least, most = int(*r.Preferences.MinHealthyPercentage), int(*r.Preferences.MaxHealthyPercentage)
	}
	b := bounds{least: (g.Desired*least + 99) / 100, most: max(g.Desired, g.Desired*most/100)}
	if r != nil && b.least >= g.Desired && b.most <= g.Desired {
		// "When MaxHealthyPercentage is explicitly set and it is mathematically impossible to replace instances while
		// honoring both bounds simultaneously, Auto Scaling launches a new instance before terminating an old one
		// (temporarily exceeding the desired capacity)."
		b.most++
	}
	return b
}

// scaleInCandidate selects the instance to terminate on scale-in: in the zone with the most instances, the one with the
// oldest launch template, then the oldest.
func scaleInCandidate(of []*instance) *instance {
	crowd := map[string]int{}
	for _, i := range of {
		crowd[i.Zone]++
	}
	return slices.MinFunc(of, func(a, b *instance) int {
		return cmp.Or(crowd[b.Zone]-crowd[a.Zone], a.number()-b.number(), a.launched.Compare(b.launched))
	})
}

// checkHealth marks unhealthy instances.
func (s *Simulator) checkHealth(g *group) {
	for _, i := range g.instances {
		if i.state != types.LifecycleStateInService || i.unhealthy || i.terminating {
			continue
		}
		// "EC2 is the default health check and cannot be disabled." Power loss counts within the grace period, too.
		if !s.Driver.Running(i.ID) {
			i.unhealthy = true
		}
		// "The amount of time, in seconds, that Amazon EC2 Auto Scaling waits before checking the health status of an
		// EC2 instance that has come into service and marking it unhealthy due to a failed health check."
		if g.ELB && time.Since(i.served) >= s.scaled(g.Grace) &&
			s.Driver.Health(i.ID) == elb.TargetHealthStateEnumUnhealthy {
			i.unhealthy = true
		}
		if i.unhealthy {
			s.Log("%s %s is unhealthy", g.Name, i.ID)
		}
	}
}
