package rollout_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	scaling "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"imagery/app/deploy/rollout"
	"imagery/app/deploy/settings"
	"imagery/infra/testing/asgsim"
)

const (
	worker = settings.Worker
	server = settings.Server
)

var errSmoke = errors.New("the photo is green")

// release returns the hash of the binary that version n of both launch templates starts.
func release(n int) string { return strings.Repeat(fmt.Sprintf("%02x", n), 32) }

func target(n int) rollout.Target {
	v := fmt.Sprint(n)
	return rollout.Target{Release: release(n), Versions: map[settings.Role]string{worker: v, server: v}}
}

// templates returns launch template versions 1, 2, ... that start the given releases.
func templates(releases ...int) (out []asgsim.TemplateVersion) {
	for i, n := range releases {
		out = append(out, asgsim.TemplateVersion{Number: i + 1, Image: "ami-1",
			UserData: fmt.Sprintf("#!/bin/bash\nBUCKET=releases\nKEY=releases/%[1]s/imagery\nSHA=%[1]s\n", release(n))})
	}
	return out
}

// testEnv simulates the AWS account of a stack in virtual time. It implements rollout.Clients, see aws_test.go.
type testEnv struct {
	t     *testing.T
	sim   *asgsim.Simulator
	mem   *asgsim.Memory
	guard *asgsim.Guard

	mu        sync.Mutex
	scripts   map[string]func(n int) asgsim.Script // by key; n counts the launches of the version. nil: healthy
	launched  map[string]int                       // launches, by key
	missing   map[string]bool                      // objects that do not exist
	item      map[string]types.AttributeValue      // the release record in the table
	lines     []string                             // log of all rollouts
	calls     int                                  // calls to AWS
	noRefresh bool                                 // the guard need not have watched a refresh
	hook      func(call string, n int) (before, after error)
}

// key identifies a version of a role in testEnv.scripts and testEnv.launched.
func key(role settings.Role, version int) string { return fmt.Sprintf("%s/%d", role, version) }

func healthy() asgsim.Script {
	return asgsim.Script{Boot: 40 * time.Second, Answer: asgsim.Continue, Checks: 20 * time.Second,
		Drain: 10 * time.Second}
}

// unhealthy returns the script of an instance that boots and then fails every health check of the load balancer.
func unhealthy() asgsim.Script {
	s := healthy()
	s.Unhealthy = true
	return s
}

// failedBoot returns the script of a boot that fails, with the output of the boot script.
func failedBoot() asgsim.Script {
	return asgsim.Script{Boot: 30 * time.Second, Answer: asgsim.Abandon,
		Console: "\x1b[0mWelcome to Amazon Linux\r\nimagery boot: run the selftest\npanic: no such table\n" +
			"IMAGERY BOOT FAILED: run the selftest (line 99)\n[ OK ] Reached target Power-Off.\n"}
}

func always(s asgsim.Script) func(int) asgsim.Script { return func(int) asgsim.Script { return s } }

// simulate runs a test in a synctest bubble with two groups, each with two of at most four instances, which serve
// version 1. The guard fails the test if a rollout takes a healthy instance out of service too early.
func simulate(t *testing.T, test func(*testEnv)) {
	t.Helper()
	simulateEmpty(t, func(env *testEnv) {
		env.createGroups()
		env.waitServing()
		env.guard.Arm()
		test(env)
		if !env.noRefresh && env.guard.Checks() == 0 {
			t.Error("the guard watched nothing")
		}
	})
}

// simulateEmpty runs a test in a synctest bubble without groups.
func simulateEmpty(t *testing.T, test func(*testEnv)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		env := &testEnv{t: t, scripts: map[string]func(int) asgsim.Script{}, launched: map[string]int{},
			missing: map[string]bool{}}
		var violations []string
		env.guard = &asgsim.Guard{Report: func(s string) {
			env.mu.Lock()
			defer env.mu.Unlock()
			violations = append(violations, s)
		}}
		env.mem = &asgsim.Memory{Script: env.script}
		env.sim = asgsim.New(asgsim.Options{Driver: env.mem, Observe: env.guard.Observe})
		env.mem.Simulator = env.sim
		defer env.sim.Close()
		versions := templates(1, 2, 3, 4, 5)
		env.sim.SetTemplate("lt-worker", versions...)
		env.sim.SetTemplate("lt-server", versions...)
		env.sim.SetAlarms("OK", "server-errors", "worker-failures")
		test(env)
		env.mu.Lock()
		defer env.mu.Unlock()
		for _, v := range violations {
			t.Error(v)
		}
		if t.Failed() {
			t.Log(strings.Join(env.lines, "\n"))
		}
	})
}

// expectNoRefresh allows a test in which the guard watches no refresh.
func (env *testEnv) expectNoRefresh() { env.noRefresh = true }

// script counts a launch and returns its script.
func (env *testEnv) script(m asgsim.Machine) asgsim.Script {
	env.mu.Lock()
	defer env.mu.Unlock()
	k := m.Group + "/" + m.Version
	env.launched[k]++
	if s := env.scripts[k]; s != nil {
		return s(env.launched[k])
	}
	return healthy()
}

