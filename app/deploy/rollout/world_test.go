package rollout_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"imagery/app/deploy/record"
	"imagery/app/deploy/rollout"
	"imagery/app/deploy/settings"
	"imagery/infra/testing/asgsim"
)

const (
	worker = settings.Worker
	server = settings.Server
)

// release is the hash whose template versions have the number n.
func release(n int) string { return strings.Repeat(fmt.Sprintf("%02x", n), 32) }

func target(n int) rollout.Target {
	v := fmt.Sprint(n)
	return rollout.Target{Release: release(n), Versions: map[settings.Role]string{worker: v, server: v}}
}

// world is an account in which version 1 works in both groups, in virtual time.
type world struct {
	t     *testing.T
	sim   *asgsim.Simulator
	mem   *asgsim.Memory
	guard *asgsim.Guard

	mu      sync.Mutex
	fates   map[string]func(n int) asgsim.Script // by role and version; n counts its launches
	started map[string]int
	missing map[string]bool // objects
	item    map[string]types.AttributeValue
	lines   []string
	calls   int
	quiet   bool                                           // no refresh is expected, so nobody watches one
	hook    func(call string, n int) (before, after error) // of each call to AWS
}

func good() asgsim.Script {
	return asgsim.Script{Boot: 40 * time.Second, Answer: asgsim.Continue, Checks: 20 * time.Second, Drain: 10 * time.Second}
}

func always(f asgsim.Script) func(int) asgsim.Script { return func(int) asgsim.Script { return f } }

// dead is a boot that fails, as the boot script ends it.
func dead() asgsim.Script {
	return asgsim.Script{Boot: 30 * time.Second, Answer: asgsim.Abandon,
		Console: "\x1b[0mWelcome to Amazon Linux\r\nimagery boot: run the selftest\npanic: no such table\nIMAGERY BOOT FAILED: run the selftest (line 99)\n[ OK ] Reached target Power-Off.\n"}
}

func key(role settings.Role, version int) string { return fmt.Sprintf("%s/%d", role, version) }

// inWorld runs a test in a bubble, in a world with two groups of two, four at most, that are filled; see empty.
func inWorld(t *testing.T, test func(*world)) {
	t.Helper()
	inEmptyWorld(t, func(w *world) {
		w.create()
		w.filled()
		w.guard.Arm()
		test(w)
		if problem := w.broken(); problem != "" {
			t.Error(problem)
		}
	})
}

func inEmptyWorld(t *testing.T, test func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, fates: map[string]func(int) asgsim.Script{}, started: map[string]int{}, missing: map[string]bool{}}
		var broken []string
		w.guard = &asgsim.Guard{Broken: func(s string) { w.mu.Lock(); broken = append(broken, s); w.mu.Unlock() }}
		w.mem = &asgsim.Memory{Script: w.fate}
		w.sim = asgsim.New(asgsim.Options{Driver: w.mem, Observe: w.guard.Observe})
		w.mem.Simulator = w.sim
		defer w.sim.Close()
		versions := templates(1, 2, 3, 4, 5)
		w.sim.SetTemplate("lt-worker", versions...)
		w.sim.SetTemplate("lt-server", versions...)
		w.sim.Green("server-errors", "worker-failures")
		test(w)
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, b := range broken {
			t.Error(b)
		}
		if t.Failed() {
			t.Log(strings.Join(w.lines, "\n"))
		}
	})
}

func (w *world) fate(m asgsim.Machine) asgsim.Script {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := m.Group + "/" + m.Version
	w.started[k]++
	if f := w.fates[k]; f != nil {
		return f(w.started[k])
	}
	return good()
}

// create makes the groups as infra does, at version 1.
func (w *world) create() {
	hooks := []asgsim.Hook{{Name: "launch", Transition: asgsim.Launching, DefaultResult: asgsim.Abandon, Timeout: 900 * time.Second},
		{Name: "terminate", Transition: asgsim.Terminating, DefaultResult: asgsim.Continue, Timeout: 150 * time.Second}}
	both := asgsim.Group{Min: 2, Max: 4, Version: "1", Zones: []string{"a", "b"}, Warmup: 90 * time.Second, DrainDelay: 90 * time.Second, MinHealthy: 100, MaxHealthy: 150, Hooks: hooks}
	one := both
	one.Name, one.Template = "worker", "lt-worker"
	w.sim.Create(one)
	one = both
	one.Name, one.Template, one.TargetGroup, one.ELB, one.Grace = "server", "lt-server", "arn:aws:elasticloadbalancing:eu-central-1:111122223333:targetgroup/x/1", true, 90*time.Second
	w.sim.Create(one)
}

