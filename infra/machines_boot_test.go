package main

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"imagery/app/testing/fakeaws"
	"imagery/infra/testing/traffic"
)

// slowCPU is the share of one core that a machine has until it is in service: the baseline of a burstable instance that
// starts without credits.
const slowCPU = 0.1

// lateRights delays the last right, counted from the first call.
const lateRights = 200 * time.Second

// dnf stands in for the package manager. It takes 2 seconds of CPU time, fails twice, and installs an agent that stands
// in for Amazon's: it follows the log and writes what it saw into /var/shipped.
const dnf = `#!/bin/bash
echo x >>/var/dnf-calls
bash -c 'ulimit -t 2; while :; do :; done' 2>/dev/null
(($(wc -l </var/dnf-calls) > 2)) || { echo "Error: Failed to download metadata for repo 'amazonlinux'" >&2; exit 1; }
mkdir -p /opt/aws/amazon-cloudwatch-agent/bin
cat >/opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl <<'END'
#!/bin/bash
grep -q /var/log/imagery/imagery.log /etc/imagery/cloudwatch-agent.json || exit 1
systemctl enable -q --now amazon-cloudwatch-agent
END
chmod +x /opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl
cat >/etc/systemd/system/amazon-cloudwatch-agent.service <<'END'
[Service]
ExecStart=/bin/bash -c 'exec tail -n +1 -F -s 0.2 /var/log/imagery/imagery.log >>/var/shipped'
[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
`

// rotationSize and logLimit take the place of 64M and 256M, which a test cannot wait for.
const (
	rotationSize = "400k"
	logLimit     = 3 << 20
)

// slowFiles are the machines' own. Amazon Linux names rotated logs by their date, Debian does not.
var slowFiles = map[string]string{
	"/usr/bin/dnf": dnf,
	"/etc/systemd/system/imagery-agent.timer.d/test.conf": "[Timer]\nOnActiveSec=\nOnActiveSec=1s\nOnUnitInactiveSec=5s\n",
	"/etc/systemd/system/logrotate.timer.d/test.conf":     "[Timer]\nOnCalendar=\nOnCalendar=*:*:0/10\n",
	"/etc/systemd/system/imagery.service.d/test.conf":     fmt.Sprintf("[Service]\nLimitFSIZE=%d\n", logLimit),
	"/etc/logrotate.conf":                                 "weekly\nrotate 4\ncreate\ndateext\ninclude /etc/logrotate.d\n",
}

// TestSlowBoot boots machines that have a tenth of a core, in an account whose rights arrive one by one, and floods the
// log of one of them.
func TestSlowBoot(t *testing.T) {
	late, retry := lateRights/10, 150*time.Second // the steps of a boot in between are as slow in both
	if *all {
		late, retry = lateRights, 300*time.Second
	}
	r := newRig(t, rigOptions{factor: 1, retry: retry, cpu: slowCPU, files: slowFiles})
	r.lateBoot(late)
	r.agentComes()
	r.rotates()
	r.logIsBounded()
}

