package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

// workersOf is a group without a load balancer that wants a number of instances, each given as "id state health".
func workersOf(desired int32, instances ...string) types.AutoScalingGroup {
	g := types.AutoScalingGroup{DesiredCapacity: &desired}
	for _, text := range instances {
		f := strings.Fields(text)
		g.Instances = append(g.Instances, types.Instance{InstanceId: &f[0], LifecycleState: types.LifecycleState(f[1]),
			HealthStatus: &f[2]})
	}
	return g
}

func TestFullGroup(t *testing.T) {
	const a, b, c = "i-a InService Healthy", "i-b InService Healthy", "i-c InService Healthy"
	for _, x := range []struct {
		name string
		of   types.AutoScalingGroup
		lost []string
		want string
	}{
		{"full", workersOf(2, a, b), nil, ""},
		{"one is missing", workersOf(2, a), nil, "1 instances in service, want 2"},
		{"the lost one still counts", workersOf(2, a, b), []string{"i-a"}, "i-a still counts as in service"},
		{"replaced, and the lost one not forgotten", workersOf(2, "i-a Terminating:Wait Unhealthy", b, c), []string{"i-a"},
			""},
		{"an unhealthy one does not count", workersOf(2, "i-a InService Unhealthy", b), nil,
			"1 instances in service, want 2"},
		{"one more than wanted", workersOf(2, a, b, c), nil, "3 instances in service, want 2"},
		{"one is starting", workersOf(2, a, "i-b Pending:Wait Healthy"), nil, "1 instances in service, want 2"},
	} {
		if got, err := (&test{}).full(t.Context(), x.of, x.lost...); got != x.want || err != nil {
			t.Errorf("%s: %q, %v, want %q", x.name, got, err, x.want)
		}
	}
}

// TestSetting: a key of --config wins over the side's, and both over the user's file.
func TestSetting(t *testing.T) {
	aws, err := sideOf(func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	fakePulumi(t, `case "$3" in
  aws:region) echo "warning: a newer version of Pulumi" >&2; echo eu-west-1 ;;
  imagery:arch) echo "error: configuration key 'imagery:arch' not found for stack 'dev'" >&2; exit 255 ;;
  *) echo 'error: no login' >&2; exit 255 ;;
esac
`)
	of := newRun(t)
	of.side, of.opts.config = aws, []string{"imagery:protectData=true"}
	for key, want := range map[string]string{ssmKey: "true", "imagery:protectData": "true", "aws:region": "eu-west-1",
		"imagery:arch": ""} {
		if got, err := of.setting(t.Context(), key); got != want || err != nil {
			t.Errorf("%s is %q, want %q: %v", key, got, want, err)
		}
	}
	if _, err := of.setting(t.Context(), "imagery:alarmEmail"); err == nil || !strings.Contains(err.Error(), "no login") {
		t.Error(err)
	}
}

// TestKillScript runs the script against a service manager that starts another process once the first one is dead.
func TestKillScript(t *testing.T) {
	service := exec.Command("sleep", "600")
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	died := make(chan error, 1)
	go func() { died <- service.Wait() }()
	pid, dir := strconv.Itoa(service.Process.Pid), t.TempDir()
	for name, text := range map[string]string{
		"systemctl": "[ \"$*\" = 'show -P MainPID imagery' ] || exit 1\nif [ -d /proc/" + pid + " ]; then echo " + pid +
			"; else echo 4711; fi",
		"curl": "[ -e " + dir + "/asked ] || { touch " + dir + "/asked; exit 22; }", // not ready at first
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/bin/sh", "-c", killScript)
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil || !restarted.Match(out) {
		t.Errorf("%v: %s", err, out)
	}
	if err := <-died; err == nil || err.Error() != "signal: killed" {
		t.Errorf("the process ended with %v", err)
	}
	if _, err := os.Stat(dir + "/asked"); err != nil {
		t.Errorf("the script did not ask whether the service is ready: %v", err)
	}
}