// createGroups creates the groups with version 1, as package infra does.
func (env *testEnv) createGroups() {
	g := asgsim.Group{Name: "worker", Template: "lt-worker", Min: 2, Max: 4, Version: "1", Zones: []string{"a", "b"},
		Warmup: 90 * time.Second, DrainDelay: 90 * time.Second, MinHealthy: 100, MaxHealthy: 150, Hooks: []asgsim.Hook{
			{Name: "launch", Transition: asgsim.Launching, DefaultResult: asgsim.Abandon, Timeout: 900 * time.Second},
			{Name: "terminate", Transition: asgsim.Terminating, DefaultResult: asgsim.Continue, Timeout: 150 * time.Second},
		}}
	env.sim.Create(g)
	g.Name, g.Template, g.ELB, g.Grace = "server", "lt-server", true, 90*time.Second
	g.TargetGroup = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:targetgroup/x/1"
	env.sim.Create(g)
}

func (env *testEnv) group(role settings.Role) (asgsim.Group, []asgsim.Instance) {
	env.t.Helper()
	g, instances, err := env.sim.Snapshot(string(role))
	if err != nil {
		env.t.Fatal(err)
	}
	return g, instances
}

// serving counts the instances of a version that pass their health checks.
func (env *testEnv) serving(role settings.Role, version int) int {
	_, instances := env.group(role)
	n := 0
	for _, i := range instances {
		if i.Version == fmt.Sprint(version) && i.Passes {
			n++
		}
	}
	return n
}

// waitFor waits in virtual time, and fails the test after two hours.
func (env *testEnv) waitFor(condition string, ok func() bool) {
	env.t.Helper()
	for begun := time.Now(); !ok(); time.Sleep(time.Second) {
		if time.Since(begun) > 2*time.Hour {
			env.t.Fatalf("not within two hours: %s", condition)
		}
	}
}

// waitServing waits until all instances of version 1 serve.
func (env *testEnv) waitServing() {
	env.t.Helper()
	env.waitFor("version 1 serves", func() bool { return env.serving(worker, 1) == 2 && env.serving(server, 1) == 2 })
}

// wantVersion fails the test unless both groups have the version and no instance of another one.
func (env *testEnv) wantVersion(version int) {
	env.t.Helper()
	for _, role := range rollout.Order {
		g, instances := env.group(role)
		others := slices.DeleteFunc(instances, func(i asgsim.Instance) bool {
			return i.Version == fmt.Sprint(version) || strings.HasPrefix(string(i.State), "Terminat")
		})
		if g.Version != fmt.Sprint(version) || len(others) > 0 {
			env.t.Errorf("%s: version %s, want %d; other instances: %+v", role, g.Version, version, others)
		}
	}
}

// wantRunning is wantVersion, and the minimum of instances must serve in both groups.
func (env *testEnv) wantRunning(version int) {
	env.t.Helper()
	env.wantVersion(version)
	for _, role := range rollout.Order {
		if g, _ := env.group(role); env.serving(role, version) < g.Min {
			env.t.Errorf("%s: %d instances of version %d serve, want %d", role, env.serving(role, version), version, g.Min)
		}
	}
}

// startRefresh starts an instance refresh without a controller, as an operator does in the console.
func (env *testEnv) startRefresh(role settings.Role, version string, autoRollback bool) {
	env.t.Helper()
	if err := env.tryRefresh(role, version, autoRollback); err != nil {
		env.t.Fatal(err)
	}
}

func (env *testEnv) tryRefresh(role settings.Role, version string, autoRollback bool) error {
	_, err := env.sim.StartInstanceRefresh(&autoscaling.StartInstanceRefreshInput{
		AutoScalingGroupName: aws.String(string(role)),
		DesiredConfiguration: &scaling.DesiredConfiguration{LaunchTemplate: &scaling.LaunchTemplateSpecification{
			LaunchTemplateId: aws.String("lt-" + string(role)), Version: &version}},
		Preferences: &scaling.RefreshPreferences{MinHealthyPercentage: aws.Int32(100), MaxHealthyPercentage: aws.Int32(150),
			SkipMatching: aws.Bool(true), AutoRollback: &autoRollback, StandbyInstances: scaling.StandbyInstancesIgnore,
			ScaleInProtectedInstances: scaling.ScaleInProtectedInstancesRefresh}})
	return err
}

// terminateAll terminates every instance of a group, as happens when a zone fails or Spot capacity is reclaimed. The
// guard is off from then on, since it would take these for instances that the rollout terminates.
func (env *testEnv) terminateAll(role settings.Role) {
	env.t.Helper()
	env.guard.Disarm()
	env.expectNoRefresh()
	_, instances := env.group(role)
	for _, i := range instances {
		if err := env.sim.Terminate(i.ID); err != nil {
			env.t.Fatal(err)
		}
	}
}
