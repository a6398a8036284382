package rollout

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cloudwatchtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// observer reads the state of a stack from AWS; it changes nothing.
type observer struct {
	clients Clients
	*progress
}

// group updates g from AWS and logs what changed. All decisions of a rollout follow from what it reads.
func (o *observer) group(ctx context.Context, g *group) error {
	out, err := o.clients.Groups.DescribeAutoScalingGroups(ctx,
		&autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{g.Name}})
	if err != nil {
		return wrap(err, "describe group %s", g.Name)
	}
	if len(out.AutoScalingGroups) != 1 {
		return fmt.Errorf("describe group %s: it does not exist", g.Name)
	}
	if err := g.update(out.AutoScalingGroups[0]); err != nil {
		return err
	}
	g.refreshes = nil
	in := &autoscaling.DescribeInstanceRefreshesInput{AutoScalingGroupName: &g.Name}
	for more := true; more; more = aws.ToString(in.NextToken) != "" {
		page, err := o.clients.Groups.DescribeInstanceRefreshes(ctx, in)
		if err != nil {
			return wrap(err, "describe the instance refreshes of group %s", g.Name)
		}
		for _, f := range page.InstanceRefreshes { // newest first
			g.refreshes = append(g.refreshes, refresh{f})
		}
		in.NextToken = page.NextToken
	}
	o.logChanges(g)
	return nil
}

// health returns what the group lacks: its minimum of instances in service, all healthy, also at the load balancer. It
// returns "" for a healthy group.
func (o *observer) health(ctx context.Context, g *group) (problem string, err error) {
	for _, i := range g.instances {
		if i.state == types.LifecycleStateInService && !i.healthy {
			return i.id + " is unhealthy", nil
		}
	}
	if n := g.serving(); n < g.minimum() {
		return fmt.Sprintf("%d of at least %d instances are in service", n, g.minimum()), nil
	}
	// During its grace period Auto Scaling calls an instance healthy that does not serve yet.
	for _, arn := range g.targets {
		out, err := o.clients.Targets.DescribeTargetHealth(ctx,
			&elasticloadbalancingv2.DescribeTargetHealthInput{TargetGroupArn: &arn})
		if err != nil {
			return "", wrap(err, "describe the targets of group %s", g.Name)
		}
		targets := map[string]elb.TargetHealth{}
		for _, d := range out.TargetHealthDescriptions {
			if d.Target != nil && d.TargetHealth != nil {
				targets[aws.ToString(d.Target.Id)] = *d.TargetHealth
			}
		}
		for _, i := range g.instances {
			if t := targets[i.id]; i.serves() && t.State != elb.TargetHealthStateEnumHealthy {
				return fmt.Sprintf("the load balancer reports %s as %s: %s", i.id, cmp.Or(t.State, "not registered"), t.Reason), nil
			}
		}
	}
	return "", nil
}

// alarms reports whether all alarms are in state OK: AWS starts no instance refresh with an alarm in another state. It
// returns a failure if one is in state ALARM, and a *rejected if one does not exist.
func (o *observer) alarms(ctx context.Context, names []string) (ok bool, err error) {
	if len(names) == 0 {
		return true, nil // without names AWS would return all alarms
	}
	out, err := o.clients.Alarms.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: names,
		AlarmTypes: []cloudwatchtypes.AlarmType{
			cloudwatchtypes.AlarmTypeMetricAlarm, cloudwatchtypes.AlarmTypeCompositeAlarm}})
	if err != nil {
		return false, wrap(err, "describe the alarms")
	}
	states := map[string]cloudwatchtypes.StateValue{}
	for _, a := range out.MetricAlarms {
		states[aws.ToString(a.AlarmName)] = a.StateValue
	}
	for _, a := range out.CompositeAlarms {
		states[aws.ToString(a.AlarmName)] = a.StateValue
	}
	ok = true
	for _, name := range names {
		switch states[name] {
		case cloudwatchtypes.StateValueOk:
		case cloudwatchtypes.StateValueAlarm:
			return false, &Error{Reason: "alarm " + name + " is in state ALARM"}
		case cloudwatchtypes.StateValueInsufficientData:
			o.once(name, "alarm %s has insufficient data, waiting", name)
			ok = false
		default:
			return false, &rejected{"alarm " + name + " does not exist"}
		}
	}
	return ok, nil
}

