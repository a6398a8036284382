package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"imagery/app/cli"
	"imagery/app/deploy/iam"
	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
	"imagery/app/imagery"
	"imagery/app/store/local"
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

// screen is what a pipe gets. Nobody's terminal is wider than it needs.
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

const (
	describeGroups = "autoscaling:DescribeAutoScalingGroups"
	describeHealth = "elasticloadbalancing:DescribeTargetHealth"
	aTarget        = "<member>arn:aws:elasticloadbalancing:eu-central-1:1:targetgroup/imagery-test/1</member>"
)

func healthXML(targets ...string) string {
	var b strings.Builder
	for i := 0; i < len(targets); i += 3 {
		fmt.Fprintf(&b, "<member><Target><Id>%s</Id><Port>8080</Port></Target><TargetHealth><State>%s</State><Reason>%s</Reason><Description>Health checks failed</Description></TargetHealth></member>",
			targets[i], targets[i+1], targets[i+2])
	}
	return "<DescribeTargetHealthResponse><DescribeTargetHealthResult><TargetHealthDescriptions>" + b.String() +
		"</TargetHealthDescriptions></DescribeTargetHealthResult></DescribeTargetHealthResponse>"
}

var (
	newRelease = strings.Repeat("bad0", 16)
	oldRelease = strings.Repeat("900d", 16)
)

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
			New: map[string]string{"server": "7", "worker": "7"},
			Old: map[string]string{"server": "6", "worker": "6"}}}}.Document()
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

func TestStatusOfAStack(t *testing.T) {
	d, _ := night(t)
	got, err := d.screen()
	want := `stack test, us-east-1                                    2026-03-01 00:00:00 UTC

FLEET    1 of 2 servers ready (2 to 4), 1 of 2 workers ready (2 to 4)
         INSTANCE             ROLE    STATE             RELEASE       TPL  ZONE
         i-0aaaaaaaaaaaaaaa2  server  unhealthy         bad0bad0bad0  7    1b
         i-0aaaaaaaaaaaaaaa1  server  ready             900d900d900d  6    1a
         i-0aaaaaaaaaaaaaaa4  worker  Terminating:Wait  900d900d900d  6    1b
         i-0aaaaaaaaaaaaaaa3  worker  ready             bad0bad0bad0  7    1a
         i-0aaaaaaaaaaaaaaa2: Target.FailedHealthChecks: Health checks failed
ROLLOUT  bad0bad0bad0: rolling back for 4m, by ann@laptop (pulumi up)
         bob@desk requested a rollback 1m ago
         bad0bad0bad0 is blocked by bob@desk since 2026-03-01T00:00:00Z: too
         slow
QUEUE    3 waiting, 2 in flight, 1 delayed, 1 dead letter; see imagery dlq ls
OLDEST   20m old: ` + d.ids[0] + `; see imagery why
ALARMS   1 of 15 in ALARM; without data: workers-low; switched off: servers-low
         lag  for 5m  docs/runbook.md#lag
`
	if err != nil || got != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, got, want)
	}
	out, err := d.screen("--json")
	var doc struct {
		Fleet struct {
			Members []struct{ Name, State, Release string }
		}
		Rollout          struct{ Newest struct{ Result string } }
		Queue            cli.QueueDepth
		OldestUnfinished struct {
			ID         string
			AgeSeconds int64
		}
		Alarms struct{ Ringing []struct{ Name string } }
	}
	if jsonErr := json.Unmarshal([]byte(out), &doc); jsonErr != nil || err != nil || len(doc.Fleet.Members) != 4 ||
		doc.Fleet.Members[0].Release != newRelease ||
		doc.Rollout.Newest.Result != "rolling back" || doc.Queue != d.depth || doc.OldestUnfinished.ID != d.ids[0] ||
		doc.OldestUnfinished.AgeSeconds != 1200 ||
		len(doc.Alarms.Ringing) != 1 {
		t.Errorf("%v, %v: %+v", jsonErr, err, doc)
	}
}

// It asks for no more than the operators' table says, and the table says no more than it asks for.
func TestStatusRights(t *testing.T) {
	d, a := night(t)
	if _, err := d.screen(); err != nil {
		t.Fatal(err)
	}
	// The table and the queue are asked by backends, whose own tests look at their calls.
	var want []string
	for _, c := range iam.Status {
		if c.Service != "dynamodb" {
			want = append(want, c.Service+":"+c.Operation)
		}
	}
	got := slices.Compact(slices.Sorted(slices.Values(a.Calls())))
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("it calls %v, the table has %v", got, want)
	}
}

