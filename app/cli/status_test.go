package cli_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"imagery/app/cli"
	"imagery/app/deploy/iam"
	"imagery/app/deploy/record"
	"imagery/app/imagery"
	"imagery/app/testing/fakeaccount"
)

const (
	describeGroups = "autoscaling:DescribeAutoScalingGroups"
	describeHealth = "elasticloadbalancing:DescribeTargetHealth"
	aTarget        = "<member>arn:aws:elasticloadbalancing:eu-central-1:1:targetgroup/imagery-test/1</member>"
)

var (
	newRelease = strings.Repeat("bad0", 16)
	oldRelease = strings.Repeat("900d", 16)
)

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
			"servers: describe the targets of the load balancer: Elastic Load\n" +
				"         Balancing v2 refused DescribeTargetHealth", "unhealthy"},
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
echo '{"table":"t","imagesBucket":"b","queueUrl":"q","region":"eu-central-1","release":"` + newRelease + `",
"serverGroup":"mine","workerGroup":"theirs","templateVersions":{"server":9}}'`
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
		"ROLLOUT  bad0bad0bad0: successful 2h50m ago in 10m, by ann@laptop (pulumi up)\nQ": {
			Entries: []record.Entry{e}},
		"(pulumi up):\n         The new instances answer 503: the table is gone, and more words than\n" +
			"         fit on one line.\n": {
			Entries: []record.Entry{failed}},
		"running for 3h0m, by ann@laptop (pulumi up); its\n         controller is gone: the next pulumi up takes it over\n": {
			Entries: []record.Entry{running}, Lock: &over},
		"         locked by bob@desk (imagery rollback) for 1m\n": {
			Entries: []record.Entry{e}, Lock: lock},
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
