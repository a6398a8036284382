package rollout

import (
	"context"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// bootFailed is what the boot script says last; what follows is the shutdown.
const bootFailed = "IMAGERY BOOT FAILED"

// consoleLines are enough to see what a boot died of.
const consoleLines = 20

var (
	launched = regexp.MustCompile(`^Launching a new EC2 instance(?:: (i-[0-9a-f]+))?`)
	escapes  = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)
)

// launches counts the instances of a version that failed to come up, among the activities that count, or that came
// into service and fell ill. It is the failure of as many as may be: AWS itself would go on for an hour.
func (r *run) launches(ctx context.Context, g *group, version string, most int, counts func(types.Activity) bool) error {
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
	out, err := r.Clients.Groups.DescribeScalingActivities(ctx, &autoscaling.DescribeScalingActivitiesInput{AutoScalingGroupName: &g.Name})
	if err != nil {
		// Then AWS's own patience decides. A right that is missing must not stop a release that is well.
		r.once("activities", "%s: launches that fail are not counted: %v", g.role, err)
		return nil
	}
	for _, a := range out.Activities { // newest first; a page of them is longer than a rollout
		m := launched.FindStringSubmatch(deref(a.Description))
		// That a hook which was not passed shows as Cancelled is not documented; both are failures.
		if m == nil || a.StartTime == nil || !counts(a) || a.StatusCode != types.ScalingActivityStatusCodeFailed && a.StatusCode != types.ScalingActivityStatusCodeCancelled {
			continue
		}
		if v, known := g.versions[m[1]]; known && v != version {
			continue // an old one, from before the group got this version
		}
		failures++
		f := r.note(ctx, g, deref(a.ActivityId), m[1], deref(a.StatusMessage))
		if last == nil || last.instance == "" {
			last = f
		}
	}
	if failures < most {
		return nil
	}
	return &failure{reason: fmt.Sprintf("%d new %ss failed, one of them: %s", failures, g.role, last.reason), witness: last.witness}
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
