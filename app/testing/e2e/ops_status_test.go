package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"imagery/app/deploy/record"
	"imagery/app/imagery"
)

// statusReport is the output of status --json.
type statusReport struct {
	At    time.Time
	Place string
	Fleet struct {
		Problem, URL string
		Groups       []struct {
			Role, Name, Problem               string
			Ready, Members, Desired, Min, Max int
		}
		Members []struct {
			Name, Role, State, Detail, Release, Version, Zone string
			PID, Restarts, InFlight                           int
			Done, UptimeSeconds                               int64
		}
	}
	Rollout struct {
		Problem             string
		Newest, Lock, Abort map[string]any
		Held                map[string]any
	}
	Queue struct {
		Problem                                 string
		Visible, InFlight, Delayed, DeadLetters int
	}
	OldestUnfinished struct {
		Problem, ID string
		Since       time.Time
		AgeSeconds  int64
	}
	Alarms struct {
		Problem            string
		Total              int
		Ringing            []map[string]any
		WithoutData, Muted []string
	}
}

// TestStatus checks that status shows the oldest unfinished image, a dead letter and, on AWS, the release record,
// without a running fleet.
func TestStatus(t *testing.T) {
	t.Parallel()
	onBothBackends(t, quick, func(d *deployment) {
		d.addImage("r1", time.Hour, imagery.Uploaded, imagery.Processed)
		d.addImage("r1", time.Minute, imagery.Uploaded)
		oldest := d.addImage("r1", 20*time.Minute, imagery.Uploaded)
		d.addDeadLetter(hintOf(oldest))
		out, _ := d.run(0, "status")
		d.contains(out, "OLDEST   20m old: "+oldest.ID,
			"QUEUE    0 waiting, 0 in flight, 0 delayed, 1 dead letter; see imagery dlq ls\n")
		var p statusReport
		d.runJSON(0, &p, "status")
		if p.OldestUnfinished.ID != oldest.ID || p.OldestUnfinished.AgeSeconds < 1200 || p.Queue.DeadLetters != 1 {
			d.Errorf("%+v", p)
		}
		if d.data == "" {
			d.checkReleaseRecord()
			return
		}
		if !strings.Contains(p.Fleet.Problem, "no fleet runs on this folder") || p.Place != d.data {
			d.Errorf("%+v", p.Fleet)
		}
	})
}

// checkReleaseRecord writes a release record and expects status to show it.
func (d *deployment) checkReleaseRecord() {
	d.Helper()
	document, err := record.Record{Entries: []record.Entry{{Release: strings.Repeat("ab", 32), By: "ann@laptop",
		Why: "pulumi up", Begin: time.Now().Add(-time.Hour),
		End: time.Now().Add(-50 * time.Minute), Result: record.RolledBack, Reason: "It was bad."}}}.Document()
	if err != nil {
		d.Fatal(err)
	}
	out, _ := d.run(0, "status")
	d.contains(out, "ROLLOUT  none is recorded\n", "FLEET    not read: name the stack to see it", "ALARMS   not read")
	if _, err := d.aws.DynamoDB().PutItem(d.Context(), &dynamodb.PutItemInput{TableName: &d.aws.Table,
		Item: map[string]types.AttributeValue{
			record.AttributeID:       &types.AttributeValueMemberS{Value: record.ID},
			record.AttributeVersion:  &types.AttributeValueMemberN{Value: "1"},
			record.AttributeDocument: &types.AttributeValueMemberS{Value: document}},
		ReturnConsumedCapacity: types.ReturnConsumedCapacityNone,
		ConditionExpression:    sdk.String("attribute_not_exists(id)")}); err != nil {
		d.Fatal(err)
	}
	out, _ = d.run(0, "status")
	d.contains(out, "ROLLOUT  abababababab: rolled back 50m ago in 10m, by ann@laptop "+
		"(pulumi up): It\n         was bad.\n")
	// Commands that scan the table must not take other items for images.
	d.run(0, "requeue", "--failed", "--dry-run")
	d.run(0, "fsck")
}

// TestStatusWatch checks that the display follows a fleet while its processes are killed, and that an interrupt ends
// it.
func TestStatusWatch(t *testing.T) {
	t.Parallel()
	d := localDeployment(t, quick)
	fleet := d.fleet()
	read := func() (p statusReport) { d.runJSON(0, &p, "status"); return p }
	until := func(what string, ok func(p statusReport) bool) statusReport {
		t.Helper()
		for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
			p := read()
			if ok(p) {
				return p
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %+v", what, p)
			}
		}
	}
	allReady := func(p statusReport) bool {
		n := 0
		for _, m := range p.Fleet.Members {
			if m.State == "ready" && len(m.Release) == 64 {
				n++
			}
		}
		return n == 4
	}
	p := until("all ready", allReady)
	if p.Fleet.URL != fleet.url || p.Fleet.Groups[0].Ready != 2 {
		t.Errorf("%+v", p.Fleet)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, append([]string{"status", "--watch", "--every", "1s"}, d.flags...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	screen, err := os.Create(filepath.Join(t.TempDir(), "screen"))
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	var errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = screen, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	victim := p.Fleet.Members[3]
	if err := syscall.Kill(victim.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p = until("the victim is replaced", func(p statusReport) bool {
		m := p.Fleet.Members
		return allReady(p) && m[3].Name == victim.Name && m[3].Restarts == 1 && m[3].PID != victim.PID
	})
	shown := func() string {
		text, err := os.ReadFile(screen.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	until("the screen shows it", func(statusReport) bool {
		pages := strings.Split(shown(), "\n\n"+d.data)
		last := pages[len(pages)-1]
		return len(pages) > 1 && strings.Contains(last, fmt.Sprint("  ", p.Fleet.Members[3].PID, "  ")) &&
			strings.Contains(last, "2 of 2 servers ready, 2 of 2 workers ready, "+fleet.url)
	})
	cancel()
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 0 || errs.Len() > 0 {
		t.Errorf("%v: %s", err, errs.String())
	}
	if out := shown(); strings.Contains(out, "\x1b") {
		t.Errorf("a file gets the commands of a terminal: %q", out)
	}
	// A killed fleet leaves its address behind, a stopped one does not.
	fleet.stop(d)
	if p := read(); !strings.Contains(p.Fleet.Problem, "no fleet runs on this folder") {
		t.Errorf("%+v", p.Fleet)
	}
}
