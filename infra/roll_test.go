package main

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"imagery/app/deploy/rollout"
	"imagery/app/deploy/settings"
	"imagery/infra/testing/pulumitest"
)

// rolled runs an update with a roller and a configuration.
func rolled(t *testing.T, r *fakeRoller, config map[string]string) error {
	t.Helper()
	_, err := pulumitest.Run(program(binary(t, "a release"), r), "test", t.TempDir(), keysOf(config))
	return err
}

func TestRollerIsToldEverything(t *testing.T) {
	r := &fakeRoller{}
	if err := rolled(t, r, map[string]string{"bakeSeconds": "240"}); err != nil {
		t.Fatal(err)
	}
	if len(r.plans) != 1 {
		t.Fatalf("asked %d times", len(r.plans))
	}
	p := r.plans[0]
	release := strings.Split(graphOf(t, "dev").Of("BucketObjectv2")[0].Text("key"), "/")[1]
	if p.Target.Release != release ||
		!maps.Equal(p.Target.Versions, map[settings.Role]string{settings.Worker: "7", settings.Server: "7"}) {
		t.Errorf("%+v", p.Target)
	}
	worker, server := p.Groups[settings.Worker], p.Groups[settings.Server]
	if worker.Name != "imagery-test-worker" || server.Name != "imagery-test-server" ||
		worker.Logs != "/imagery/test/worker" {
		t.Errorf("%+v, %+v", worker, server)
	}
	if !slices.Equal(worker.Alarms, []string{"MetricAlarm.imagery-test-worker-failures.name"}) ||
		!slices.Equal(server.Alarms,
			[]string{"MetricAlarm.imagery-test-server-errors.name", "MetricAlarm.imagery-test-server-latency.name"}) {
		t.Errorf("guards %v, %v", worker.Alarms, server.Alarms)
	}
	if p.Table != "Table.imagery-test-images.name" || p.URL != "http://LoadBalancer.imagery-test-lb.dnsName" ||
		p.AWS.Region != region || p.AWS.account != "111122223333" ||
		p.Bake != 240*time.Second || p.Force || p.Start || !strings.Contains(p.By, "@") ||
		p.Why != "pulumi up of stack test" {
		t.Errorf("%+v", p)
	}
	p.Log("does not need an engine")
}

func TestRolloutKeys(t *testing.T) {
	r := &fakeRoller{}
	if err := rolled(t, r, map[string]string{"rollout": "start", "rolloutForce": "true", "smoke": "off"}); err != nil {
		t.Fatal(err)
	}
	if p := r.plans[0]; !p.Start || !p.Force || p.URL != "" {
		t.Errorf("%+v", p)
	}
	r = &fakeRoller{}
	if err := rolled(t, r, map[string]string{"rollout": "off"}); err != nil || len(r.plans) > 0 {
		t.Errorf("off: %v, asked %d times", err, len(r.plans))
	}
}

// An error of a rollout fails the update, through outputs only: no resource depends on it and is left half made.
func TestRolloutFailsTheUpdate(t *testing.T) {
	bad := errors.New("the release was taken back")
	g, err := pulumitest.Run(program(binary(t, "a release"), &fakeRoller{err: bad}), "test", t.TempDir(), keysOf(nil))
	if err == nil || !strings.Contains(err.Error(), bad.Error()) {
		t.Errorf("the update says %v", err)
	}
	if len(g.Resources) != len(graphOf(t, "dev").Resources) {
		t.Errorf("%d of %d resources", len(g.Resources), len(graphOf(t, "dev").Resources))
	}
}

// A run without AWS says so, instead of hanging.
func TestOnAWSNeedsCredentials(t *testing.T) {
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	_, err := onAWS{}.Roll(t.Context(), Plan{AWS: AWSSettings{Region: region, Profile: "nobody"},
		Options: rollout.Options{Table: "images"}})
	if err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Error(err)
	}
}
