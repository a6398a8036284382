package main

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"imagery/app/deploy/rollout"
	"imagery/infra/preflight"
	"imagery/infra/testing/pulumitest"
)

// fakeBuild is a release.Builder that returns a file of the test.
type fakeBuild struct{ path string }

func (b fakeBuild) Build(context.Context, string, string) (string, error) { return b.path, nil }

// binary returns a fakeBuild of a file with this content.
func binary(t *testing.T, content string) fakeBuild {
	t.Helper()
	path := filepath.Join(t.TempDir(), "imagery")
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	return fakeBuild{path}
}

// fakeRoller is a Roller that records its arguments and returns a fixed report.
type fakeRoller struct {
	mu     sync.Mutex
	plans  []Plan
	err    error
	report preflight.Report
	want   preflight.Stack
	was    preflight.State
}

func (r *fakeRoller) Preflight(
	_ context.Context, _ AWSSettings, want preflight.Stack, was preflight.State,
) (preflight.Report, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.want, r.was = want, was
	return r.report, nil
}

func (r *fakeRoller) Roll(_ context.Context, p Plan) (rollout.Outcome, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.plans = append(r.plans, p)
	return rollout.Done, r.err
}

const region = "eu-central-1"

const certificate = "arn:aws:acm:eu-central-1:111122223333:certificate/0a1b2c3d-0000-1111-2222-333344445555"

// variants holds configurations that together cover every branch of the program.
var variants = map[string]map[string]string{
	"dev": {},
	"prod": {"profile": "prod", "certificateArn": certificate, "accessLogs": "true", "ssm": "true",
		"alarmEmail": "ops@example.com",
		"azs":        "eu-central-1a,eu-central-1b", "amiId": "ami-00000000000000001",
		"allowedCidrs": "203.0.113.0/24,198.51.100.0/24"},
	"nat": {"profile": "prod", "egress": "nat", "azCount": "3", "arch": "amd64", "serverType": "t3.small",
		"workerType": "c7i.large"},
	"natPerAz": {"egress": "natPerAz", "azCount": "3", "amiFollow": "true"},
}

// keysOf adds the namespace to the keys of a configuration.
func keysOf(imagery map[string]string) map[string]string {
	out := map[string]string{"aws:region": region}
	for k, v := range imagery {
		out["imagery:"+k] = v
	}
	return out
}

var graphs sync.Map // variant -> *pulumitest.Graph; a run takes half a second

// graphOf returns the graph of a variant, which it runs once. Clone the graph before you change it.
func graphOf(t *testing.T, variant string) *pulumitest.Graph {
	t.Helper()
	if g, ok := graphs.Load(variant); ok {
		return g.(*pulumitest.Graph)
	}
	g := run(t, "test", variants[variant], binary(t, "a release"))
	graphs.Store(variant, g)
	return g
}

func run(t *testing.T, stack string, config map[string]string, b fakeBuild) *pulumitest.Graph {
	t.Helper()
	g, err := pulumitest.Run(program(b, &fakeRoller{}), stack, t.TempDir(), keysOf(config))
	if err != nil {
		t.Fatal(err)
	}
	return g
}