func (w *world) group(role settings.Role) (asgsim.Group, []asgsim.Instance) {
	w.t.Helper()
	g, instances, err := w.sim.Snapshot(string(role))
	if err != nil {
		w.t.Fatal(err)
	}
	return g, instances
}

// until waits in virtual time, and fails after two hours.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	for begun := time.Now(); !ok(); time.Sleep(time.Second) {
		if time.Since(begun) > 2*time.Hour {
			w.t.Fatalf("not within two hours: %s", what)
		}
	}
}

// serving counts the instances of a version that serve.
func (w *world) serving(role settings.Role, version int) int {
	_, instances := w.group(role)
	n := 0
	for _, i := range instances {
		if i.Version == fmt.Sprint(version) && i.Passes {
			n++
		}
	}
	return n
}

func (w *world) filled() {
	w.t.Helper()
	w.until("version 1 serves", func() bool { return w.serving(worker, 1) == 2 && w.serving(server, 1) == 2 })
}

// all fails unless both groups have a version, and no instance of another.
func (w *world) all(version int) {
	w.t.Helper()
	for _, role := range []settings.Role{worker, server} {
		g, instances := w.group(role)
		left := slices.DeleteFunc(instances, func(i asgsim.Instance) bool {
			return i.Version == fmt.Sprint(version) || strings.HasPrefix(string(i.State), "Terminat")
		})
		if g.Version != fmt.Sprint(version) || len(left) > 0 || w.serving(role, version) < g.Min {
			w.t.Errorf("%s: version %s, %d of version %d serve, and there are %+v", role, g.Version, w.serving(role, version), version, left)
		}
	}
}

// broken is what a test of the world itself would find.
func (w *world) broken() string {
	if !w.quiet && w.guard.Looks() == 0 {
		return "the guard watched nothing"
	}
	return ""
}

// Log keeps lines for a failure.
func (w *world) log(line string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, time.Now().Format("15:04:05 ")+line)
}

func (w *world) said(what string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.lines, func(l string) bool { return strings.Contains(l, what) })
}

func (w *world) options() rollout.Options {
	return rollout.Options{Clients: w.clients(), Table: "images", By: "ann@laptop", Why: "pulumi up", Bake: 3 * time.Minute, Log: w.log,
		Groups: map[settings.Role]rollout.Group{worker: {Name: "worker", Alarms: []string{"worker-failures"}, Logs: "/imagery/dev/worker"},
			server: {Name: "server", Alarms: []string{"server-errors"}, Logs: "/imagery/dev/server"}}}
}

// up is one `pulumi up`.
func (w *world) up(n int, change ...func(*rollout.Options)) (rollout.Outcome, error) {
	return w.upWith(context.Background(), n, change...)
}

func (w *world) upWith(ctx context.Context, n int, change ...func(*rollout.Options)) (rollout.Outcome, error) {
	o := w.options()
	for _, c := range change {
		c(&o)
	}
	return rollout.Run(ctx, o, target(n))
}

