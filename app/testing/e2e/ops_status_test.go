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

// panorama is what status says with --json.
type panorama struct {
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

// TestStatus: an oldest image, a dead letter and, on AWS, the release record are seen on both backends, with a fleet
// and without one.
func TestStatus(t *testing.T) {
	t.Parallel()
	atDesks(t, func(d *desk) {
		d.image("r1", time.Hour, imagery.Uploaded, imagery.Processed)
		d.image("r1", time.Minute, imagery.Uploaded)
		oldest := d.image("r1", 20*time.Minute, imagery.Uploaded)
		d.bury(hintOf(oldest))
		out, _ := d.verb(0, "status")
		d.says(out, "OLDEST   20m old: "+oldest.ID, "QUEUE    0 waiting, 0 in flight, 0 delayed, 1 dead letter; see imagery dlq ls\n")
		var p panorama
		d.ask(0, &p, "status")
		if p.OldestUnfinished.ID != oldest.ID || p.OldestUnfinished.AgeSeconds < 1200 || p.Queue.DeadLetters != 1 {
			d.Errorf("%+v", p)
		}
		if d.data == "" {
			d.recorded()
			return
		}
		if !strings.Contains(p.Fleet.Problem, "no fleet runs on this folder") || p.Place != d.data {
			d.Errorf("%+v", p.Fleet)
		}
	})
}

// recorded writes a release record and looks for it.
func (d *desk) recorded() {
	d.Helper()
	document, err := record.Record{Entries: []record.Entry{{Release: strings.Repeat("ab", 32), By: "ann@laptop", Why: "pulumi up", Begin: time.Now().Add(-time.Hour),
		End: time.Now().Add(-50 * time.Minute), Result: record.RolledBack, Reason: "It was bad."}}}.Document()
	if err != nil {
		d.Fatal(err)
	}
	out, _ := d.verb(0, "status")
	d.says(out, "ROLLOUT  none is recorded\n", "FLEET    not asked: name the stack to see it", "ALARMS   not asked")
	if _, err := d.aws.DynamoDB().PutItem(d.Context(), &dynamodb.PutItemInput{TableName: &d.aws.Table, Item: map[string]types.AttributeValue{
		record.AttributeID: &types.AttributeValueMemberS{Value: record.ID}, record.AttributeVersion: &types.AttributeValueMemberN{Value: "1"},
		record.AttributeDocument: &types.AttributeValueMemberS{Value: document}}, ReturnConsumedCapacity: types.ReturnConsumedCapacityNone,
		ConditionExpression: sdk.String("attribute_not_exists(id)")}); err != nil {
		d.Fatal(err)
	}
	out, _ = d.verb(0, "status")
	d.says(out, "ROLLOUT  abababababab: rolled back 50m ago in 10m, by ann@laptop (pulumi up): It\n         was bad.\n")
	// An item that is no image must not be taken for one by the verbs that read the whole table.
	d.verb(0, "requeue", "--failed", "--dry-run")
	d.verb(0, "fsck")
}

// TestStatusWatch: the screen follows a fleet while its processes are killed, and Ctrl-C ends it as asked.
func TestStatusWatch(t *testing.T) {
	t.Parallel()
	d := localDesk(t)
	fleet := d.fleet()
	look := func() (p panorama) { d.ask(0, &p, "status"); return p }
	until := func(what string, ok func(p panorama) bool) panorama {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			p := look()
			if ok(p) {
				return p
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %+v", what, p)
			}
		}
	}
	well := func(p panorama) bool {
		n := 0
		for _, m := range p.Fleet.Members {
			if m.State == "ready" && len(m.Release) == 64 {
				n++
			}
		}
		return n == 4
	}
	p := until("all ready", well)
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
	p = until("the victim is replaced", func(p panorama) bool {
		m := p.Fleet.Members
		return well(p) && m[3].Name == victim.Name && m[3].Restarts == 1 && m[3].PID != victim.PID
	})
	shown := func() string {
		text, err := os.ReadFile(screen.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	until("the screen shows it", func(panorama) bool {
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
	// A fleet that is gone left its address if it was killed, and nothing if it was stopped.
	fleet.stop(d)
	if p := look(); !strings.Contains(p.Fleet.Problem, "no fleet runs on this folder") {
		t.Errorf("%+v", p.Fleet)
	}
}
