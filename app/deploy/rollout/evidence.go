package rollout

import (
	"context"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"imagery/app/deploy/record"
)

// bootFailed is what the boot script says last; what follows is the shutdown.
const bootFailed = "IMAGERY BOOT FAILED"

// consoleLines are enough to see what a boot died of.
const consoleLines = 20

var (
	launched = regexp.MustCompile(`^Launching a new EC2 instance(?:: (i-[0-9a-f]+))?`)
	escapes  = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)
)

// launches returns a *failure once most instances of version have failed to come up or have become unhealthy, among
// the activities that count, or once AWS has launched none for as long as the cause of that allows (see classify).
// Auto Scaling itself would keep trying for an hour.
func (r *run) launches(
	ctx context.Context, g *group, version string, most int, counts func(types.Activity) bool,
) error {
	for _, i := range g.instances {
		if i.version == version && !i.healthy && g.served[i.id] {
			r.note(ctx, g, "ill "+i.id, i.id, "it was in service and is unhealthy")
		}
	}
	seen, err := r.examine(ctx, g, version, counts)
	if err != nil {
		// Then AWS's own patience decides. A right that is missing must not stop a release that is well.
		r.once("activities", "%s: launches that fail are not counted: %v", g.role, err)
		return nil
	}
	for activity, f := range r.lost {
		if strings.HasPrefix(activity, "ill ") && f.group == g.Name {
			if seen.failures++; seen.last == nil || seen.last.instance == "" {
				seen.last = f
			}
		}
	}
	if seen.failures >= most {
		return &failure{reason: fmt.Sprintf("%d new %ss failed, one of them: %s", seen.failures, g.role, seen.last.reason),
			failedInstance: seen.last.failedInstance}
	}
	return r.wait(g, version, seen)
}

// launchHistory summarizes the scaling activities of a group that launch a version.
type launchHistory struct {
	failures int      // that count and whose cause is the release
	last     *failure // one of them, with an instance if there is one
	// blocked is the newest failure of another cause, if nothing was launched since; outside the newest one at all.
	blocked, outside *blockedLaunch
	pending          bool // a newer launch is under way
}

// examine reads the launches of a version.
func (r *run) examine(
	ctx context.Context, g *group, version string, counts func(types.Activity) bool,
) (launchHistory, error) {
	var seen launchHistory
	activities, err := r.activities(ctx, g)
	if err != nil {
		return seen, err
	}
	launching := false             // an activity newer than the present one brought an instance up, or to its boot
	for _, a := range activities { // newest first
		m := launched.FindStringSubmatch(deref(a.Description))
		if m == nil || a.StartTime == nil {
			continue
		}
		id := m[1]
		if v, known := g.versions[id]; known && v != version {
			continue // an old one, from before the group got this version
		}
		// That a hook which was not passed shows as Cancelled is not documented; both are failures.
		switch a.StatusCode {
		case types.ScalingActivityStatusCodeFailed, types.ScalingActivityStatusCodeCancelled:
		default:
			launching = launching || a.StatusCode == types.ScalingActivityStatusCodeSuccessful
			// An instance that EC2 is about to end for want of a key has an id for some seconds, too.
			seen.pending = seen.pending || id != "" && seen.outside == nil
			continue
		}
		why := classify(id, deref(a.StatusMessage))
		launching = launching || why.cause == causeRelease
		if !counts(a) {
			continue
		}
		if why.cause == causeRelease {
			seen.failures++
			f := r.note(ctx, g, deref(a.ActivityId), id, deref(a.StatusMessage))
			if seen.last == nil || seen.last.instance == "" {
				seen.last = f
			}
			continue
		}
		r.once(deref(a.ActivityId), "%s: AWS could not launch an instance (cause: %s): %s", g.role, why.cause,
			deref(a.StatusMessage))
		b := &blockedLaunch{cause: why.cause, message: strings.TrimSuffix(deref(a.StatusMessage), "."), advice: why.advice}
		if seen.outside == nil {
			seen.outside = b
		}
		if seen.blocked == nil && !launching {
			seen.blocked = b
		}
	}
	return seen, nil
}

// activities returns the newest scaling activities of a group, newest first; a page of them is longer than a rollout.
func (r *run) activities(ctx context.Context, g *group) ([]types.Activity, error) {
	out, err := r.Clients.Groups.DescribeScalingActivities(ctx,
		&autoscaling.DescribeScalingActivitiesInput{AutoScalingGroupName: &g.Name})
	if err != nil {
		return nil, fmt.Errorf("look at the scaling activities of %s: %w", g.Name, err)
	}
	return out.Activities, nil
}

