package asgsim

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	cw "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

const (
	// pendingDelay is the time in status Pending. User guide: "The status should then quickly change to InProgress."
	pendingDelay = 5 * time.Second
	// refreshTimeout: user guide: "When an instance refresh is unable to continue making replacements because it is
	// waiting to replace instances on standby or protected from scale in, or the new instances do not pass their health
	// checks, Amazon EC2 Auto Scaling keeps retrying for an hour. If the problem persists after an hour, the operation
	// fails."
	refreshTimeout = time.Hour
)

// refresh advances the group's refresh by one step. It returns how many instances above the desired capacity must not
// be scaled in. The lock is held.
func (s *Simulator) refresh(g *group) int {
	r := g.active()
	if r == nil {
		return 0
	}
	switch r.Status {
	case types.InstanceRefreshStatusPending:
		// "The request was created, but the instance refresh has not started."
		if time.Since(r.since) >= s.scaled(pendingDelay) {
			s.setStatus(g, r, types.InstanceRefreshStatusInProgress, "")
		}
	case types.InstanceRefreshStatusInProgress:
		if name := s.alarmed(r, cw.StateValueAlarm); name != "" {
			s.fail(g, r, "The alarm "+name+" is in the ALARM state")
			return r.bounds(g).most - g.Desired // a scale-in would terminate an instance that the rollback needs
		}
		return s.roll(g, r)
	case types.InstanceRefreshStatusRollbackInProgress: // that alarms are ignored now is not documented
		return s.roll(g, r)
	case types.InstanceRefreshStatusBaking:
		// "BakeTime: the amount of time, in seconds, to wait at the end of an instance refresh before the instance refresh
		// is considered complete."
		if name := s.alarmed(r, cw.StateValueAlarm); name != "" {
			s.fail(g, r, "The alarm "+name+" is in the ALARM state")
		} else if time.Since(r.since) >= s.scaled(r.Preferences.BakeTime) {
			s.succeed(g, r)
		}
	case types.InstanceRefreshStatusCancelling:
		// "WaitForTransitioningInstances: whether to wait for in-flight launches and terminations to complete."
		if r.wait && g.transitioning() {
			return r.bounds(g).most - g.Desired
		}
		s.setStatus(g, r, types.InstanceRefreshStatusCancelled, r.Reason)
	}
	return 0
}

// alarmed returns the first alarm of a refresh that is in a state, or "".
func (s *Simulator) alarmed(r *refresh, state cw.StateValue) string {
	for _, name := range r.Preferences.Alarms {
		if a := s.alarms[name]; a != nil && a.State == state {
			return name
		}
	}
	return ""
}

func (g *group) transitioning() bool {
	for _, i := range g.instances {
		if i.state != types.LifecycleStateInService && i.state != types.LifecycleStateStandby {
			return true
		}
	}
	return false
}

// succeed: "Once the instance refresh succeeds, Amazon EC2 Auto Scaling updates the settings of the Auto Scaling group
// to reflect the new desired configuration."
func (s *Simulator) succeed(g *group, r *refresh) {
	if r.Version != "" {
		g.Version = r.Version
	}
	s.setStatus(g, r, types.InstanceRefreshStatusSuccessful, "")
}

// finish sets the status after the last replacement: "Baking: waiting the specified bake time after an instance refresh
// has finished updating instances." "RollbackSuccessful: the rollback completed successfully."
func (s *Simulator) finish(g *group, r *refresh) {
	switch {
	case r.Rollback != nil:
		r.Percent = 0
		s.setStatus(g, r, types.InstanceRefreshStatusRollbackSuccessful, r.Rollback.Reason)
	case r.Preferences.BakeTime > 0:
		r.Percent = 100
		s.setStatus(g, r, types.InstanceRefreshStatusBaking, "Waiting for the bake time to pass.")
	default:
		r.Percent = 100
		s.succeed(g, r)
	}
}
