package rollout

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
)

var launched = regexp.MustCompile(`^Launching a new EC2 instance(?:: (i-[0-9a-f]+))?`)

// launchHistory summarizes the launches of one version in a group, as far as they count.
type launchHistory struct {
	failed []*Error // launches that failed because of the release, newest first, and instances that became unhealthy
	// blocked is the newest failed launch with another cause, or nil if one has succeeded since; outside is the newest
	// failed launch with another cause in any case.
	blocked, outside *blockedLaunch
	pending          bool // a newer launch is in progress
}

// checkLaunches returns a failure once limit launches of version have failed or its instances have become unhealthy,
// among the activities that count, or once AWS has launched no instance for the timeout of the cause.
// Auto Scaling itself would keep retrying for an hour.
func (o *observer) checkLaunches(
	ctx context.Context, g *group, version string, limit int, counts func(types.Activity) bool,
) error {
	for _, i := range g.instances {
		if i.version == version && !i.healthy && g.served[i.id] {
			o.keep(ctx, g, i.id, "it was in service and is unhealthy")
		}
	}
	h, err := o.launches(ctx, g, version, counts)
	if err != nil {
		// The rollout then relies on AWS to fail the refresh. A missing permission must not fail a good release.
		o.once("activities", "%s: failed launches are not counted: %v", g.role, err)
		return nil
	}
	for id, f := range g.failed {
		if g.served[id] {
			h.failed = append(h.failed, f)
		}
	}
	g.updateBlocked(version, h.blocked)
	return decideLaunches(g.role, h, g.blocked, limit, time.Now())
}

// decideLaunches returns a failure if a launch history ends the rollout, else nil. Blocked is the failed launch since
// which the group gets no instances, or nil.
func decideLaunches(
	role settings.Role, h launchHistory, blocked *blockedLaunch, limit int, now time.Time,
) error {
	if len(h.failed) >= limit {
		f := *h.failed[0]
		f.Reason = fmt.Sprintf("%d new %ss failed, one of them: %s", len(h.failed), role, f.Reason)
		return &f
	}
	if blocked == nil {
		return nil
	}
	waited, limitOfCause := now.Sub(blocked.since), blocked.cause.timeout()
	if waited <= limitOfCause || h.pending && waited <= 2*limitOfCause {
		return nil
	}
	return &Error{result: record.Inconclusive,
		Reason: fmt.Sprintf("AWS has launched no new %s for %s: %s", role, waited.Round(time.Second), blocked)}
}

// updateBlocked keeps the time since which a group has been blocked. A group that has its minimum of the version and no
// other instances only wants to scale out, and does not count as blocked.
func (g *group) updateBlocked(version string, newest *blockedLaunch) {
	if newest != nil && !g.mixed(version) && g.serving() >= g.minimum() {
		newest = nil
	}
	if newest != nil && g.blocked != nil {
		newest.since = g.blocked.since
	}
	g.blocked = newest
}

// launches reads the launches of a version from the group's scaling activities.
func (o *observer) launches(
	ctx context.Context, g *group, version string, counts func(types.Activity) bool,
) (h launchHistory, err error) {
	activities, err := o.activities(ctx, g)
	reached := false               // a newer activity has launched an instance
	for _, a := range activities { // newest first
		m := launched.FindStringSubmatch(aws.ToString(a.Description))
		if m == nil || a.StartTime == nil {
			continue
		}
		id, message := m[1], aws.ToString(a.StatusMessage)
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
		switch {
		case !counts(a):
		case why.cause == causeRelease:
			h.failed = append(h.failed, o.keep(ctx, g, id, message))
		default:
			o.once(aws.ToString(a.ActivityId), "%s: AWS could not launch an instance (cause: %s): %s", g.role, why.cause,
				message)
			b := &blockedLaunch{why.cause, strings.TrimSuffix(message, "."), why.advice, time.Now()}
			h.outside = cmp.Or(h.outside, b)
			if !reached {
				h.blocked = cmp.Or(h.blocked, b)
			}
		}
	}
	return h, err
}

// activities returns the newest page of a group's scaling activities, newest first, which is longer than a rollout.
func (o *observer) activities(ctx context.Context, g *group) ([]types.Activity, error) {
	out, err := o.clients.Groups.DescribeScalingActivities(ctx,
		&autoscaling.DescribeScalingActivitiesInput{AutoScalingGroupName: &g.Name})
	if err != nil {
		return nil, wrap(err, "describe the scaling activities of group %s", g.Name)
	}
	return out.Activities, nil
}

// sinceMark returns a condition for activities: that they had not ended when the group was marked, which the first call
// does. It compares ids and not times, since the clock of this machine may differ from that of AWS.
func (o *observer) sinceMark(ctx context.Context, g *group) func(types.Activity) bool {
	if g.marked == nil {
		g.marked = map[string]bool{}
		activities, _ := o.activities(ctx, g) // checkLaunches logs the error
		for _, a := range activities {
			g.marked[aws.ToString(a.ActivityId)] = a.EndTime != nil
		}
	}
	return func(a types.Activity) bool { return !g.marked[aws.ToString(a.ActivityId)] }
}

// keep logs a failed instance once, and keeps the last lines of its console, which EC2 deletes later.
func (o *observer) keep(ctx context.Context, g *group, instance, message string) *Error {
	if g.failed[instance] == nil {
		g.failed[instance] = &Error{Reason: strings.TrimSuffix(message, "."), Instance: instance,
			Lines: o.console(ctx, instance), Logs: logGroups(g.Group)}
		o.log("%s %s failed: %s", g.role, instance, message)
	}
	return g.failed[instance]
}

// failedInstance returns the instance of a version that shows best why it failed, if there is one: one that failed to
// launch, else an unhealthy one, else any.
func (o *observer) failedInstance(ctx context.Context, g *group, version string) (f Error) {
	for _, i := range g.instances {
		if known := g.failed[i.id]; known != nil {
			return *known
		}
		if i.version == version && (f.Instance == "" || !i.healthy) {
			f = Error{Instance: i.id, Logs: logGroups(g.Group)}
		}
	}
	if f.Instance != "" {
		f.Lines = o.console(ctx, f.Instance)
	}
	return f
}

// explain returns the failure of a refresh that AWS cancelled, failed or rolled back.
func (o *observer) explain(ctx context.Context, g *group, f refresh) error {
	reason := strings.TrimSuffix(f.reason(), ".")
	// The refresh may have run without a controller: with Start, or after a kill. An alarm judges the release in any case.
	h, err := o.launches(ctx, g, f.version(), f.covers)
	if err == nil && len(h.failed) == 0 && h.outside != nil && !strings.Contains(strings.ToLower(reason), "alarm") {
		return inconclusive("the refresh of the %ss to version %s ended (%s) while AWS launched no instances: %s",
			g.role, f.version(), reason, h.outside).err
	}
	failed := o.failedInstance(ctx, g, f.version())
	failed.Reason = fmt.Sprintf("the refresh of the %ss to version %s failed: %s", g.role, f.version(),
		cmp.Or(reason, "AWS gave no reason"))
	return &failed
}
