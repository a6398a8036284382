package rollout

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cloudwatchtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"imagery/app/deploy/settings"
)

// template is a launch template version, as far as a rollout cares.
type template struct {
	number               string
	image                string
	release, bucket, key string // where its instances fetch what they run
}

// preflight refuses what cannot work while nothing is touched: a version that is missing or names another release, a
// binary that is not there, an alarm that rings already and would stop the rollout.
func (r *run) preflight(ctx context.Context) (bool, error) {
	if r.resumed {
		return false, nil
	}
	r.runs = map[settings.Role]string{}
	for _, role := range Order {
		g, want := r.groups[role], r.want.Versions[role]
		known, err := r.templates(ctx, g, want, g.version)
		if err != nil {
			return false, err
		}
		t, ok := known[want]
		switch {
		case !ok:
			return false, fmt.Errorf("launch template %s of the %ss has no version %s", g.template, role, want)
		case !strings.HasPrefix(t.image, "ami-"):
			return false, fmt.Errorf("version %s of launch template %s has the image %q, and AWS could not roll back: name an ami-", want, g.template, t.image)
		case t.release != r.want.Release:
			return false, fmt.Errorf("version %s of launch template %s starts release %q, not %s", want, g.template, short(t.release), short(r.want.Release))
		}
		if err := r.canReturn(g, known[g.version]); err != nil {
			return false, err
		}
		if _, err := r.Clients.Objects.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &t.bucket, Key: &t.key}); err != nil {
			return false, fmt.Errorf("look for release %s in its bucket: %w", short(t.release), err)
		}
		r.runs[role] = known[g.version].release
	}
	return false, r.poll(ctx, func() (bool, error) {
		quiet, err := r.quiet(ctx)
		var rings *failure
		if errors.As(err, &rings) {
			return false, &rejected{fmt.Sprintf("%s. Nothing was touched. See to it, or force the rollout (imagery:rolloutForce true, or -force)", rings.reason)}
		}
		if err == nil && !quiet && time.Since(r.began) > alarmsFor {
			return false, &rejected{fmt.Sprintf("alarms that must judge the release know nothing after %s; do their metrics arrive? Nothing was touched", alarmsFor)}
		}
		return quiet, err
	})
}

// canReturn refuses a group that AWS could not bring back to where it is: it rolls back to numbers and to images that are
// named, and $Latest is the new release already.
func (r *run) canReturn(g *group, now template) error {
	set := fmt.Sprintf("aws autoscaling update-auto-scaling-group --auto-scaling-group-name %s --launch-template LaunchTemplateId=%s,Version=N", g.Name, g.template)
	switch {
	case number(g.version) == 0:
		return fmt.Errorf("group %s is set to version %q, which is no number, and AWS could not roll back. Nothing was touched. Set it to the number of the version that its instances run: %s",
			g.Name, g.version, set)
	case r.fresh:
		return nil
	case now.number == "":
		return fmt.Errorf("group %s is at version %s of launch template %s, which does not exist any more, and nothing could return to it. Nothing was touched. Set it to one that exists: %s",
			g.Name, g.version, g.template, set)
	case !strings.HasPrefix(now.image, "ami-"):
		return fmt.Errorf("version %s of launch template %s, which group %s is at, has the image %q, and AWS could not roll back to it. Nothing was touched. Set the group to a version that names an ami-: %s",
			g.version, g.template, g.Name, now.image, set)
	}
	return nil
}

// alarmsFor is how long a new alarm may take to find out that it is quiet.
const alarmsFor = 10 * time.Minute

// guards are the alarms that judge a group. Where nobody served they ring because of that, and a release that mends it
// must not wait for them.
func (r *run) guards(g *group) []string {
	if r.Force || r.Blind || r.fresh || g.dead {
		return nil
	}
	return g.Guards
}

// quiet reports whether every guard is known to be quiet: AWS starts no refresh while one rings or knows nothing. It
// is a failure if one rings.
func (r *run) quiet(ctx context.Context) (bool, error) {
	var names []string
	for _, role := range Order {
		names = append(names, r.guards(r.groups[role])...)
	}
	if len(names) == 0 {
		return true, nil
	}
	out, err := r.Clients.Alarms.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: names,
		AlarmTypes: []cloudwatchtypes.AlarmType{cloudwatchtypes.AlarmTypeMetricAlarm, cloudwatchtypes.AlarmTypeCompositeAlarm}})
	if err != nil {
		return false, fmt.Errorf("ask for the state of the alarms: %w", err)
	}
	states := map[string]cloudwatchtypes.StateValue{}
	for _, a := range out.MetricAlarms {
		states[deref(a.AlarmName)] = a.StateValue
	}
	for _, a := range out.CompositeAlarms {
		states[deref(a.AlarmName)] = a.StateValue
	}
	quiet := true
	for _, name := range names {
		switch states[name] {
		case cloudwatchtypes.StateValueOk:
		case cloudwatchtypes.StateValueAlarm:
			return false, &failure{reason: "alarm " + name + " rings"}
		case cloudwatchtypes.StateValueInsufficientData:
			r.once(name, "alarm %s knows nothing yet, waiting", name)
			quiet = false
		default:
			return false, &rejected{"alarm " + name + " does not exist"}
		}
	}
	return quiet, nil
}

// rejected is an error that a retry would not change.
type rejected struct{ text string }

func (e *rejected) Error() string { return e.text }

// templates reads what versions of a group's launch template start, of those that exist; of all if none is named. It
// is read from the user-data: no other place could not disagree with what instances do.
func (r *run) templates(ctx context.Context, g *group, numbers ...string) (map[string]template, error) {
	out := map[string]template{}
	if slices.Sort(numbers); len(numbers) > 0 {
		numbers = slices.Compact(numbers)
	}
	in := &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: &g.template, Versions: numbers}
	for more := true; more; {
		page, err := r.Clients.Compute.DescribeLaunchTemplateVersions(ctx, in)
		if is(err, "InvalidLaunchTemplateId.VersionNotFound") {
			if len(numbers) == 1 {
				return out, nil
			}
			for _, n := range numbers { // AWS tells nothing of the others either
				one, err := r.templates(ctx, g, n)
				if err != nil {
					return nil, err
				}
				maps.Copy(out, one)
			}
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("look at launch template %s: %w", g.template, err)
		}
		for _, v := range page.LaunchTemplateVersions {
			t := readTemplate(v)
			out[t.number] = t
		}
		in.NextToken = page.NextToken
		more = deref(in.NextToken) != ""
	}
	return out, nil
}

func readTemplate(v types.LaunchTemplateVersion) template {
	var t template
	if v.VersionNumber != nil {
		t.number = strconv.FormatInt(*v.VersionNumber, 10)
	}
	if v.LaunchTemplateData == nil {
		return t
	}
	t.image = deref(v.LaunchTemplateData.ImageId)
	script, err := base64.StdEncoding.DecodeString(deref(v.LaunchTemplateData.UserData))
	if err != nil {
		return t
	}
	// The head of the script is assignments, see infra/release.
	for line := range strings.Lines(string(script)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if at, ours := map[string]*string{"SHA": &t.release, "BUCKET": &t.bucket, "KEY": &t.key}[name]; ours && *at == "" {
			*at = value
		}
	}
	return t
}

// numbersDown sorts version numbers, the newest first.
func numbersDown(of map[string]template) []string {
	return slices.SortedFunc(maps.Keys(of), func(a, b string) int {
		x, _ := strconv.Atoi(a)
		y, _ := strconv.Atoi(b)
		return y - x
	})
}
