package rollout_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"imagery/app/deploy/record"
	"imagery/app/deploy/rollout"
	"imagery/app/deploy/settings"
)

// The helpers in this file run a rollout and check its error, its log and its record.

func (env *testEnv) options() rollout.Options {
	return rollout.Options{Clients: env.clients(), Table: "images", By: "ann@laptop", Why: "pulumi up",
		Bake: 3 * time.Minute, Poll: 30 * time.Second, Log: env.log,
		Groups: map[settings.Role]rollout.Group{
			worker: {Name: "worker", Alarms: []string{"worker-failures"}, Logs: "/imagery/dev/worker"},
			server: {Name: "server", Alarms: []string{"server-errors"}, Logs: "/imagery/dev/server"},
		}}
}

func force(o *rollout.Options) { o.Force = true }

func startOnly(o *rollout.Options) { o.Start = true }

// up rolls out release n, as `pulumi up` does.
func (env *testEnv) up(n int, change ...func(*rollout.Options)) (rollout.Outcome, error) {
	return env.upContext(context.Background(), n, change...)
}

func (env *testEnv) upContext(
	ctx context.Context, n int, change ...func(*rollout.Options),
) (rollout.Outcome, error) {
	o := env.options()
	for _, c := range change {
		c(&o)
	}
	return rollout.Run(ctx, o, target(n))
}

// upAsync is up in the background; the channel receives its error.
func (env *testEnv) upAsync(n int, change ...func(*rollout.Options)) <-chan error {
	done := make(chan error, 1)
	go func() { _, err := env.up(n, change...); done <- err }()
	return done
}

// deploy is up, which must succeed: the release runs in both groups, and its entry, which deploy returns, says so.
func (env *testEnv) deploy(n int, change ...func(*rollout.Options)) record.Entry {
	env.t.Helper()
	if _, err := env.up(n, change...); err != nil {
		env.t.Fatal(err)
	}
	env.wantRunning(n)
	return env.wantEntry(n, record.Successful, "")
}

// deployFirst deploys version 1, so that later releases have one to roll back to.
func (env *testEnv) deployFirst() {
	env.t.Helper()
	env.deploy(1)
}

// to runs `imagery rollout to`.
func (env *testEnv) to(prefix string, change ...func(*rollout.Options)) (rollout.Outcome, error) {
	o := env.options()
	for _, c := range change {
		c(&o)
	}
	return rollout.To(context.Background(), o, prefix)
}

// abort runs `imagery rollout abort` as bob@desk.
func (env *testEnv) abort() (by string, err error) {
	o := env.options()
	o.By = "bob@desk"
	return rollout.Abort(context.Background(), o)
}

// runInterrupted runs do and interrupts it after some time, as Ctrl-C does.
func (env *testEnv) runInterrupted(after time.Duration, do func(ctx context.Context) (rollout.Outcome, error)) {
	env.t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), after)
	defer stop()
	if _, err := do(ctx); err == nil {
		env.t.Fatalf("it ended within %s, before the interruption", after)
	}
}

// upInterrupted is up, interrupted after some time.
func (env *testEnv) upInterrupted(after time.Duration, n int) {
	env.t.Helper()
	env.runInterrupted(after, func(ctx context.Context) (rollout.Outcome, error) { return env.upContext(ctx, n) })
}

// smokeTest returns a smoke test that takes some time and then returns err. It appends each release to releases.
func smokeTest(
	releases *[]string, takes time.Duration, err error,
) func(context.Context, string) error {
	return func(ctx context.Context, release string) error {
		*releases = append(*releases, release)
		select {
		case <-time.After(takes):
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (env *testEnv) log(line string) {
	env.mu.Lock()
	defer env.mu.Unlock()
	env.lines = append(env.lines, time.Now().Format("15:04:05 ")+line)
}

// logged reports whether a line of the log contains text.
func (env *testEnv) logged(text string) bool {
	env.mu.Lock()
	defer env.mu.Unlock()
	return slices.ContainsFunc(env.lines, func(l string) bool { return strings.Contains(l, text) })
}

func (env *testEnv) record() record.Record {
	env.t.Helper()
	env.mu.Lock()
	defer env.mu.Unlock()
	r, err := record.Parse(document(env.item))
	if err != nil {
		env.t.Fatal(err)
	}
	return r
}

// editRecord writes the record as another process would.
func (env *testEnv) editRecord(change func(*record.Record)) {
	env.t.Helper()
	r := env.record()
	change(&r)
	text, err := r.Document()
	if err != nil {
		env.t.Fatal(err)
	}
	env.mu.Lock()
	defer env.mu.Unlock()
	version, _ := strconv.Atoi(env.item[record.AttributeVersion].(*types.AttributeValueMemberN).Value)
	env.item = map[string]types.AttributeValue{
		record.AttributeVersion:  &types.AttributeValueMemberN{Value: strconv.Itoa(version + 1)},
		record.AttributeDocument: &types.AttributeValueMemberS{Value: text},
	}
}

// wantEntry checks that the newest rollout in the record is the one of release n and has ended, and returns it.
func (env *testEnv) wantEntry(n int, result record.Result, reason string) record.Entry {
	env.t.Helper()
	r := env.record()
	if len(r.Entries) == 0 {
		env.t.Fatal("the record has no entries")
	}
	e := r.Entries[0]
	if e.Release != release(n) || e.Result != result || !strings.Contains(e.Reason, reason) || e.By == "" ||
		e.End.Before(e.Begin) {
		env.t.Errorf("newest entry %+v; want release %s, result %s, reason %q", e, release(n), result, reason)
	}
	if r.Lock != nil || r.Abort != nil {
		env.t.Errorf("left in the record: lock %+v, abort %+v", r.Lock, r.Abort)
	}
	return e
}

// wantFailure fails the test unless err is a *rollout.Error whose outcome and reason contain the texts.
func wantFailure(t *testing.T, err error, outcome, reason string) *rollout.Error {
	t.Helper()
	var e *rollout.Error
	if !errors.As(err, &e) || !strings.Contains(e.Outcome, outcome) || !strings.Contains(e.Reason, reason) {
		t.Fatalf("error %v; want outcome %q, reason %q", err, outcome, reason)
	}
	return e
}

// wantRejected fails the test unless err is another error than a *rollout.Error, and contains text.
func wantRejected(t *testing.T, err error, text string) {
	t.Helper()
	var e *rollout.Error
	if err == nil || errors.As(err, &e) || !strings.Contains(err.Error(), text) {
		t.Errorf("error %v; want a rejection: %q", err, text)
	}
}
