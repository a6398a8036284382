package rollout

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
)

var launched = regexp.MustCompile(`^Launching a new EC2 instance(?:: (i-[0-9a-f]+))?`)

// launchHistory summarizes the launches of one version in a group, as far as they count.
type launchHistory struct {
	failures int      // launches that failed because of the release, and instances that became unhealthy
	last     *failure // one of them, with an instance if there is one
	// blocked is the newest failed launch with another cause, or nil if one has succeeded since; outside is the newest
	// failed launch with another cause in any case.
	blocked, outside *blockedLaunch
	pending          bool // a newer launch is in progress
}

// add counts a failure that the release caused. One with an instance is preferred as last, since it has a console.
func (h *launchHistory) add(f *failure) {
	h.failures++
	if h.last == nil || h.last.instance == "" {
		h.last = f
	}
}

// unhealthyKey prefixes the keys of observer.failures for instances that were in service.
const unhealthyKey = "unhealthy "

// checkLaunches returns a *failure once limit launches of version have failed or its instances have become unhealthy,
// among the activities that count, or once AWS has launched no instance for the timeout of the cause (see timeouts).
// Auto Scaling itself would keep retrying for an hour.
func (o *observer) checkLaunches(
	ctx context.Context, g *group, version string, limit int, counts func(types.Activity) bool,
) error {
	for _, i := range g.instances {
		if i.version == version && !i.healthy && g.served[i.id] {
			o.record(ctx, g, unhealthyKey+i.id, i.id, "it was in service and is unhealthy")
		}
	}
	h, err := o.launches(ctx, g, version, counts)
	if err != nil {
		// The rollout then relies on AWS to fail the refresh. A missing permission must not fail a good release.
		o.once("activities", "%s: failed launches are not counted: %v", g.role, err)
		return nil
	}
	for key, f := range o.failures {
		if strings.HasPrefix(key, unhealthyKey) && f.group == g.Name {
			h.add(f)
		}
	}
	o.updateBlocked(g, version, h.blocked)
	return decideLaunches(g.role, h, o.blocked[g.Name], limit, time.Now())
}

// decideLaunches returns a *failure if a launch history ends the rollout, else nil. Blocked is the failed launch since
// which the group gets no instances, or nil.
func decideLaunches(
	role settings.Role, h launchHistory, blocked *blockedLaunch, limit int, now time.Time,
) error {
	if h.failures >= limit {
		return &failure{reason: fmt.Sprintf("%d new %ss failed, one of them: %s", h.failures, role, h.last.reason),
			failedInstance: h.last.failedInstance}
	}
	if blocked == nil {
		return nil
	}
	waited, limitOfCause := now.Sub(blocked.since), timeouts[blocked.cause]
	if waited <= limitOfCause || h.pending && waited <= 2*limitOfCause {
		return nil
	}
	return &failure{finalResult: record.Inconclusive,
		reason: fmt.Sprintf("AWS has launched no new %s for %s: %s", role, waited.Round(time.Second), blocked)}
}

// updateBlocked keeps the time since which a group has been blocked. A group that has its minimum of the version and no
// other instances only wants to scale out, and does not count as blocked.
func (o *observer) updateBlocked(g *group, version string, newest *blockedLaunch) {
	if newest == nil || g.complete(version) {
		delete(o.blocked, g.Name)
		return
	}
	newest.since = time.Now()
	if before := o.blocked[g.Name]; before != nil {
		newest.since = before.since
	}
	o.blocked[g.Name] = newest
}

// launches reads the launches of a version from the group's scaling activities.
func (o *observer) launches(
	ctx context.Context, g *group, version string, counts func(types.Activity) bool,
) (launchHistory, error) {
	var h launchHistory
	activities, err := o.activities(ctx, g)
	if err != nil {
		return h, err
	}
	reached := false               // a newer activity has launched an instance
	for _, a := range activities { // newest first
		m := launched.FindStringSubmatch(deref(a.Description))
		if m == nil || a.StartTime == nil {
			continue
		}
		id, message := m[1], deref(a.StatusMessage)
		if v, known := g.versions[id]; known && v != version {
			continue // launched before the group got this version
		}
		switch a.StatusCode {
		case types.ScalingActivityStatusCodeFailed, types.ScalingActivityStatusCodeCancelled:
			// Which of them a launch hook that was not completed ends in is not documented.
		default:
			reached = reached || a.StatusCode == types.ScalingActivityStatusCodeSuccessful
			// An instance whose disk key is missing has an id for some seconds, too.
			h.pending = h.pending || id != "" && h.outside == nil
			continue
		}
		why := classify(id, message)
		reached = reached || why.cause == causeRelease
		if !counts(a) {
			continue
		}
		if why.cause == causeRelease {
			h.add(o.record(ctx, g, deref(a.ActivityId), id, message))
			continue
		}
		o.once(deref(a.ActivityId), "%s: AWS could not launch an instance (cause: %s): %s", g.role, why.cause, message)
		b := &blockedLaunch{cause: why.cause, message: strings.TrimSuffix(message, "."), advice: why.advice}
		if h.outside == nil {
			h.outside = b
		}
		if h.blocked == nil && !reached {
			h.blocked = b
		}
	}
	return h, nil
}

