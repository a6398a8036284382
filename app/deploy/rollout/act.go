package rollout

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"imagery/app/deploy/record"
)

// actor makes all changes to groups. Before each one it confirms the lock: after a laptop has slept or lost its
// network, another run may have taken it, and the next renewal is up to half a minute away.
type actor struct {
	clients Clients
	journal *journal
	*progress
}

func (a *actor) confirmLock(ctx context.Context) error {
	if err := a.journal.editLocked(ctx, func(*record.Record) {}); err != nil {
		return fmt.Errorf("keep the rollout lock: %w", err)
	}
	return nil
}

// maxAlarms is the number of alarms that AWS accepts for a refresh.
const maxAlarms = 10

// autoRollback has AWS roll a refresh back when an instance fails, or an alarm goes off until the end of the bake time.
type autoRollback struct {
	bake   time.Duration
	alarms []string
}

// startRefresh starts an instance refresh to a version. If AWS rejects a refresh with auto set, startRefresh returns an
// inconclusive *failure.
func (a *actor) startRefresh(ctx context.Context, g *group, version string, auto *autoRollback) error {
	p := &types.RefreshPreferences{
		// As for every other replacement in this group, a new instance is launched before an old one is terminated.
		MinHealthyPercentage: g.minHealthy, MaxHealthyPercentage: g.maxHealthy,
		SkipMatching: aws.Bool(true),
		// By default a refresh waits for protected and standby instances, and fails after an hour.
		ScaleInProtectedInstances: types.ScaleInProtectedInstancesRefresh,
		StandbyInstances:          types.StandbyInstancesIgnore,
	}
	if auto != nil {
		p.AutoRollback, p.BakeTime = aws.Bool(true), aws.Int32(int32(auto.bake/time.Second))
		if n := min(len(auto.alarms), maxAlarms); n > 0 {
			p.AlarmSpecification = &types.AlarmSpecification{Alarms: auto.alarms[:n]}
		}
	}
	if err := a.confirmLock(ctx); err != nil {
		return err
	}
	_, err := a.clients.Groups.StartInstanceRefresh(ctx, &autoscaling.StartInstanceRefreshInput{
		AutoScalingGroupName: &g.Name, Strategy: types.RefreshStrategyRolling, Preferences: p,
		DesiredConfiguration: &types.DesiredConfiguration{LaunchTemplate: launchTemplate(g, version)}})
	switch {
	case is(err, "InstanceRefreshInProgress"):
		return nil // the answer was lost, or another refresh was started first: the next read shows it
	case auto != nil && answered(err):
		// Most likely a missing permission or a quota, not a fault of the release.
		return &failure{finalResult: record.Inconclusive,
			reason: fmt.Sprintf("AWS did not start the refresh of the %ss: %v", g.role, err)}
	case err != nil:
		return fmt.Errorf("start the instance refresh of group %s: %w", g.Name, err)
	}
	a.log("%s: refresh to version %s started", g.role, version)
	return nil
}

func launchTemplate(g *group, version string) *types.LaunchTemplateSpecification {
	return &types.LaunchTemplateSpecification{LaunchTemplateId: &g.template, Version: &version}
}

// setVersion sets the launch template version of a group in which no instance serves. Its failing instances are
// replaced by Auto Scaling, by instances of that version.
func (a *actor) setVersion(ctx context.Context, g *group, version string) error {
	if err := a.confirmLock(ctx); err != nil {
		return err
	}
	a.log("%s: no instance serves, so the group gets version %s at once", g.role, version)
	_, err := a.clients.Groups.UpdateAutoScalingGroup(ctx, &autoscaling.UpdateAutoScalingGroupInput{
		AutoScalingGroupName: &g.Name, LaunchTemplate: launchTemplate(g, version)})
	if err != nil {
		return fmt.Errorf("update group %s: %w", g.Name, err)
	}
	return nil
}

// rollBack has AWS roll back the refresh of a group. A refresh that AWS cannot roll back is cancelled: the rollback
// then continues with a refresh to the old version.
func (a *actor) rollBack(ctx context.Context, g *group) error {
	if err := a.confirmLock(ctx); err != nil {
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
	if err != nil && !is(err, "ActiveInstanceRefreshNotFound") { // it ended meanwhile: the next read shows it
		return fmt.Errorf("roll back the instance refresh of group %s: %w", g.Name, err)
	}
	return nil
}

// cancel cancels the refresh of a group. The caller has confirmed the lock.
func (a *actor) cancel(ctx context.Context, g *group) error {
	_, err := a.clients.Groups.CancelInstanceRefresh(ctx,
		&autoscaling.CancelInstanceRefreshInput{AutoScalingGroupName: &g.Name})
	if err != nil && !is(err, "ActiveInstanceRefreshNotFound") {
		return fmt.Errorf("cancel the instance refresh of group %s: %w", g.Name, err)
	}
	return nil
}

// suspendLaunches has a group launch no instances until resume.
func (a *actor) suspendLaunches(ctx context.Context, g *group) error {
	_, err := a.clients.Groups.SuspendProcesses(ctx, &autoscaling.SuspendProcessesInput{
		AutoScalingGroupName: &g.Name, ScalingProcesses: []string{launchProcess}})
	if err != nil {
		return fmt.Errorf("suspend the launches of group %s: %w", g.Name, err)
	}
	a.log("%s: launches are suspended until the next rollout", g.role)
	return nil
}

// resume resumes processes of a group, or all of them if none is named.
func (a *actor) resume(ctx context.Context, g *group, processes ...string) error {
	_, err := a.clients.Groups.ResumeProcesses(ctx, &autoscaling.ResumeProcessesInput{
		AutoScalingGroupName: &g.Name, ScalingProcesses: processes})
	if err != nil {
		return fmt.Errorf("resume processes of group %s: %w", g.Name, err)
	}
	if len(processes) == 0 {
		processes = slices.Sorted(maps.Keys(g.suspended))
	}
	a.log("%s: resumed %s", g.role, strings.Join(processes, ", "))
	for _, p := range processes {
		delete(g.suspended, p)
	}
	return nil
}