// consoleLines suffice to show why a boot failed.
const consoleLines = 20

// bootFailed begins the last line of a boot script that fails, bootStep that of each step. The shutdown follows them.
const bootFailed, bootStep = "IMAGERY BOOT FAILED", "imagery boot: "

var escapes = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)

// console returns the last lines that an instance wrote to its console, up to the failure of its boot. EC2 keeps them
// for about an hour after termination. It returns nil if there are none or they cannot be read: a rollout does not
// depend on them.
func (o *observer) console(ctx context.Context, instance string) []string {
	text := ""
	for _, latest := range []*bool{aws.Bool(true), nil} { // only some instance types support Latest
		out, err := o.clients.Compute.GetConsoleOutput(ctx,
			&ec2.GetConsoleOutputInput{InstanceId: &instance, Latest: latest})
		if err == nil && aws.ToString(out.Output) != "" {
			text = *out.Output
			break
		}
	}
	plain, _ := base64.StdEncoding.DecodeString(text)
	return lastLines(string(plain))
}

// lastLines returns the lines of a console that show why a boot failed. If the boot says nothing about a failure, they
// begin with its last step, and lines in the middle may be left out: the shutdown alone can have more than a few.
func lastLines(console string) (lines []string) {
	step := -1
	for line := range strings.Lines(escapes.ReplaceAllString(console, "")) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if strings.Contains(line, bootStep) {
			step = len(lines)
		}
		lines = append(lines, line)
	}
	for n, line := range slices.Backward(lines) {
		if strings.Contains(line, bootFailed) {
			return lines[max(0, n+1-consoleLines) : n+1]
		}
	}
	last := lines[max(0, len(lines)-consoleLines):]
	if step < 0 || step >= len(lines)-len(last) {
		return last
	}
	return slices.Concat(lines[step:step+consoleLines/2], []string{"..."}, last[consoleLines/2+1:])
}

// template holds the parts of a launch template version that a rollout needs.
type template struct {
	number               string
	image                string
	release, bucket, key string // SHA-256 of the binary, and the object that instances download
}

// templates returns the given versions of a group's launch template that exist, by number, or all of them if none is
// given. The release is read from the user-data, since instances execute it.
func (o *observer) templates(ctx context.Context, g *group, numbers ...string) (map[string]template, error) {
	out := map[string]template{}
	queries := [][]string{nil} // all versions
	if len(numbers) > 0 {
		queries = slices.Collect(slices.Chunk(numbers, 1)) // AWS omits all of them if one does not exist
	}
	for _, q := range queries {
		in := &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: &g.template, Versions: q}
		for more := true; more; more = aws.ToString(in.NextToken) != "" {
			page, err := o.clients.Compute.DescribeLaunchTemplateVersions(ctx, in)
			if is(err, "InvalidLaunchTemplateId.VersionNotFound") {
				break
			}
			if err != nil {
				return nil, wrap(err, "describe launch template %s", g.template)
			}
			for _, v := range page.LaunchTemplateVersions {
				t := readTemplate(v)
				out[t.number] = t
			}
			in.NextToken = page.NextToken
		}
	}
	return out, nil
}

func readTemplate(v ec2types.LaunchTemplateVersion) template {
	var t template
	if v.VersionNumber != nil {
		t.number = strconv.FormatInt(*v.VersionNumber, 10)
	}
	if v.LaunchTemplateData == nil {
		return t
	}
	t.image = aws.ToString(v.LaunchTemplateData.ImageId)
	script, _ := base64.StdEncoding.DecodeString(aws.ToString(v.LaunchTemplateData.UserData))
	vars := map[string]string{} // the script begins with assignments, see infra/release
	for line := range strings.Lines(string(script)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		vars[name] = cmp.Or(vars[name], value)
	}
	t.release, t.bucket, t.key = vars["SHA"], vars["BUCKET"], vars["KEY"]
	return t
}

// numbersDown returns the version numbers, newest first.
func numbersDown(of map[string]template) []string {
	return slices.SortedFunc(maps.Keys(of), func(a, b string) int { return number(b) - number(a) })
}

// number returns the number of a version, or 0 for $Latest and $Default.
func number(version string) int { n, _ := strconv.Atoi(version); return n }
