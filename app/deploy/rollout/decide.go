package rollout

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"imagery/app/deploy/record"
)

const (
	// healthyTimeout bounds how long instances may take to become healthy when no refresh watches them: one boot
	// including its lifecycle hook.
	healthyTimeout = 20 * time.Minute
	// refreshTimeout bounds how long a group may take to reach its version, in case AWS never ends the refresh.
	// AWS itself gives up after an hour without progress.
	refreshTimeout = 3 * time.Hour
	// maxFailedLaunches fail a release. Auto Scaling itself would keep retrying for an hour.
	maxFailedLaunches = 2
	// maxFailedRollbackLaunches stop a rollback. It is higher since nothing is left to try after a rollback.
	maxFailedRollbackLaunches = 6
	// maxRefreshes bounds the refreshes that a run starts per group: one, and two more if others cancel it.
	maxRefreshes = 3
)

// action is the next thing to do for a group.
type action int

const (
	// actionWait for AWS, and decide again at the next poll.
	actionWait action = iota
	// actionAwaitVersion waits until the group shows the version of a refresh that has succeeded. It counts as a started
	// refresh, so that the wait is bounded.
	actionAwaitVersion
	// actionWatchRefresh checks the launches of the refresh in progress.
	actionWatchRefresh
	// actionWatchBake is actionWatchRefresh while all instances have the new version already, so that the smoke test may
	// start.
	actionWatchBake
	// actionAwaitHealthy waits for the health of a group that has arrived.
	actionAwaitHealthy
	// actionSetVersion changes the version of a group in which no instance serves. A refresh would wait in vain for the
	// health of the instances that it must keep.
	actionSetVersion
	actionStartRefresh
	actionRollBack
	actionCancel
	// actionExplain fails the rollout with the reason for which AWS ended the refresh.
	actionExplain
	// actionFail ends the rollout with the error of the decision.
	actionFail
	// actionStop ends the work on the group.
	actionStop
)

// decision is the next action for a group. Refresh is set for actionWatchRefresh, actionWatchBake and actionExplain;
// err is set for actionFail.
type decision struct {
	action  action
	refresh *refresh
	err     error
}

func inconclusive(format string, args ...any) decision {
	return decision{action: actionFail, err: &Error{result: record.Inconclusive, Reason: fmt.Sprintf(format, args...)}}
}

// target is the progress of one group towards a launch template version.
type target struct {
	*group
	want   string
	before string    // id of the newest refresh that is older than this rollout; "" if there is none
	began  time.Time // of this run's work on the group
	starts int       // refreshes that this run has started
	stuck  error     // why the group cannot be rolled back, or nil
}

// wanted returns the wanted version of the group's launch template.
func (t *target) wanted() *types.LaunchTemplateSpecification {
	return &types.LaunchTemplateSpecification{LaunchTemplateId: &t.template, Version: &t.want}
}

// decideForward returns the next action that brings a group to a new version. It depends only on what was read, so that
// a run may be killed and started again at any point.
func decideForward(t *target, now time.Time) decision {
	f := t.refresh()
	own := t.since(t.before, t.want)
	switch {
	// A refresh is in progress.
	case f != nil && f.version() != t.want:
		// Another operator started it for a reason; two rollouts that replace each other would not end.
		return inconclusive("another refresh, of the %ss to version %s, was started meanwhile", t.role, f.version())
	case f != nil && !f.forward():
		return decision{action: actionExplain, refresh: f} // known before the rollback has ended
	case now.Sub(t.began) > refreshTimeout && !t.at(t.want):
		return inconclusive("the %ss took more than %s", t.role, refreshTimeout)
	case f != nil && f.Status == types.InstanceRefreshStatusBaking:
		return decision{action: actionWatchBake, refresh: f}
	case f != nil:
		return decision{action: actionWatchRefresh, refresh: f}
	// None is in progress, and one of this rollout has ended.
	case len(own) > 0 && own[0].Status != types.InstanceRefreshStatusSuccessful:
		return decision{action: actionExplain, refresh: &own[0]}
	case t.at(t.want):
		return decision{action: actionAwaitHealthy}
	case len(own) > 0 && t.version != t.want && t.starts < maxRefreshes:
		return decision{action: actionAwaitVersion}
	// None has begun.
	case t.version != t.want && !t.serves(t.want):
		return decision{action: actionSetVersion}
	case t.version == t.want && !t.serves(t.want):
		return decision{action: actionAwaitHealthy} // Auto Scaling replaces the failing instances of the old version
	case t.starts >= maxRefreshes:
		return inconclusive("%d refreshes of the %ss ended, and there are still other instances", t.starts, t.role)
	}
	return decision{action: actionStartRefresh}
}

// decideRollback returns the next action that brings a group back to an old version. Instances that still have the old
// version are never replaced. The error of actionFail wraps errRollbackStuck; the refresh of a stuck group is ended.
func decideRollback(t *target, now time.Time) decision {
	f := t.refresh()
	switch {
	case t.stuck != nil && f == nil:
		return decision{action: actionStop}
	case t.stuck != nil && f.Status == types.InstanceRefreshStatusCancelling:
		return decision{action: actionWait}
	case t.stuck != nil:
		return decision{action: actionCancel}
	case f == nil && t.at(t.want) && now.Sub(t.began) > healthyTimeout:
		return decision{action: actionStop} // as it was before; its health has another cause, which alarms report
	case f == nil && t.at(t.want):
		return decision{action: actionAwaitHealthy}
	case now.Sub(t.began) > refreshTimeout:
		return stuck("the %ss are not back at version %s after %s", t.role, t.want, refreshTimeout)
	case f != nil && f.forward() && f.version() == t.want:
		return decision{action: actionWatchRefresh, refresh: f}
	case f != nil && !f.forward():
		return decision{action: actionWait} // AWS rolls back or cancels
	case f != nil:
		return decision{action: actionRollBack} // AWS replaces only what the refresh had replaced
	case t.version != t.want && !t.serves(t.want):
		return decision{action: actionSetVersion}
	case t.version == t.want && !t.serves(t.want):
		return decision{action: actionWait} // Auto Scaling replaces the failing instances of the other version
	case t.starts >= maxRefreshes:
		return stuck("%d refreshes of the %ss to version %s ended, and there are still other instances: look at its "+
			"scaling activities", t.starts, t.role, t.want)
	}
	// AWS cannot roll back a refresh that has ended; a refresh to the old version does. It skips the instances that have
	// it.
	return decision{action: actionStartRefresh}
}

func stuck(format string, args ...any) decision {
	return decision{action: actionFail, err: fmt.Errorf("%w: %s", errRollbackStuck, fmt.Sprintf(format, args...))}
}
