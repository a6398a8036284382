package asgsim

import (
	"math"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

// Track executes a target tracking policy whose metric has the given value: "The scaling policy adds or removes
// capacity as required to keep the metric at, or close to, the specified target value." The metric is one per instance,
// so that its value times the number of instances is the load. cause names the alarm that executes the policy.
func (s *Simulator) Track(name string, value, target float64, cause string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.group(name)
	if err != nil {
		return err
	}
	if _, suspended := g.suspended["AlarmNotification"]; suspended {
		return nil // it "accepts notifications from CloudWatch alarms that are associated with the group's scaling policies"
	}
	if n := tracked(g.Group, s.capacity(g), value, target); n != g.Desired {
		s.Log("%s: %s: the metric is %.4g, its target %.4g: desired capacity changes from %d to %d", g.Name, cause, value,
			target, g.Desired, n)
		g.Desired = n
		s.changed(g)
	}
	return nil
}

// capacity counts the instances of a group as scaling policies do.
type capacity struct {
	warm        int // in service, healthy, and past the warm-up
	warming     int // launching, or in service for less than the warm-up
	terminating int
}

func (s *Simulator) capacity(g *group) (c capacity) {
	for _, i := range g.instances {
		switch {
		case i.terminating:
			c.terminating++
		case i.unhealthy:
		case i.state == types.LifecycleStateInService && now().Sub(i.served) >= s.scaled(g.warmup()):
			c.warm++
		default:
			c.warming++
		}
	}
	return c
}

// tracked returns the desired capacity that a target tracking policy sets, which is the present one if it does not
// scale. An instance refresh does not keep it from scaling: "If a scale-out event occurs during an instance refresh,
// Amazon EC2 Auto Scaling launches new instances with the desired configuration".
func tracked(g Group, c capacity, value, target float64) int {
	if math.IsNaN(value) || target <= 0 {
		return g.Desired // "does not scale in your Auto Scaling group when the specified metric has insufficient data"
	}
	// "While scaling out, we do not consider instances that are warming up as part of the current capacity of the group.
	// This ensures that we don't add more instances than you need." "We act conservatively by rounding up".
	need := int(math.Ceil(float64(c.warm)*value/target - 1e-9)) // floating point may leave a little more than a whole one
	if value > target {
		// "The Auto Scaling group scales out proportionally to the metric as fast as it can". "If instances are still
		// warming up and the group scales out again, the instances are counted as part of the desired capacity for the next
		// scale-out activity."
		return max(g.Desired, min(g.Max, need))
	}
	// "This blocks scale-in activities initiated by scaling policies until the instances finish warming up." "A scale-in
	// activity can't start while a scale-out activity is in progress." "While scaling in, we consider instances that are
	// terminating as part of the current capacity of the group. Therefore, we don't remove more instances from the Auto
	// Scaling group than necessary." It "scales in more gradually": how gradually is not documented; here one instance at
	// a time, and none while another one terminates.
	if c.warming > 0 || c.warm == 0 || c.terminating > 0 {
		return g.Desired
	}
	return min(g.Desired, max(g.Min, need, g.Desired-1))
}
