package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"imagery/app/cli"
	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
	"imagery/app/imagery"
	"imagery/app/testing/fakeaccount"
)

// desk is a deployment with a fleet.
type desk struct {
	*world
	depth    cli.QueueDepth
	hook     func() // called when messages are counted
	depthErr error
	document string // the release record
	recErr   error
	args     []string
}

var midnight = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func newDesk(t *testing.T, args ...string) *desk {
	w := newWorld(t)
	w.ports.Now = func() time.Time { return midnight }
	return &desk{world: w, args: args}
}

// status runs the command status.
func (d *desk) status(ctx context.Context, c cli.Console, args ...string) error {
	d.Helper()
	open := func(_ context.Context, s settings.Settings, _ string) (cli.Deployment, error) {
		b := cli.Deployment{Service: &d.ports, Store: d, Close: func() error { return nil },
			QueueDepth: func(context.Context) (cli.QueueDepth, error) {
				if d.hook != nil {
					d.hook()
				}
				return d.depth, d.depthErr
			}}
		if s.OnAWS() {
			b.Record = func(context.Context) (string, error) { return d.document, d.recErr }
		}
		return b, nil
	}
	return cli.App{Console: c, Open: open}.Run(ctx, slices.Concat([]string{"status"}, d.args, args))
}

// screen returns what a pipe gets, and checks that it fits into a terminal.
func (d *desk) screen(args ...string) (string, error) {
	d.Helper()
	var out bytes.Buffer
	err := d.status(d.Context(), cli.Console{Out: &out, Err: &bytes.Buffer{}}, args...)
	for line := range strings.Lines(out.String()) {
		if slices.Contains(args, "--json") {
			break
		}
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 {
			d.Errorf("a line has %d columns: %s", n, line)
		}
	}
	return out.String(), err
}

// instance is one of a group as AWS describes it.
func instance(id, zone, state, health, version string) string {
	return fmt.Sprintf(`<member><InstanceId>%s</InstanceId><AvailabilityZone>us-east-%s</AvailabilityZone>`+
		`<LifecycleState>%s</LifecycleState><HealthStatus>%s</HealthStatus>`+
		`<LaunchTemplate><LaunchTemplateId>lt-1</LaunchTemplateId><Version>%s</Version></LaunchTemplate></member>`, id, zone,
		state, health, version)
}

func groupXML(name, targets string, instances ...string) string {
	return fmt.Sprintf(`<member><AutoScalingGroupName>%s</AutoScalingGroupName><MinSize>2</MinSize><MaxSize>4`+
		`</MaxSize><DesiredCapacity>2</DesiredCapacity>`+
		`<TargetGroupARNs>%s</TargetGroupARNs><Instances>%s</Instances></member>`, name, targets, strings.Join(instances, ""))
}

func groupsXML(groups ...string) string {
	return "<DescribeAutoScalingGroupsResponse><DescribeAutoScalingGroupsResult><AutoScalingGroups>" + strings.Join(
		groups, "") +
		"</AutoScalingGroups></DescribeAutoScalingGroupsResult></DescribeAutoScalingGroupsResponse>"
}

func healthXML(targets ...string) string {
	var b strings.Builder
	for i := 0; i < len(targets); i += 3 {
		fmt.Fprintf(&b, "<member><Target><Id>%s</Id><Port>8080</Port></Target>"+
			"<TargetHealth><State>%s</State><Reason>%s</Reason>"+
			"<Description>Health checks failed</Description></TargetHealth></member>",
			targets[i], targets[i+1], targets[i+2])
	}
	return "<DescribeTargetHealthResponse><DescribeTargetHealthResult><TargetHealthDescriptions>" + b.String() +
		"</TargetHealthDescriptions></DescribeTargetHealthResult></DescribeTargetHealthResponse>"
}

// night is a stack in the middle of a rollout that goes wrong.
func night(t *testing.T) (*desk, *fakeaccount.Account) {
	a := fakeaccount.Start(t)
	d := newDesk(t, a.Flags()...)
	a.Answers(describeGroups, 200, groupsXML(
		groupXML("imagery-test-server", aTarget, instance("i-0aaaaaaaaaaaaaaa1", "1a", "InService", "Healthy", "6"),
			instance("i-0aaaaaaaaaaaaaaa2", "1b", "InService", "Healthy", "7")),
		groupXML("imagery-test-worker", "", instance("i-0aaaaaaaaaaaaaaa3", "1a", "InService", "Healthy", "7"),
			instance("i-0aaaaaaaaaaaaaaa4", "1b", "Terminating:Wait", "Unhealthy", "6"))))
	a.Answers(describeHealth, 200,
		healthXML("i-0aaaaaaaaaaaaaaa1", "healthy", "", "i-0aaaaaaaaaaaaaaa2", "unhealthy", "Target.FailedHealthChecks"))
	document, err := record.Record{
		Lock: &record.Lock{ID: "x", Holder: "ann@laptop", Why: "pulumi up", Since: midnight.Add(-4 * time.Minute),
			Until: midnight.Add(time.Minute)},
		Abort:   &record.Abort{By: "bob@desk", Since: midnight.Add(-time.Minute)},
		Blocked: map[string]record.Block{newRelease: {By: "bob@desk", Since: midnight, Why: "too slow"}},
		Entries: []record.Entry{{Release: newRelease, From: oldRelease, By: "ann@laptop", Why: "pulumi up",
			Begin: midnight.Add(-4 * time.Minute), Result: record.RollingBack,
			New: map[settings.Role]string{"server": "7", "worker": "7"},
			Old: map[settings.Role]string{"server": "6", "worker": "6"}}}}.Document()
	if err != nil {
		t.Fatal(err)
	}
	d.document, d.depth = document, cli.QueueDepth{Visible: 3, InFlight: 2, Delayed: 1, DeadLetters: 1}
	d.image(imagery.Uploaded, midnight.Add(-20*time.Minute))
	d.image(imagery.Uploaded, midnight.Add(-time.Minute))
	d.ports.Catalog = lateIndex{d.ports.Catalog, d.image(imagery.Processed, midnight.Add(-time.Hour))}
	a.Alarm("lag").State, a.Alarm("lag").Since = "ALARM", midnight.Add(-5*time.Minute)
	a.Alarm("workers-low").State, a.Alarm("servers-low").Enabled = "INSUFFICIENT_DATA", false
	return d, a
}