// order is in which rights arrive, a quarter of the time each.
func order(c fakeaws.Call) time.Duration {
	switch {
	case c.Service == "s3" && c.Bucket == "releases":
		return 1
	case c.Service == "s3":
		return 2
	case c.Service == "dynamodb":
		return 3
	}
	return 4
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// lateBoot fills the groups with machines whose rights arrive late.
func (r *rig) lateBoot(late time.Duration) {
	r.Helper()
	var mu sync.Mutex
	var first, firstTest time.Time // call of a boot, and of a selftest
	refused := map[string]int{}
	r.cloud.Proxy.Inject(func(c fakeaws.Call) fakeaws.Fault {
		mu.Lock()
		defer mu.Unlock()
		if first.IsZero() {
			first = time.Now()
		}
		at := first.Add(order(c) * late / 4)
		if order(c) > 1 {
			if firstTest.IsZero() {
				firstTest = time.Now()
			}
			// However slow the boot is, its selftest still finds no right of its own.
			at = later(at, firstTest.Add((order(c)-1)*late/4))
		}
		if time.Now().Before(at) {
			refused[c.Service]++
			return fakeaws.Fault{Kind: fakeaws.Denied}
		}
		return r.rights.fault(c)
	})
	defer r.cloud.Proxy.Inject(r.rights.fault)
	from := time.Now()
	full := func() bool { return len(r.in(servers, "")) == 2 && len(r.in(workers, "")) == 2 }
	for end := from.Add(2*late + 2*eventTimeout); !full(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			r.until("two servers and two workers in service", full)
		}
	}
	r.logf("slow boot: two servers and two workers in service %.1f s after their groups were made, "+
		"%.1f s after the first call; rights arrived over %s, refused calls %v",
		time.Since(from).Seconds(), time.Since(first).Seconds(), late, refused)
	if time.Since(first) < late || refused["s3"] == 0 || refused["dynamodb"] == 0 || refused["sqs"] == 0 {
		r.Errorf("nothing waited for the rights of each service: %v", refused)
	}
	for _, g := range []string{servers, workers} {
		for _, a := range r.sim.Activities(g) {
			if a.StatusCode == "Cancelled" {
				r.Errorf("a launch in %s was abandoned: %s", g, *a.StatusMessage)
			}
		}
		for _, id := range ids(r.in(g, "")) {
			throttled, err := r.host.FullSpeed(id)
			if err != nil || throttled < time.Second {
				r.Errorf("%s was kept waiting for %s: %v", id, throttled, err)
			}
			_, said, _ := strings.Cut(r.host.Console(id), "imagery boot: in service")
			line, _, _ := strings.Cut(said, "\n")
			r.logf("slow boot: %s waited for its share of the CPU for %.0f s; in service %s",
				id, throttled.Seconds(), strings.TrimSpace(line))
		}
	}
}

// agentComes proves that the agent is installed in the background, after two failures, on every machine.
func (r *rig) agentComes() {
	r.Helper()
	for _, g := range []string{servers, workers} {
		for _, id := range ids(r.in(g, "")) {
			took := r.until("the agent runs on "+id, func() bool {
				_, err := r.host.Exec(id, "systemctl", "-q", "is-active", "amazon-cloudwatch-agent")
				return err == nil
			})
			calls, err := r.host.Exec(id, "wc", "-l", "/var/dnf-calls")
			if n, _, _ := strings.Cut(calls, " "); err != nil || n != "3" {
				r.Errorf("%s installed the agent %s times: %v", id, n, err)
			}
			if !strings.Contains(r.host.Console(id), "Failed to download metadata") {
				r.Errorf("the console of %s does not say why the agent is late", id)
			}
			r.until("the heartbeat of "+id+" is shipped", func() bool {
				_, err := r.host.Exec(id, "grep", "-q", `"heartbeat":1`, "/var/shipped")
				return err == nil
			})
			r.logf("agent: runs on %s at the third attempt, waited for it for %.1f s after the boots", id, took.Seconds())
		}
	}
	id := r.in(servers, "")[0].ID
	if _, err := r.host.Exec(id, "systemctl", "kill", "-s", "KILL", "amazon-cloudwatch-agent"); err != nil {
		r.Error(err)
	}
	r.until("the agent runs again", func() bool {
		_, err := r.host.Exec(id, "systemctl", "-q", "is-active", "amazon-cloudwatch-agent")
		return err == nil
	})
}

// number runs a command in a machine that prints one.
func (r *rig) number(id, command string) int {
	r.Helper()
	out, err := r.host.Exec(id, "bash", "-c", command)
	n, aErr := strconv.Atoi(strings.TrimSpace(out))
	if err != nil || aErr != nil {
		r.Fatalf("%s: %v: %s", command, err, out)
	}
	return n
}

// perMinute is the flood.
const perMinute = 10_000