// What cannot be read is one line with the reason, and hides nothing else.
func TestStatusWithoutRights(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	away := errors.New("away\x1b[2J")
	for name, c := range map[string]struct {
		damage func(d *desk, a *fakeaccount.Account)
		want   string
		gone   string
	}{
		"groups": {func(_ *desk, a *fakeaccount.Account) { a.Answers(describeGroups, 403, fakeaccount.Refusal) },
			"FLEET    describe the groups: Auto Scaling refused DescribeAutoScalingGroups:", "INSTANCE"},
		"targets": {func(_ *desk, a *fakeaccount.Account) { a.Answers(describeHealth, 403, fakeaccount.Refusal) },
			"servers: describe the targets of the load balancer: Elastic Load\n         Balancing v2 refused DescribeTargetHealth", "unhealthy"},
		"alarms": {func(_ *desk, a *fakeaccount.Account) { a.Answers("cloudwatch:DescribeAlarms", 403, "") },
			"ALARMS   list the alarms imagery-test-*", "in ALARM"},
		"queue":  {func(d *desk, _ *fakeaccount.Account) { d.depthErr = away }, "QUEUE    away [2J\n", "waiting"},
		"record": {func(d *desk, _ *fakeaccount.Account) { d.recErr = away }, "ROLLOUT  away [2J\n", "900d900d900d"},
		"bad record": {func(d *desk, _ *fakeaccount.Account) { d.document = "{" }, "ROLLOUT  read the release record:",
			"bad0bad0bad0"},
		"no record": {func(d *desk, _ *fakeaccount.Account) { d.document = "" }, "ROLLOUT  none is recorded\n",
			"bad0bad0bad0"},
		"table": {func(d *desk, _ *fakeaccount.Account) { d.ports.Catalog = awayCatalog{d.ports.Catalog} },
			"OLDEST   list unfinished images: away\n", "20m old"},
		"no server": {func(_ *desk, a *fakeaccount.Account) {
			a.Answers(describeGroups, 200, groupsXML(groupXML("imagery-test-worker", "")))
		}, "servers: there is no group imagery-test-server\n", "INSTANCE"},
		"no group": {func(_ *desk, a *fakeaccount.Account) { a.Answers(describeGroups, 200, groupsXML()) },
			"FLEET    there is no group imagery-test-server or imagery-test-worker in\n", "INSTANCE"},
		"not a target": {func(_ *desk, a *fakeaccount.Account) { a.Answers(describeHealth, 200, healthXML()) },
			"i-0aaaaaaaaaaaaaaa1: it is not registered with the load balancer", "unhealthy"},
	} {
		t.Run(name, func(t *testing.T) {
			d, a := night(t)
			c.damage(d, a)
			got, err := d.screen()
			if err != nil || !strings.Contains(got, c.want) || strings.Contains(got, c.gone) {
				t.Errorf("%v, want %q, not %q in\n%s", err, c.want, c.gone, got)
			}
			for _, part := range []string{"FLEET", "ROLLOUT", "QUEUE", "OLDEST", "ALARMS"} {
				if strings.Count(got, "\n"+part) != 1 {
					t.Errorf("%s is not there once:\n%s", part, got)
				}
			}
		})
	}
	t.Run("all", func(t *testing.T) {
		d, a := night(t)
		a.Answers(describeGroups, 403, fakeaccount.Refusal)
		a.Answers("cloudwatch:DescribeAlarms", 403, "")
		d.depthErr, d.recErr, d.ports.Catalog = away, away, awayCatalog{d.ports.Catalog}
		if got, err := d.screen(); err == nil || !strings.Contains(err.Error(), "nothing of stack test, ") {
			t.Errorf("%v\n%s", err, got)
		}
	})
}

// lateIndex still has an image that is finished, and one that is gone.
type lateIndex struct {
	imagery.Catalog
	finished imagery.Image
}

func (l lateIndex) Pending(ctx context.Context, shard string, from, to time.Time, after string, limit int) (
	[]imagery.Pending, string, error) {
	list, next, err := l.Catalog.Pending(ctx, shard, from, to, after, limit)
	return append([]imagery.Pending{{ID: l.finished.ID, Updated: l.finished.Updated},
		{ID: imagery.NewID(), Updated: midnight.Add(-24 * time.Hour)}}, list...), next, err
}

