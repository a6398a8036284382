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

// fakeBuild stands in for the compiler: a file whose bytes the test decides.
type fakeBuild struct{ path string }

func (b fakeBuild) Build(context.Context, string, string) (string, error) { return b.path, nil }

// binary writes bytes for a fakeBuild.
func binary(t *testing.T, content string) fakeBuild {
	t.Helper()
	path := filepath.Join(t.TempDir(), "imagery")
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	return fakeBuild{path}
}

// fakeRoller stands in for AWS's answers to the preflight, and for the rollout: it keeps what it is told.
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

// variants are configurations that between them take every branch of the program.
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

// keysOf gives the engine's form of a configuration.
func keysOf(imagery map[string]string) map[string]string {
	out := map[string]string{"aws:region": region}
	for k, v := range imagery {
		out["imagery:"+k] = v
	}
	return out
}

var graphs sync.Map // variant -> *pulumitest.Graph; a run costs half a second and most tests only look

// graphOf runs a variant once. Whoever changes the graph clones it first.
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
