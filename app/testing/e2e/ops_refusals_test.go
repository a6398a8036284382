package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"imagery/app/admin/fsck"
	"imagery/app/deploy/iam"
	"imagery/app/imagery"
	"imagery/app/testing/fakeaws"
)

// TestCommandsRefuseBadInput checks that bad input gives an error of one line and the right exit code, and changes
// nothing.
func TestCommandsRefuseBadInput(t *testing.T) {
	t.Parallel()
	d := localDeployment(t, quick)
	created := d.addImage("r1", 0)
	processed := d.addImage("r1", 0, imagery.Uploaded, imagery.Processed)
	lost := d.addImage("r1", 0, imagery.Uploaded, imagery.Failed)
	d.remove(lost.RawKey)
	unknown := imagery.NewID()
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	d.expectUnchanged(func() {
		for _, c := range []struct {
			args string
			code int
			want string
		}{
			{"dlq purge", 2, "ls, redrive, show"},
			{"dlq shwo", 2, "did you mean show?"},
			{"reqeue --failed", 2, "did you mean requeue?"},
			{"dlq ls extra", 2, `"extra"`},
			{"dlq show", 2, "give one id"},
			{"dlq show " + unknown, 1, "no dead letter has the id " + unknown},
			{"dlq redrive --rate 0", 2, "--rate 0"},
			{"dlq redrive --rate soon", 2, "soon"},
			{"dlq redrive extra", 2, `"extra"`},
			{"dlq redrive --id " + unknown, 1, "no dead letter"},
			{"requeue", 2, "give one id"},
			{"requeue 7", 2, "not a UUID"},
			{"requeue " + unknown + " " + unknown, 2, "give one id"},
			{"requeue " + unknown + " --failed", 2, "leave out"},
			{"requeue --release abc " + unknown, 2, "--failed"},
			{"requeue --failed --since soon", 2, "soon"},
			{"requeue --failed --since 2999-01-02T15:04:05Z", 2, "2999"},
			{"requeue --failed --since -2h", 2, "-2h"},
			{"requeue --failed --rate -1", 2, "--rate -1"},
			{"requeue " + unknown, 1, unknown + ": not found"},
			{"requeue " + created.ID, 1, "is created: nothing to requeue"},
			{"requeue " + processed.ID, 1, "is processed: nothing to requeue"},
			{"requeue --dry-run " + processed.ID, 1, "is processed: nothing to requeue"},
			{"requeue " + lost.ID, 1, "its user must upload it again"},
			{"requeue --dry-run " + lost.ID, 1, "its user must upload it again"},
			{"why", 2, "give one id"},
			{"why 7", 2, "not a UUID"},
			{"why " + unknown, 1, "there is no image " + unknown},
			{"fsck extra", 2, `"extra"`},
			{"fsck --repair --older-than 1s", 2, "2m0s"},
			{"why --nonsense " + unknown, 2, "nonsense"},
			{"selftest", 2, "-table, IMAGERY_TABLE"},
			{"why " + unknown + " -table images", 2, "--table is set but --bucket"},
			{"fsck -max-pixels many", 2, "-max-pixels, IMAGERY_MAX_PIXELS"},
		} {
			_, stderr := d.run(c.code, strings.Fields(c.args)...)
			d.contains(stderr, "imagery: ", c.want)
		}
	})
	d.flags = []string{"-data", nowhere}
	for _, command := range []string{"dlq ls", "dlq show 1", "dlq redrive", "requeue --failed", "requeue " + unknown,
		"why " + unknown, "fsck"} {
		_, stderr := d.run(1, strings.Fields(command)...)
		d.contains(stderr, nowhere, "-data, IMAGERY_DATA")
	}
	if _, err := os.Stat(nowhere); err == nil {
		t.Error("a command made the mistyped folder")
	}
}

// commandLines returns one call of every command that uses the storage.
func commandLines(id string) []string {
	return []string{"dlq ls", "dlq show " + id, "dlq redrive", "requeue --failed", "requeue " + id, "why " + id,
		"fsck --hashes --repair", "status"}
}