type awayCatalog struct{ imagery.Catalog }

func (awayCatalog) Pending(context.Context, string, time.Time, time.Time, string, int) ([]imagery.Pending, string,
	error) {
	return nil, "", errors.New("away")
}

// Without a stack's name its groups and alarms are not guessed; with its outputs they are known by name, and so is
// the release of their newest template.
func TestStatusFindsTheStack(t *testing.T) {
	d, a := night(t)
	d.args = d.args[2:] // without --stack
	got, err := d.screen()
	if err != nil || strings.Count(got, "name the stack to see it (--stack, IMAGERY_STACK)") != 2 ||
		strings.Contains(got, "INSTANCE") ||
		slices.ContainsFunc(a.Calls(),
			func(c string) bool { return c == describeGroups || c == "cloudwatch:DescribeAlarms" }) {
		t.Errorf("%v\n%s", err, got)
	}

	bin := t.TempDir()
	script := `#!/bin/sh
echo '{"table":"t","imagesBucket":"b","queueUrl":"q","region":"eu-central-1","release":"` + newRelease + `","serverGroup":"mine","workerGroup":"theirs","templateVersions":{"server":9}}'`
	if err := os.WriteFile(filepath.Join(bin, "pulumi"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	d.args, d.document = []string{"--stack", "other"}, ""
	a.Answers(describeGroups, 200,
		groupsXML(groupXML("mine", aTarget, instance("i-0aaaaaaaaaaaaaaa1", "1a", "InService", "Healthy", "9")),
			groupXML("theirs", "")))
	got, err = d.screen()
	if err != nil || !strings.Contains(got, "stack other, eu-central-1") ||
		!strings.Contains(got, "ready  bad0bad0bad0  9    1a\n") ||
		!strings.Contains(got, "stack other has none in eu-central-1") {
		t.Errorf("%v\n%s", err, got)
	}
}

// A fleet of many fills no screen: those that need a look are all there.
func TestStatusOfManyInstances(t *testing.T) {
	d, a := night(t)
	var many []string
	for i := range 40 {
		state := "InService"
		if i%10 == 9 {
			state = "Pending:Wait"
		}
		many = append(many, instance(fmt.Sprintf("i-%017d", i), "1a", state, "Healthy", "6"))
	}
	a.Answers(describeGroups, 200, groupsXML(groupXML("imagery-test-worker", "", many...)))
	got, err := d.screen()
	if err != nil || strings.Count(got, "Pending:Wait") != 4 || strings.Count(got, " ready  ") > 8 ||
		!strings.Contains(got, "and 28 more that are ready\n") || !strings.Contains(got, "36 of 40 workers ready (2 to 4)") {
		t.Errorf("%v\n%s", err, got)
	}
}

// How a rollout ended is said in its own words, and that one without a driver goes on.
func TestStatusOfRollouts(t *testing.T) {
	e := record.Entry{Release: newRelease, By: "ann@laptop", Why: "pulumi up", Begin: midnight.Add(-3 * time.Hour),
		End: midnight.Add(-2*time.Hour - 50*time.Minute), Result: record.Successful}
	failed, running := e, e
	failed.Result, failed.Reason = record.RolledBack,
		"The new instances answer 503: the table is gone, and more words than fit on one line."
	running.Result, running.End = record.Running, time.Time{}
	lock := &record.Lock{Holder: "bob@desk", Why: "imagery rollback", Since: midnight.Add(-time.Minute),
		Until: midnight.Add(time.Minute)}
	over := *lock
	over.Until = midnight
	for want, r := range map[string]record.Record{
		"ROLLOUT  bad0bad0bad0: successful 2h50m ago in 10m, by ann@laptop (pulumi up)\nQ":                                         {Entries: []record.Entry{e}},
		"(pulumi up):\n         The new instances answer 503: the table is gone, and more words than\n         fit on one line.\n": {Entries: []record.Entry{failed}},
		"running for 3h0m, by ann@laptop (pulumi up); its\n         controller is gone: the next pulumi up takes it over\n":        {Entries: []record.Entry{running}, Lock: &over},
		"         locked by bob@desk (imagery rollback) for 1m\n":                                                                  {Entries: []record.Entry{e}, Lock: lock},
	} {
		d, _ := night(t)
		document, err := r.Document()
		if err != nil {
			t.Fatal(err)
		}
		d.document = document
		if got, err := d.screen(); err != nil || !strings.Contains(got, want) {
			t.Errorf("%v, want %q in\n%s", err, want, got)
		}
	}
}

// A pipe gets one page below the other, a terminal one in place of the other, until somebody stops it.
func TestStatusWatch(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		data := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, "-data", data)
			d.ports.Now = time.Now
			ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
			defer cancel()
			var out bytes.Buffer
			if err := d.status(ctx, cli.Console{Out: &out, Err: &bytes.Buffer{}, OutTerminal: terminal}, "--watch", "--every",
				"10s"); err != nil {
				t.Error(err)
			}
			got := out.String()
			pages, clears, homes := strings.Count(got, "FLEET    no fleet runs on this folder"), strings.Count(got, "\x1b[2J"),
				strings.Count(got, "\x1b[H")
			if pages != 3 || terminal && (clears != 1 || homes != 3 || strings.Contains(got, "\n\n\x1b") ||
				!strings.HasSuffix(got, "\x1b[J")) ||
				!terminal && (strings.Contains(got, "\x1b") || strings.Count(got, "\n\n"+data) != 2) {
				t.Errorf("terminal %t: %d pages, %q", terminal, pages, got)
			}
			// Whoever stops it while it looks gets no half page.
			out.Reset()
			ctx, cancel = context.WithCancel(t.Context())
			d.hook = cancel
			if err := d.status(ctx, cli.Console{Out: &out, OutTerminal: terminal}, "--watch"); err != nil || out.Len() > 0 {
				t.Errorf("%v, %q", err, out.String())
			}
			if err := d.status(ctx, cli.Console{Out: &out, OutTerminal: terminal}, "--watch", "--every", "10ms"); err == nil {
				t.Error("it would ask a hundred times a second")
			}
		})
	}
}