// mark has sinceMark count only launches that end from now on. It compares ids and not times, since the clock of this
// machine may differ from AWS's.
func (r *run) mark(ctx context.Context, g *group) {
	old := map[string]bool{}
	activities, err := r.activities(ctx, g)
	if err != nil {
		r.once("activities", "%s: launches that fail are not counted: %v", g.role, err)
	}
	for _, a := range activities {
		if a.EndTime != nil {
			old[deref(a.ActivityId)] = true
		}
	}
	r.marked[g.Name] = old
}

// sinceMark returns a condition for launches: activities since the group was marked, which the first call does.
func (r *run) sinceMark(ctx context.Context, g *group) func(types.Activity) bool {
	if r.marked[g.Name] == nil {
		r.mark(ctx, g)
	}
	return func(a types.Activity) bool { return !r.marked[g.Name][deref(a.ActivityId)] }
}

// wait keeps the time for which a group has been blocked. It returns a *failure without a verdict when the time is
// over. A group that has its minimum of the version and nothing else only wants to grow, which is scaling.
func (r *run) wait(g *group, version string, seen launchHistory) error {
	b := seen.blocked
	if b == nil || g.whole(version) {
		delete(r.blocked, g.Name)
		return nil
	}
	b.since = time.Now()
	if before := r.blocked[g.Name]; before != nil {
		b.since = before.since
	}
	r.blocked[g.Name] = b
	waited, most := time.Since(b.since), timeouts[b.cause]
	if waited <= most || seen.pending && waited <= 2*most {
		return nil
	}
	return &failure{ends: record.NotJudged,
		reason: fmt.Sprintf("AWS has launched no new %s for %s: %s", g.role, waited.Round(time.Second), b)}
}

// note says once that an instance failed, and keeps what the instance wrote before it is forgotten.
func (r *run) note(ctx context.Context, g *group, activity, instance, message string) *failure {
	if f := r.lost[activity]; f != nil {
		return f
	}
	f := &failure{reason: strings.TrimSuffix(message, ".")}
	r.lost[activity] = f
	if instance != "" {
		r.lost[instance] = f
		f.failedInstance = failedInstance{instance, r.console(ctx, instance), g.Name, g.Logs}
	}
	r.say("%s %s failed: %s", g.role, instance, message)
	return f
}

// failed is the failure of a refresh that did not get through.
func (r *run) failed(ctx context.Context, g *group, f refresh) error {
	// Whoever aborts it says so there before AWS does.
	if err := r.journal.read(ctx); err != nil {
		return err
	}
	if err := r.asked(); err != nil {
		return err
	}
	reason := f.why()
	// It may have run without a controller: with Start, or after a kill. An alarm judges the release in any case.
	if seen, err := r.examine(ctx, g, f.version(), f.covers); err == nil && seen.failures == 0 && seen.outside != nil &&
		!strings.Contains(strings.ToLower(reason), "alarm") {
		return &failure{ends: record.NotJudged,
			reason: fmt.Sprintf("the refresh of the %ss to version %s ended (%s) while AWS refused launches: %s",
				g.role, f.version(), strings.TrimSuffix(reason, "."), seen.outside)}
	}
	if reason == "" {
		reason = "AWS does not say why"
	}
	return &failure{reason: fmt.Sprintf("the refresh of the %ss to version %s went wrong: %s", g.role, f.version(), strings.TrimSuffix(reason, ".")),
		failedInstance: r.find(ctx, g, f.version())}
}

// find is the instance of a version that can say most: one that failed, else one that is ill, else any.
func (r *run) find(ctx context.Context, g *group, version string) failedInstance {
	best := ""
	for _, i := range g.instances {
		if f := r.lost[i.id]; f != nil {
			return f.failedInstance
		}
		if i.version == version && (best == "" || !i.healthy) {
			best = i.id
		}
	}
	if best == "" {
		return failedInstance{}
	}
	return failedInstance{best, r.console(ctx, best), g.Name, g.Logs}
}

// console is the end of what an instance wrote to its console, up to the point where its boot failed: the shutdown
// behind that says nothing. EC2 keeps it for about an hour after the instance. It is nil if there is none: evidence is
// welcome, but nothing waits for it.
func (r *run) console(ctx context.Context, instance string) []string {
	text := ""
	for _, latest := range []*bool{aws.Bool(true), nil} { // not every instance type knows the first
		out, err := r.Clients.Compute.GetConsoleOutput(ctx, &ec2.GetConsoleOutputInput{InstanceId: &instance, Latest: latest})
		if err == nil && deref(out.Output) != "" {
			text = *out.Output
			break
		}
	}
	if plain, err := base64.StdEncoding.DecodeString(text); err == nil {
		text = string(plain)
	}
	if n := strings.LastIndex(text, bootFailed); n >= 0 {
		end := strings.IndexByte(text[n:], '\n')
		if end < 0 {
			end = len(text) - n
		}
		text = text[:n+end]
	}
	var lines []string
	for line := range strings.Lines(escapes.ReplaceAllString(text, "")) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines[max(0, len(lines)-consoleLines):]
}
