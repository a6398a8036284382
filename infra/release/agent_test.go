package release

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"imagery/app/deploy/settings"
)

// execs matches the commands of a unit, in the order in which systemd runs them.
var execs = regexp.MustCompile(`(?m)^(ExecCondition|ExecStart)=(.+)$`)

// startAgentUnit runs the commands of the agent's unit once, as its timer does every two minutes.
func (m machine) startAgentUnit(t *testing.T) error {
	t.Helper()
	unit := m.read("etc/systemd/system/imagery-agent.service")
	for _, command := range execs.FindAllStringSubmatch(strings.ReplaceAll(unit, "\\\n", ""), -1) {
		line := strings.ReplaceAll(command[2], "/usr/bin/dnf", filepath.Join(m.root, "bin", "dnf"))
		line = strings.ReplaceAll(line, " systemctl", " "+filepath.Join(m.root, "bin", "systemctl"))
		if err := m.run(t, line); err != nil {
			if command[1] == "ExecCondition" {
				return nil // skipped
			}
			return err
		}
	}
	return nil
}

// The boot does not wait for the agent. The timer retries the installation until it succeeds, and does nothing then.
func TestAgentInstallationIsRetried(t *testing.T) {
	m := newMachine(t, `dnf() { (( $(nth dnf) > 2 )); }
		systemctl() { [[ $* != "-q is-active amazon-cloudwatch-agent" || -e $MACHINE/agent-runs ]]; }`)
	if err := m.boot(t, example(settings.Worker)); err != nil {
		t.Fatal(err)
	}
	calls := m.read("calls")
	start := strings.Index(calls, "systemctl enable --now imagery-agent.timer\n")
	if strings.Contains(calls, "dnf") || start < 0 || start > strings.Index(calls, "systemctl start imagery-selftest") {
		t.Errorf("the boot installs the agent, or does not start its timer:\n%s", calls)
	}
	ctl := "opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl"
	if err := os.MkdirAll(filepath.Join(m.root, filepath.Dir(ctl)), 0o755); err != nil {
		t.Fatal(err)
	}
	m.write(t, ctl, `#!/bin/bash
		echo "ctl $*" >>"$MACHINE/calls"
		[[ -e $MACHINE/ctl-works ]] && touch "$MACHINE/agent-runs"`)
	if err := os.Chmod(filepath.Join(m.root, ctl), 0o755); err != nil {
		t.Fatal(err)
	}
	m.write(t, "calls", "")
	for n, works := range []bool{false, false, false, true, true, true} {
		if n == 3 {
			m.write(t, "ctl-works", "")
		}
		if err := m.startAgentUnit(t); (err == nil) != works {
			t.Errorf("start %d: %v", n+1, err)
		}
	}
	calls = m.read("calls")
	if n := strings.Count(calls, "dnf -y -q install amazon-cloudwatch-agent\n"); n != 4 {
		t.Errorf("%d installations, want two that fail and two that succeed:\n%s", n, calls)
	}
	if n := strings.Count(calls, "ctl -a fetch-config -m ec2 -s -c file:"); n != 2 {
		t.Errorf("the agent was started %d times, want one failure and one success:\n%s", n, calls)
	}
	timer := m.read("etc/systemd/system/imagery-agent.timer")
	for _, line := range []string{"OnActiveSec=1s", "OnUnitInactiveSec=2min", "WantedBy=timers.target"} {
		if !strings.Contains(timer, line+"\n") {
			t.Errorf("the timer lacks %s:\n%s", line, timer)
		}
	}
}

// logrotate runs as user imagery and could not truncate a log that systemd created as root.
func TestLogIsCreatedForTheServiceUser(t *testing.T) {
	m := newMachine(t, `install() { echo "install $*" >>"$MACHINE/calls"; real_install "$@"; }`)
	if err := os.Remove(filepath.Join(m.root, "var/log/imagery/imagery.log")); err != nil {
		t.Fatal(err)
	}
	if err := m.boot(t, example(settings.Worker)); err != nil {
		t.Fatal(err)
	}
	calls, log := m.read("calls"), filepath.Join(m.root, "var/log/imagery/imagery.log")
	made := strings.Index(calls, "install -m 0640 -o imagery -g imagery /dev/null "+log)
	if start := strings.Index(calls, "systemctl start imagery-selftest"); made < 0 || start < made {
		t.Errorf("the log is created at %d, the first unit starts at %d:\n%s", made, start, calls)
	}
	if info, err := os.Stat(log); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the log: %v, %v", info, err)
	}
	rotation, timer := m.read("etc/logrotate.d/imagery"), m.read("etc/systemd/system/logrotate.timer.d/imagery.conf")
	for _, line := range []string{"su imagery imagery", "size 64M", "rotate 2", "nodateext", "copytruncate"} {
		if !strings.Contains(rotation, "\n    "+line+"\n") {
			t.Errorf("the rotation lacks %q:\n%s", line, rotation)
		}
	}
	for _, line := range []string{"OnCalendar=", "OnCalendar=*:0/15", "AccuracySec=1s", "RandomizedDelaySec=0"} {
		if !strings.Contains(timer, "\n"+line+"\n") {
			t.Errorf("the timer of the rotation lacks %q:\n%s", line, timer)
		}
	}
}