// activities returns the newest page of a group's scaling activities, newest first, which is longer than a rollout.
func (o *observer) activities(ctx context.Context, g *group) ([]types.Activity, error) {
	out, err := o.clients.Groups.DescribeScalingActivities(ctx,
		&autoscaling.DescribeScalingActivitiesInput{AutoScalingGroupName: &g.Name})
	if err != nil {
		return nil, fmt.Errorf("describe the scaling activities of group %s: %w", g.Name, err)
	}
	return out.Activities, nil
}

// mark has sinceMark count only launches that end from now on. It compares ids and not times, since the clock of this
// machine may differ from that of AWS.
func (o *observer) mark(ctx context.Context, g *group) {
	old := map[string]bool{}
	activities, err := o.activities(ctx, g)
	if err != nil {
		o.once("activities", "%s: failed launches are not counted: %v", g.role, err)
	}
	for _, a := range activities {
		if a.EndTime != nil {
			old[deref(a.ActivityId)] = true
		}
	}
	o.marked[g.Name] = old
}

// sinceMark returns a condition for activities: that they ended after the group was marked, which the first call does.
func (o *observer) sinceMark(ctx context.Context, g *group) func(types.Activity) bool {
	if o.marked[g.Name] == nil {
		o.mark(ctx, g)
	}
	return func(a types.Activity) bool { return !o.marked[g.Name][deref(a.ActivityId)] }
}

// record logs a failed instance once, and keeps its console output, which EC2 deletes later. The instance may be "".
func (o *observer) record(ctx context.Context, g *group, key, instance, message string) *failure {
	if f := o.failures[key]; f != nil {
		return f
	}
	f := &failure{reason: strings.TrimSuffix(message, ".")}
	o.failures[key] = f
	if instance != "" {
		o.failures[instance] = f
		f.failedInstance = failedInstance{instance, o.console(ctx, instance), g.Name, g.Logs}
	}
	o.log("%s %s failed: %s", g.role, instance, message)
	return f
}

// failedInstance returns the instance of a version that shows best why it failed: one that failed to launch, else an
// unhealthy one, else any.
func (o *observer) failedInstance(ctx context.Context, g *group, version string) failedInstance {
	best := ""
	for _, i := range g.instances {
		if f := o.failures[i.id]; f != nil {
			return f.failedInstance
		}
		if i.version == version && (best == "" || !i.healthy) {
			best = i.id
		}
	}
	if best == "" {
		return failedInstance{}
	}
	return failedInstance{best, o.console(ctx, best), g.Name, g.Logs}
}

// explain returns the *failure of a refresh that AWS cancelled, failed or rolled back.
func (o *observer) explain(ctx context.Context, g *group, f refresh) *failure {
	reason := strings.TrimSuffix(f.reason(), ".")
	// The refresh may have run without a controller: with Start, or after a kill. An alarm judges the release in any case.
	h, err := o.launches(ctx, g, f.version(), f.covers)
	if err == nil && h.failures == 0 && h.outside != nil && !strings.Contains(strings.ToLower(reason), "alarm") {
		return &failure{finalResult: record.Inconclusive,
			reason: fmt.Sprintf("the refresh of the %ss to version %s ended (%s) while AWS launched no instances: %s",
				g.role, f.version(), reason, h.outside)}
	}
	if reason == "" {
		reason = "AWS gave no reason"
	}
	return &failure{reason: fmt.Sprintf("the refresh of the %ss to version %s failed: %s", g.role, f.version(), reason),
		failedInstance: o.failedInstance(ctx, g, f.version())}
}