// Two documents in a row are what a program can read.
func TestStatusWatchInJSON(t *testing.T) {
	data := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "-data", data)
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		var out bytes.Buffer
		if err := d.status(ctx, cli.Console{Out: &out, OutTerminal: true}, "--watch", "--every", "1s", "--json"); err != nil {
			t.Fatal(err)
		}
		dec := json.NewDecoder(&out)
		for range 2 {
			var doc struct{ Place string }
			if err := dec.Decode(&doc); err != nil || doc.Place == "" {
				t.Fatalf("%v, %+v", err, doc)
			}
		}
	})
}

// Only the fleet of this folder is shown, whatever a killed one left behind.
func TestStatusOfALocalFleet(t *testing.T) {
	d := newDesk(t, "-data", t.TempDir())
	data := d.args[1]
	answer := func(w http.ResponseWriter, folder string) {
		fmt.Fprintf(w, `{"data":%q,"processes":[{"name":"server-1","role":"server","pid":7,"uptime":3600,"restarts":2,"ready":true,"release":%q,"done":41,"inFlight":1},
			{"name":"worker-1","role":"worker","pid":0},{"name":"worker-2","role":"worker","pid":9}],"queue":{}}`, folder, newRelease)
	}
	for want, serve := range map[string]http.HandlerFunc{
		"1 of 1 servers ready, 0 of 2 workers ready, http://": func(w http.ResponseWriter, _ *http.Request) {
			answer(w, data)
		},
		"no fleet runs on this folder": func(w http.ResponseWriter, _ *http.Request) { answer(w, t.TempDir()) },
		"does not answer: it answered 403 Forbidden": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
		},
		"does not answer: invalid character": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") },
	} {
		s := httptest.NewServer(serve)
		if err := os.WriteFile(filepath.Join(data, local.FleetFile), []byte(s.URL+" 12\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := d.screen()
		// lines break where the port is long
		if err != nil || !strings.Contains(strings.Join(strings.Fields(got), " "), want) {
			t.Errorf("%v, want %q in\n%s", err, want, got)
		}
		if strings.HasPrefix(want, "1 of 1") &&
			(!strings.Contains(got, "server-1  ready      bad0bad0bad0  7    1h0m  2         41    1\n") ||
				!strings.Contains(got, "worker-1  down       unknown       -    0s    0         0     0\n")) {
			t.Error(got)
		}
		s.Close()
	}
	if got, err := d.screen(); err != nil || !strings.Contains(got, "connection refused") ||
		strings.Count(got, "127.0.0.1:") > 2 {
		t.Errorf("%v\n%s", err, got)
	}
}
