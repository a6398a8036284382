package release

import (
	"strings"
	"testing"

	"imagery/app/deploy/settings"
	"imagery/infra/testing/pulumitest"
)

// A worker is stopped before its instance is terminated. A server is not: the load balancer drains it.
func TestDrain(t *testing.T) {
	pulumitest.Need(t, "bash")
	const terminated = `state() { (( $(nth state) > 3 )) && echo Terminated || echo InService; }; `
	const last = `sleep() { [[ $1 != infinity ]] || exit 0; command sleep 0.01; }; `
	for name, c := range map[string]struct {
		role    settings.Role
		answers string
		stops   bool
	}{
		"worker is terminated": {settings.Worker, terminated + last, true},
		"server is terminated": {settings.Server, terminated + last, false},
		"spot notice": {settings.Worker,
			`spot() { (( $(nth spot) > 3 )) && echo '{"action":"terminate"}'; }; ` + last, true},
		"metadata comes late": {settings.Worker,
			`state() { (( $(nth state) > 3 )) && echo Terminated || return 7; }; ` + last, true},
		"id comes late": {settings.Worker, terminated + last +
			`instance_id() {
				[[ -e $MACHINE/opt/imagery/drain ]] && (( $(nth instance_id) < 4 )) && return 28
				echo i-0123456789abcdef0
			}`, true},
		"the hook is not there yet": {settings.Worker, terminated + last +
			`complete() { (( $(nth hook) > 4 )) || return 254; }`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, c.answers)
			if err := m.boot(t, example(c.role)); err != nil {
				t.Fatal(err)
			}
			m.write(t, "calls", "")
			if err := m.run(t, strings.ReplaceAll(m.read("opt/imagery/drain"), m.root, "")); err != nil {
				t.Fatal(err)
			}
			calls := m.read("calls")
			stop := strings.Index(calls, "systemctl stop imagery\n")
			complete := strings.Index(calls, "aws autoscaling complete-lifecycle-action --auto-scaling-group-name "+
				"imagery-prod-"+string(c.role)+" --lifecycle-hook-name terminate "+
				"--instance-id i-0123456789abcdef0 --lifecycle-action-result CONTINUE")
			if (stop >= 0) != c.stops || complete < stop || complete < 0 {
				t.Errorf("stop at %d, complete at %d:\n%s", stop, complete, calls)
			}
		})
	}
}

func TestDrainWaitsForTermination(t *testing.T) {
	m := newMachine(t, `sleep() { (( $(nth sleep) > 20 )) && kill -TERM $PPID; command sleep 0.01; }`)
	text, err := script(drain, "ROLE=worker", "REGION=r", "GROUP=g", "TERMINATE_HOOK=t")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.run(t, text); err == nil {
		t.Error("the script ended")
	}
	if calls := m.read("calls"); strings.Contains(calls, "systemctl") || strings.Contains(calls, "complete") {
		t.Errorf("an instance in service was stopped:\n%s", calls)
	}
}