// proven is a world in which a first deploy of version 1 was recorded.
func (w *world) proven() {
	w.t.Helper()
	if _, err := w.up(1); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) record() record.Record {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	document := ""
	if d, ok := w.item[record.AttributeDocument].(*types.AttributeValueMemberS); ok {
		document = d.Value
	}
	r, err := record.Parse(document)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// wantEntry looks at the newest rollout in the record.
func (w *world) wantEntry(n int, result record.Result, reason string) record.Entry {
	w.t.Helper()
	r := w.record()
	if len(r.Entries) == 0 {
		w.t.Fatal("the record is empty")
	}
	e := r.Entries[0]
	if e.Release != release(n) || e.Result != result || !strings.Contains(e.Reason, reason) || e.By == "" || e.End.Before(e.Begin) {
		w.t.Errorf("the record says %+v", e)
	}
	if r.Lock != nil || r.Abort != nil {
		w.t.Errorf("left in the record: %+v, %+v", r.Lock, r.Abort)
	}
	return e
}

// judged fails unless the release was judged, for this reason.
func judged(t *testing.T, err error, outcome, reason string) *rollout.Error {
	t.Helper()
	var e *rollout.Error
	if !errors.As(err, &e) || !strings.Contains(e.Outcome, outcome) || !strings.Contains(e.Reason, reason) {
		t.Fatalf("%v; want %q: %q", err, outcome, reason)
	}
	return e
}

func refused(t *testing.T, err error, why string) {
	t.Helper()
	var e *rollout.Error
	if err == nil || errors.As(err, &e) || !strings.Contains(err.Error(), why) {
		t.Errorf("%v; want a refusal: %q", err, why)
	}
}

// clients are those of the SDK, without a network, which a bubble could not wait for.
func (w *world) clients() rollout.Clients {
	cfg := aws.Config{Region: "eu-central-1", BaseEndpoint: aws.String("http://simulator"), Retryer: func() aws.Retryer { return aws.NopRetryer{} },
		Credentials: credentials.NewStaticCredentialsProvider("x", "y", ""), HTTPClient: &http.Client{Transport: w}}
	return rollout.Clients{Groups: autoscaling.NewFromConfig(cfg), Targets: elasticloadbalancingv2.NewFromConfig(cfg), Compute: ec2.NewFromConfig(cfg),
		Alarms: cloudwatch.NewFromConfig(cfg), Objects: w, Table: w}
}

// call counts a call to AWS, and may fail it before or after it is made.
func (w *world) call(name string, do func() error) error {
	w.mu.Lock()
	w.calls++
	n, hook := w.calls, w.hook
	w.mu.Unlock()
	var before, after error
	if hook != nil {
		before, after = hook(name, n)
	}
	if before != nil {
		return before
	}
	return errors.Join(after, do())
}

// RoundTrip is the simulator's network.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	name := r.URL.Path
	if r.Header.Get("Content-Type") == "application/x-www-form-urlencoded" {
		if err := r.ParseForm(); err != nil {
			return nil, err
		}
		name = r.PostForm.Get("Action")
	}
	err := w.call(name, func() error { w.sim.Handler().ServeHTTP(rec, r); return nil })
	if answer := (*answer)(nil); errors.As(err, &answer) {
		rec = httptest.NewRecorder()
		rec.Header().Set("Content-Type", "text/xml")
		rec.WriteHeader(answer.status)
		fmt.Fprintf(rec, `<ErrorResponse><Error><Code>%[1]s</Code><Message>%[1]s</Message></Error><RequestId>1</RequestId></ErrorResponse>`, answer.code)
		return rec.Result(), nil
	}
	if err != nil {
		return nil, err
	}
	return rec.Result(), nil
}

// HeadObject is a bucket.
func (w *world) HeadObject(_ context.Context, in *s3.HeadObjectInput, _ ...func(*s3.Options)) (*s3.HeadObjectOutput, error) {
	return &s3.HeadObjectOutput{}, w.call("HeadObject", func() error {
		if *in.Bucket != "releases" || w.missing[*in.Key] {
			return errors.New("NotFound: " + *in.Key)
		}
		return nil
	})
}

// GetItem and PutItem are a table.
func (w *world) GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (out *dynamodb.GetItemOutput, err error) {
	return out, w.call("GetItem", func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		out = &dynamodb.GetItemOutput{Item: w.item}
		return nil
	})
}

func (w *world) PutItem(_ context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	name := "PutItem"
	w.mu.Lock()
	if unchanged(w.item, in.Item) {
		name = "renewal"
	}
	w.mu.Unlock()
	return &dynamodb.PutItemOutput{}, w.call(name, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		ok := w.item == nil
		if *in.ConditionExpression == "#version = :version" {
			have, _ := w.item[in.ExpressionAttributeNames["#version"]].(*types.AttributeValueMemberN)
			ok = have != nil && have.Value == in.ExpressionAttributeValues[":version"].(*types.AttributeValueMemberN).Value
		}
		if !ok {
			return &types.ConditionalCheckFailedException{}
		}
		w.item = in.Item
		return nil
	})
}

// answer is an error of a hook that AWS itself gives, and not the network.
type answer struct {
	status int
	code   string
}

func (a *answer) Error() string { return a.code }

var errSmoke = errors.New("the photo is green")

func (w *world) setHook(hook func(call string, n int) (before, after error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hook = hook
}

// smoke is one that takes a while.
func (w *world) smoke(seen *[]string, takes time.Duration, err error) func(context.Context, string) (string, error) {
	return func(ctx context.Context, release string) (string, error) {
		*seen = append(*seen, release)
		select {
		case <-time.After(takes):
			return "", err
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// nothing lets a test without a refresh pass the guard's own check.
func (w *world) nothing() { w.quiet = true }

// unchanged reports whether a write only renews the lock.
func unchanged(a, b map[string]types.AttributeValue) bool {
	text := func(item map[string]types.AttributeValue) string {
		d, _ := item[record.AttributeDocument].(*types.AttributeValueMemberS)
		if d == nil {
			return ""
		}
		return until.ReplaceAllString(d.Value, "")
	}
	return a != nil && text(a) == text(b)
}

var until = regexp.MustCompile(`"until":"[^"]*"`)
