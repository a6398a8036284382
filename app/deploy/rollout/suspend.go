package rollout

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"

	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
)

// launchProcess is the process that pause suspends.
const launchProcess = "Launch"

// needed lists the processes without which a group cannot replace instances or a rollout cannot see a new one fail.
// Others (AZRebalance, AlarmNotification, ScheduledActions) may stay suspended.
var needed = []string{launchProcess, "Terminate", "AddToLoadBalancer", "HealthCheck", "InstanceRefresh",
	"ReplaceUnhealthy"}

// checkProcesses returns a *rejected if a needed process of the group is suspended: a person did that, or AWS, which
// does it to "groups that have been trying to launch instances for over 24 hours but have not succeeded". A rollout
// would wait for it in vain.
func (r *run) checkProcesses(g *group) error {
	var lines []string
	for _, p := range slices.Sorted(maps.Keys(g.suspended)) {
		why := g.suspended[p]
		if p == launchProcess && r.paused(g) {
			continue // unpause resumes it when the group is rolled
		}
		if slices.Contains(needed, p) {
			lines = append(lines, fmt.Sprintf("%s (%s)", p, why))
		} else {
			r.once("suspended "+g.Name+p, "%s: process %s is suspended: %s", g.role, p, why)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return &rejected{fmt.Sprintf("processes of Auto Scaling group %s are suspended: %s. Resume them by "+
		"imagery rollout resume, and run this again", g.Name, strings.Join(lines, ", "))}
}

// processes returns a *rejected if a group cannot replace instances, also when there is nothing to roll out.
func (r *run) processes(context.Context) (bool, error) {
	for _, role := range Order {
		if err := r.checkProcesses(r.groups[role]); err != nil {
			return false, err
		}
	}
	return false, nil
}

// pause suspends the launches of every group that has fewer instances in service than its minimum, after a first
// deploy that failed: Auto Scaling would start instances for a day, each of which fails. The next run resumes them.
func (r *run) pause(ctx context.Context) error {
	var paused []string
	for _, role := range Order {
		g := r.groups[role]
		if err := r.read(ctx, g); err != nil {
			return err
		}
		n := 0
		for _, i := range g.instances {
			if i.serves() {
				n++
			}
		}
		if n < max(1, g.min) || r.paused(g) { // or is still suspended from an earlier run
			paused = append(paused, string(role))
		}
	}
	if len(paused) == 0 {
		return nil
	}
	// Recorded first: a suspension that is not in the record would have to be resumed by hand.
	if err := r.journal.mine(ctx, func(rec *record.Record) { rec.Paused = paused }); err != nil {
		return err
	}
	var problem error
	var done []string
	for _, role := range paused {
		g := r.groups[settings.Role(role)]
		if _, err := r.Clients.Groups.SuspendProcesses(ctx, &autoscaling.SuspendProcessesInput{
			AutoScalingGroupName: &g.Name, ScalingProcesses: []string{launchProcess}}); err != nil {
			problem = errors.Join(problem, fmt.Errorf("suspend the launches of group %s: %w", g.Name, err))
			continue
		}
		done = append(done, role)
		r.say("%s: launches are suspended until the next rollout", role)
	}
	if problem != nil {
		problem = errors.Join(problem, r.journal.mine(ctx, func(rec *record.Record) { rec.Paused = done }))
	}
	return problem
}

// paused reports whether an earlier run suspended the launches of the group by pause.
func (r *run) paused(g *group) bool {
	return r.journal != nil && slices.Contains(r.journal.now().Paused, string(g.role))
}

// unpause resumes the launches that an earlier run suspended by pause, when the group is about to get its version.
func (r *run) unpause(ctx context.Context, g *group) error {
	if !r.paused(g) {
		return nil
	}
	if _, suspended := g.suspended[launchProcess]; suspended {
		if err := r.resume(ctx, g, launchProcess); err != nil {
			return err
		}
	}
	return r.journal.mine(ctx, func(rec *record.Record) {
		rec.Paused = slices.DeleteFunc(slices.Clone(rec.Paused), func(role string) bool { return role == string(g.role) })
	})
}

// resume resumes processes of a group, all of them if none is named.
func (r *run) resume(ctx context.Context, g *group, processes ...string) error {
	if _, err := r.Clients.Groups.ResumeProcesses(ctx, &autoscaling.ResumeProcessesInput{
		AutoScalingGroupName: &g.Name, ScalingProcesses: processes}); err != nil {
		return fmt.Errorf("resume processes of group %s: %w", g.Name, err)
	}
	names := processes
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(g.suspended))
	}
	r.say("%s: resumed %s", g.role, strings.Join(names, ", "))
	for _, p := range names {
		delete(g.suspended, p)
	}
	return nil
}

// Resume resumes every suspended process of both groups, and returns what it resumed, as group/process.
func Resume(ctx context.Context, o Options) (resumed []string, err error) {
	r := newRun(o, Target{})
	err = r.locked(ctx, "resume", func(ctx context.Context) error {
		if _, err := r.describe(ctx); err != nil {
			return err
		}
		for _, role := range Order {
			g := r.groups[role]
			names := slices.Sorted(maps.Keys(g.suspended))
			if len(names) == 0 {
				continue
			}
			if err := r.resume(ctx, g); err != nil {
				return err
			}
			for _, p := range names {
				resumed = append(resumed, g.Name+"/"+p)
			}
		}
		return r.journal.mine(ctx, func(rec *record.Record) { rec.Paused = nil })
	})
	return resumed, err
}