// TestCommandsOnAWSSayWhatIsMissing checks that a missing permission, queue, table or region is named in one line.
func TestCommandsOnAWSSayWhatIsMissing(t *testing.T) {
	t.Parallel()
	d := awsDeployment(t, quick)
	id := d.addImage("r1", 0, imagery.Uploaded, imagery.Failed).ID
	proxy := d.aws.Proxy
	for _, command := range commandLines(id) {
		proxy.Inject(func(c fakeaws.Call) fakeaws.Fault {
			if c.Caller == "operator" {
				return fakeaws.Fault{Kind: fakeaws.Denied}
			}
			return fakeaws.Fault{}
		})
		_, stderr := d.run(1, strings.Fields(command)...)
		d.contains(stderr, " refused ", "AccessDenied")
		if len(stderr) > 200 {
			t.Errorf("%s: too long: %s", command, stderr)
		}
	}
	proxy.Inject(nil)
	alone, _, err := d.aws.NewQueue(t.Context(), "alone", imagery.Limits{Visibility: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"dlq", "ls", "-queue-url", alone}, "the queue has no dead-letter queue"},
		{[]string{"dlq", "ls", "-queue-url", d.aws.QueueURL + "-x"}, "SQS refused GetQueueAttributes"},
		{[]string{"fsck", "-table", "nothing"}, "DynamoDB refused Scan"},
		{[]string{"why", id, "-table", "nothing"}, "DynamoDB refused GetItem"},
		{[]string{"fsck", "-bucket", "nothing"}, "NoSuchBucket"},
		{[]string{"requeue", id, "-bucket", "nothing"}, "NoSuchBucket"},
	} {
		args := c.args
		flags := d.flags
		d.flags = nil // a later flag wins: those of the row must stand behind
		_, stderr := d.run(1, append(append(args[:len(args)-2:len(args)-2], flags...), args[len(args)-2:]...)...)
		d.flags = flags
		d.contains(stderr, c.want)
	}
	d.env = append(d.env, "AWS_REGION=", "AWS_DEFAULT_REGION=")
	_, stderr := d.run(1, "why", id)
	d.contains(stderr, "AWS_REGION")
}

// TestOperatorIAMActionsMatchTheCalls compares the calls of the commands with the IAM actions of an operator, in both
// directions. Removing old objects cannot be tested here, because objects of the emulator are always new; the test of
// the AWS store covers those two calls.
func TestOperatorIAMActionsMatchTheCalls(t *testing.T) {
	t.Parallel()
	d := awsDeployment(t, quick)
	failed := d.addImage("r1", time.Hour, imagery.Uploaded, imagery.Failed)
	d.addImage("r1", time.Hour, imagery.Uploaded, imagery.Failed)
	d.addImage("r1", time.Hour, imagery.Uploaded, imagery.Processed)
	d.addImage("r1", time.Hour, imagery.Uploaded)
	d.addDeadLetter(hintOf(failed))
	d.addDeadLetter("junk")
	for _, command := range commandLines(failed.ID) {
		d.run(0, strings.Fields(command)...)
	}
	allowed := slices.DeleteFunc(slices.Concat(iam.Operator, iam.Status), func(c iam.Action) bool {
		return c.Operation == "DeleteObject" || !slices.Contains([]string{"dynamodb", "s3", "sqs"},
			c.Service) // a stack without a name has no groups
	})
	calls := slices.DeleteFunc(d.aws.Proxy.Calls(), func(c fakeaws.Call) bool { return c.Caller != "operator" })
	for _, problem := range d.aws.Compare(allowed, calls) {
		t.Error(problem)
	}
}

// TestInterruptedCommands sends an interrupt to a long redrive. It must print what it has done and make the other
// letters visible at once.
func TestInterruptedCommands(t *testing.T) {
	t.Parallel()
	d := localDeployment(t, quick)
	d.flags = append(d.flags, "-visibility", "1m")
	for range 30 {
		d.addDeadLetter(hintOf(d.addImage("r1", time.Hour, imagery.Uploaded, imagery.Failed)))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, append([]string{"dlq", "redrive", "--rate", "2"}, d.flags...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hinted := func() bool {
		return slices.ContainsFunc(d.snapshot().Messages, func(m fsck.Message) bool { return !m.Dead })
	}
	for deadline := time.Now().Add(2 * time.Minute); !hinted(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing was sent back")
		}
	}
	cancel()
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 1 || errs.String() != "imagery: interrupted\n" {
		t.Errorf("%v: %s", err, errs.String())
	}
	done := strings.Count(out.String(), " requeue ")
	var left []deadLetter
	if d.runJSON(0, &left, "dlq", "ls"); done == 0 || len(left) != 30-done {
		t.Errorf("%d letters were done, %d are left:\n%s", done, len(left), out.String())
	}
}
