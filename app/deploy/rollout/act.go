package rollout

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

// actor makes all changes to groups. Before each one it confirms the lock: after a laptop has slept or lost its
// network, another run may have taken it, and the next renewal is up to half a minute away.
type actor struct {
	clients Clients
	journal *journal
	*progress
}

// startRefresh starts an instance refresh to the version of the target. If AWS rejects one that p has it roll back
// by itself, startRefresh returns an inconclusive failure.
func (a *actor) startRefresh(ctx context.Context, t *target, p types.RefreshPreferences) error {
	// As for every other replacement in this group, a new instance is launched before an old one is terminated.
	p.MinHealthyPercentage, p.MaxHealthyPercentage = t.maintenance.MinHealthyPercentage, t.maintenance.MaxHealthyPercentage
	p.SkipMatching = aws.Bool(true)
	// By default a refresh waits for protected and standby instances, and fails after an hour.
	p.ScaleInProtectedInstances = types.ScaleInProtectedInstancesRefresh
	p.StandbyInstances = types.StandbyInstancesIgnore
	if err := a.journal.confirmLock(ctx); err != nil {
		return err
	}
	_, err := a.clients.Groups.StartInstanceRefresh(ctx, &autoscaling.StartInstanceRefreshInput{
		AutoScalingGroupName: &t.Name, Strategy: types.RefreshStrategyRolling, Preferences: &p,
		DesiredConfiguration: &types.DesiredConfiguration{LaunchTemplate: t.wanted()}})
	switch {
	case is(err, "InstanceRefreshInProgress"): // the answer was lost, or another refresh was first: the next read shows it
	case p.AutoRollback != nil && answered(err):
		// Most likely a missing permission or a quota, not a fault of the release.
		return inconclusive("AWS did not start the refresh of the %ss: %v", t.role, err).err
	case err != nil:
		return wrap(err, "start the instance refresh of group %s", t.Name)
	default:
		a.log("%s: refresh to version %s started", t.role, t.want)
	}
	t.starts++
	return nil
}

// setVersion sets the launch template version of a group in which no instance serves. Its failing instances are
// replaced by Auto Scaling, by instances of that version.
func (a *actor) setVersion(ctx context.Context, t *target) error {
	if err := a.journal.confirmLock(ctx); err != nil {
		return err
	}
	a.log("%s: no instance serves, so the group gets version %s at once", t.role, t.want)
	_, err := a.clients.Groups.UpdateAutoScalingGroup(ctx, &autoscaling.UpdateAutoScalingGroupInput{
		AutoScalingGroupName: &t.Name, LaunchTemplate: t.wanted()})
	return wrap(err, "update group %s", t.Name)
}

// rollBack has AWS roll back the refresh of a group. A refresh that AWS cannot roll back is cancelled: the rollback
// then continues with a refresh to the old version.
func (a *actor) rollBack(ctx context.Context, g *group) error {
	if err := a.journal.confirmLock(ctx); err != nil {
		return err
	}
	return a.rollBackWithoutLock(ctx, g)
}

// rollBackWithoutLock is rollBack for an abort, which acts for the run that has the lock.
func (a *actor) rollBackWithoutLock(ctx context.Context, g *group) error {
	a.log("%s: rolling back", g.role)
	_, err := a.clients.Groups.RollbackInstanceRefresh(ctx,
		&autoscaling.RollbackInstanceRefreshInput{AutoScalingGroupName: &g.Name})
	if is(err, "IrreversibleInstanceRefresh") {
		return a.cancel(ctx, g)
	}
	if is(err, "ActiveInstanceRefreshNotFound") {
		return nil // it ended meanwhile: the next read shows it
	}
	return wrap(err, "roll back the instance refresh of group %s", g.Name)
}

// cancel cancels the refresh of a group. The caller has confirmed the lock.
func (a *actor) cancel(ctx context.Context, g *group) error {
	_, err := a.clients.Groups.CancelInstanceRefresh(ctx,
		&autoscaling.CancelInstanceRefreshInput{AutoScalingGroupName: &g.Name})
	if is(err, "ActiveInstanceRefreshNotFound") {
		return nil
	}
	return wrap(err, "cancel the instance refresh of group %s", g.Name)
}

// suspendLaunches has a group launch no instances until resume.
func (a *actor) suspendLaunches(ctx context.Context, g *group) error {
	_, err := a.clients.Groups.SuspendProcesses(ctx, &autoscaling.SuspendProcessesInput{
		AutoScalingGroupName: &g.Name, ScalingProcesses: []string{launchProcess}})
	if err == nil {
		a.log("%s: launches are suspended until the next rollout", g.role)
	}
	return wrap(err, "suspend the launches of group %s", g.Name)
}

// resume resumes processes of a group.
func (a *actor) resume(ctx context.Context, g *group, processes []string) error {
	_, err := a.clients.Groups.ResumeProcesses(ctx, &autoscaling.ResumeProcessesInput{
		AutoScalingGroupName: &g.Name, ScalingProcesses: processes})
	if err != nil {
		return wrap(err, "resume processes of group %s", g.Name)
	}
	a.log("%s: resumed %s", g.role, strings.Join(processes, ", "))
	for _, p := range processes {
		delete(g.suspended, p)
	}
	return nil
}
