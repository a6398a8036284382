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

	"imagery/app/ops/record"
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
	failures, last := 0, (*failure)(nil)
	for _, i := range g.instances {
		if i.version == version && !i.healthy && g.served[i.id] {
			r.note(ctx, g, "ill "+i.id, i.id, "it was in service and is unhealthy")
		}
	}
	for activity, f := range r.lost {
		if strings.HasPrefix(activity, "ill ") && f.group == g.Name {
			failures++
			last = f
		}
	}
	out, err := r.Clients.Groups.DescribeScalingActivities(ctx,
		&autoscaling.DescribeScalingActivitiesInput{AutoScalingGroupName: &g.Name})
	if err != nil {
		// Then AWS's own patience decides. A right that is missing must not stop a release that is well.
		r.once("activities", "%s: launches that fail are not counted: %v", g.role, err)
		return nil
	}
	launching := false // a newer activity than the present one launched an instance
	var blocked *blockedLaunch
	for _, a := range out.Activities { // newest first; a page of them is longer than a rollout
		m := launched.FindStringSubmatch(deref(a.Description))
		if m == nil || a.StartTime == nil {
			continue
		}
		id := m[1]
		if v, known := g.versions[id]; known && v != version {
			continue // an old one, from before the group got this version
		}
		// That a hook which was not passed shows as Cancelled is not documented; both are failures.
		if a.StatusCode != types.ScalingActivityStatusCodeFailed && a.StatusCode != types.ScalingActivityStatusCodeCancelled {
			launching = launching || id != ""
			continue
		}
		why := classify(id, deref(a.StatusMessage))
		if !counts(a) {
			continue
		}
		if why.cause != causeRelease {
			if blocked == nil && !launching {
				blocked = &blockedLaunch{cause: why.cause, message: strings.TrimSuffix(deref(a.StatusMessage), "."),
					advice: why.advice}
			}
			r.once(deref(a.ActivityId), "%s: AWS could not launch an instance (cause: %s): %s", g.role, why.cause, deref(a.StatusMessage))
			continue
		}
		failures++
		f := r.note(ctx, g, deref(a.ActivityId), id, deref(a.StatusMessage))
		if last == nil || last.instance == "" {
			last = f
		}
	}
	if failures >= most {
		return &failure{reason: fmt.Sprintf("%d new %ss failed, one of them: %s", failures, g.role, last.reason),
			witness: last.witness}
	}
	return r.wait(g, blocked)
}

// wait keeps the time for which a group has been blocked; nil is a group that is not. It returns a *failure without a
// verdict when the time is over.
func (r *run) wait(g *group, b *blockedLaunch) error {
	if b == nil {
		delete(r.blocked, g.Name)
		return nil
	}
	b.since = time.Now()
	if before := r.blocked[g.Name]; before != nil {
		b.since = before.since
	}
	r.blocked[g.Name] = b
	if waited := time.Since(b.since); waited > timeouts[b.cause] {
		return &failure{ends: record.NotJudged,
			reason: fmt.Sprintf("AWS has launched no new %s for %s: %s", g.role, waited.Round(time.Second), b)}
	}
	return nil
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
		f.witness = witness{instance, r.console(ctx, instance), g.Name, g.Logs}
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
	if reason == "" {
		reason = "AWS does not say why"
	}
	return &failure{reason: fmt.Sprintf("the refresh of the %ss to version %s went wrong: %s", g.role, f.version(), strings.TrimSuffix(reason, ".")),
		witness: r.find(ctx, g, f.version())}
}

// find is the instance of a version that can say most: one that failed, else one that is ill, else any.
func (r *run) find(ctx context.Context, g *group, version string) witness {
	best := ""
	for _, i := range g.instances {
		if f := r.lost[i.id]; f != nil {
			return f.witness
		}
		if i.version == version && (best == "" || !i.healthy) {
			best = i.id
		}
	}
	if best == "" {
		return witness{}
	}
	return witness{best, r.console(ctx, best), g.Name, g.Logs}
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
