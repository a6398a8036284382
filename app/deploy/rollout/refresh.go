package rollout

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
)

// What a run changes about a group is all in this file. Before each call it asks whether the lock is still its own: after
// a laptop has slept, or a network was away, somebody else may be at work for long, and the next renewal is half a
// minute off.
func (r *run) holds(ctx context.Context) error {
	if err := r.journal.mine(ctx, func(*record.Record) {}); err != nil {
		return fmt.Errorf("keep the rollout lock: %w", err)
	}
	return nil
}

// mostGuards is how many alarms AWS takes for a refresh.
const mostGuards = 10

// launch starts a refresh and counts it; one that AWS could not be asked for is none.
func (r *run) launch(ctx context.Context, to *roll, version string, guarded bool) error {
	err := r.refresh(ctx, to.group, version, guarded)
	if err == nil {
		to.started++
	}
	return err
}

// refresh starts an instance refresh. Guarded, it goes back by itself when an instance or an alarm says so.
func (r *run) refresh(ctx context.Context, g *group, version string, guarded bool) error {
	p := &types.RefreshPreferences{
		// As for every other replacement of an instance in this group: a new one comes before an old one goes.
		MinHealthyPercentage: g.minHealthy, MaxHealthyPercentage: g.maxHealthy,
		SkipMatching: aws.Bool(true),
		// The default of both is to wait for a person, and to fail after an hour.
		ScaleInProtectedInstances: types.ScaleInProtectedInstancesRefresh, StandbyInstances: types.StandbyInstancesIgnore,
	}
	if guarded {
		// While it bakes, a refresh can be rolled back, and alarms have time to notice. With one that rings it would not
		// start, so a forced one has none.
		p.AutoRollback, p.BakeTime = aws.Bool(true), aws.Int32(int32(r.Bake/time.Second))
		guards := r.guards(g)
		if g.role == settings.Server && !r.Start {
			// An alarm of the workers may need longer than their bake.
			workers := slices.DeleteFunc(slices.Clone(r.guards(r.groups[settings.Worker])), func(a string) bool { return slices.Contains(guards, a) })
			guards = slices.Concat(guards, workers)
		}
		if len(guards) > 0 {
			p.AlarmSpecification = &types.AlarmSpecification{Alarms: guards[:min(len(guards), mostGuards)]}
		}
	}
	if err := r.holds(ctx); err != nil {
		return err
	}
	_, err := r.Clients.Groups.StartInstanceRefresh(ctx, &autoscaling.StartInstanceRefreshInput{AutoScalingGroupName: &g.Name, Strategy: types.RefreshStrategyRolling, Preferences: p,
		DesiredConfiguration: &types.DesiredConfiguration{LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateId: &g.template, Version: &version}}})
	switch {
	case is(err, "InstanceRefreshInProgress"):
		return nil // the response was lost, or another refresh was started first: the next read shows it
	case guarded && answered(err):
		// A right or a limit, most likely. That is not the release's fault, so that it may come again.
		return &failure{reason: fmt.Sprintf("AWS refused to refresh the %ss: %v", g.role, err), ends: record.NotJudged}
	case err != nil:
		return fmt.Errorf("start the instance refresh of %s: %w", g.Name, err)
	}
	r.say("%s: refresh to version %s started", g.role, version)
	return nil
}

// replace gives a group of which nothing serves its version at once: there is nothing to keep. Its instances fail,
// and the next ones are of that version. A rollback of AWS's would lead to the version that does not work.
func (r *run) replace(ctx context.Context, to *roll, version string) error {
	if err := r.holds(ctx); err != nil {
		return err
	}
	g := to.group
	r.say("%s: no instance serves, so the group gets version %s at once", g.role, version)
	_, err := r.Clients.Groups.UpdateAutoScalingGroup(ctx, &autoscaling.UpdateAutoScalingGroupInput{AutoScalingGroupName: &g.Name,
		LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateId: &g.template, Version: &version}})
	if err != nil {
		return fmt.Errorf("update group %s: %w", g.Name, err)
	}
	return nil
}

// rollBack has AWS undo the refresh of a group. What it refuses to roll back is cancelled; the rest is then up to a
// refresh of ours.
func (r *run) rollBack(ctx context.Context, g *group) error {
	if err := r.holds(ctx); err != nil {
		return err
	}
	return r.undo(ctx, g)
}

// undo is rollBack for who has no lock, and asks on behalf of its holder.
func (r *run) undo(ctx context.Context, g *group) error {
	r.say("%s: rolling back", g.role)
	_, err := r.Clients.Groups.RollbackInstanceRefresh(ctx, &autoscaling.RollbackInstanceRefreshInput{AutoScalingGroupName: &g.Name})
	if is(err, "IrreversibleInstanceRefresh") {
		return r.cancel(ctx, g)
	}
	if err != nil && !is(err, "ActiveInstanceRefreshNotFound") { // it ended meanwhile: the next read shows it
		return fmt.Errorf("roll back the instance refresh of %s: %w", g.Name, err)
	}
	return nil
}

// cancel ends the refresh of a group where it is.
func (r *run) cancel(ctx context.Context, g *group) error {
	_, err := r.Clients.Groups.CancelInstanceRefresh(ctx, &autoscaling.CancelInstanceRefreshInput{AutoScalingGroupName: &g.Name})
	if err != nil && !is(err, "ActiveInstanceRefreshNotFound") {
		return fmt.Errorf("cancel the instance refresh of %s: %w", g.Name, err)
	}
	return nil
}