// rotates floods a server for as long as it takes its log to rotate three times.
func (r *rig) rotates() {
	r.Helper()
	id := r.in(servers, "")[0].ID
	const file = "/etc/logrotate.d/imagery"
	shrink := fmt.Sprintf("sed -i 's/size 64M/size %[1]s/' %[2]s && grep -q 'size %[1]s' %[2]s", rotationSize, file)
	if out, err := r.host.Exec(id, "bash", "-c", shrink); err != nil {
		r.Fatal(err, out)
	}
	owner, err := r.host.Exec(id, "stat", "-c", "%U:%G %a", "/var/log/imagery/imagery.log")
	if err != nil || owner != "imagery:imagery 640" {
		r.Errorf("the log belongs to %s, %v", owner, err)
	}
	from := time.Now()
	flood := traffic.StartFlood(r.host.Address(id)+":8080", perMinute)
	inode := func() int {
		out, err := r.host.Exec(id, "stat", "-c", "%i", "/var/log/imagery/imagery.log.1")
		n, _ := strconv.Atoi(out)
		if err != nil {
			return 0 // none yet
		}
		return n
	}
	last, rotations, most := inode(), 0, 0
	r.until("the log rotated three times", func() bool {
		if now := inode(); now != last {
			last, rotations = now, rotations+1
			r.logf("flood: rotated after %.1f s", time.Since(from).Seconds())
		}
		most = max(most, r.number(id, "du -sk /var/log/imagery | cut -f1"))
		return rotations >= 3
	})
	answered, failed := flood.Stop()
	took := time.Since(from)
	if failed > 0 {
		r.Errorf("flood: %d of %d requests failed", failed, failed+answered)
	}
	if rate := float64(answered) / took.Minutes(); rate < perMinute*0.95 {
		r.Errorf("flood: %.0f requests a minute, want %d", rate, perMinute)
	}
	result, err := r.host.Exec(id, "systemctl", "show", "-P", "Result", "logrotate.service")
	if err != nil || result != "success" {
		r.Errorf("logrotate ended with %s, %v", result, err)
	}
	files, _ := r.host.Exec(id, "ls", "-ln", "/var/log/imagery")
	time.Sleep(time.Second) // the agent follows
	shipped := r.number(id, `grep -c '"route":"/image/:id","status":404' /var/shipped`)
	r.logf("flood: %d requests in %.1f s (%.0f a minute), %d failed; %d rotations; at most %d KiB of logs; "+
		"the agent saw %d of %d lines", answered, took.Seconds(), float64(answered)/took.Minutes(), failed,
		rotations, most, shipped, answered)
	if lost := answered - shipped; lost > answered/50 || lost < 0 {
		r.Errorf("flood: %d of %d lines were lost", lost, answered)
	}
	r.logf("flood: the files\n%s", files)
}

// logIsBounded stops the rotation and floods until the log has reached its limit; the service goes on, and the next
// rotation makes it write again.
func (r *rig) logIsBounded() {
	r.Helper()
	id := r.in(servers, "")[0].ID
	if out, err := r.host.Exec(id, "systemctl", "stop", "logrotate.timer"); err != nil {
		r.Fatal(err, out)
	}
	pid, _ := r.host.Exec(id, "systemctl", "show", "-P", "MainPID", "imagery")
	flood := traffic.StartFlood(r.host.Address(id)+":8080", 3*perMinute)
	size := func() int { return r.number(id, "stat -c %s /var/log/imagery/imagery.log") }
	r.until("the log is full", func() bool { return size() >= logLimit })
	time.Sleep(5 * time.Second)
	if now := size(); now != logLimit {
		r.Errorf("the log has %d bytes, its limit is %d", now, logLimit)
	}
	if out, err := r.host.Exec(id, "systemctl", "start", "logrotate.service"); err != nil {
		r.Errorf("rotate a full log: %v: %s", err, out)
	}
	r.until("lines are written again, and one says how many are missing", func() bool {
		_, err := r.host.Exec(id, "grep", "-q", "lines were dropped", "/var/log/imagery/imagery.log")
		return err == nil
	})
	answered, failed := flood.Stop()
	if now, _ := r.host.Exec(id, "systemctl", "show", "-P", "MainPID", "imagery"); now != pid || failed > 0 {
		r.Errorf("the service was %s and is %s; %d of %d requests failed", pid, now, failed, failed+answered)
	}
	note, _ := r.host.Exec(id, "grep", "-h", "lines were dropped", "/var/log/imagery/imagery.log")
	r.logf("full log: it stayed at %d bytes, %d requests were answered and none failed; after the rotation: %s",
		logLimit, answered, note)
}
