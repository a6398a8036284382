package release

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"imagery/app/deploy/settings"
	"imagery/infra/compute"
	"imagery/infra/testing/pulumitest"
)

var update = flag.Bool("update", false, "write the golden files")

const content = "#!/bin/sh\necho a release\n"

func sha(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func example(role settings.Role) Boot {
	return Boot{
		Settings: settings.Settings{Role: role, Listen: "8080", Table: "t", Bucket: "b", QueueURL: "https://q/1", Stack: "prod", Consume: true},
		GCLimit:  1 << 30, Region: "eu-central-1", Group: "imagery-prod-" + string(role), Hook: "launch", TerminateHook: "terminate",
		Bucket: "releases", Key: "releases/" + sha(content) + "/imagery", SHA: sha(content), LogGroup: "/imagery/prod/" + string(role), SSM: true, Retry: time.Minute,
	}
}

// world is a folder that takes the place of the machine.
type world struct {
	root string
	env  []string
}

// newWorld fills a folder with stand-ins for the programs. A case is shell that gives some of them other answers.
func newWorld(t *testing.T, answers string) world {
	t.Helper()
	pulumitest.Need(t, "bash")
	root := t.TempDir()
	for _, d := range []string{"bin", "dev", "var/log/imagery", "etc/systemd/system", "etc/logrotate.d", "opt"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	stub, err := os.ReadFile("testdata/stub.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"aws", "curl", "systemctl", "journalctl", "dnf", "useradd", "id", "install", "sleep"} {
		if err := os.WriteFile(filepath.Join(root, "bin", name), stub, 0o755); err != nil { // not linked: git's modes decide nothing
			t.Fatal(err)
		}
	}
	w := world{root, []string{"PATH=" + filepath.Join(root, "bin") + ":" + os.Getenv("PATH"), "WORLD=" + root, "CASE=" + answers}}
	w.write(t, "release", content)
	w.write(t, "var/log/imagery/imagery.log", "the log of the service\n")
	return w
}

func (w world) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.root, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// read is a file's text; "" if it does not exist.
func (w world) read(name string) string {
	b, _ := os.ReadFile(filepath.Join(w.root, name))
	return string(b)
}

// console is what the script wrote. What copies it there may end after the script, so it is waited for.
func (w world) console(says string) string {
	var text string
	for range 100 {
		if text = w.read("var/log/imagery-boot.log"); says == "" || strings.Contains(text, "IMAGERY BOOT FAILED: ") && strings.Contains(text, says) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return text
}

var absolute = regexp.MustCompile(`(^|[\s"'>=(])/(opt|etc|var|dev)/`)

// run runs a script with every path of the machine moved into the world.
func (w world) run(t *testing.T, script string) error {
	t.Helper()
	script = absolute.ReplaceAllString(script, "${1}"+w.root+"/${2}/")
	script = strings.ReplaceAll(script, w.root+"/dev/null", "/dev/null")
	c := exec.CommandContext(t.Context(), "bash", "-c", script)
	c.Env = w.env
	return c.Run()
}

// A boot ends in service, or with the reason and the logs on the console, the hook abandoned and the machine off.
func TestBoot(t *testing.T) {
	const entered, abandoned = "--lifecycle-action-result CONTINUE", "--lifecycle-action-result ABANDON"
	refuse := func(what string) string {
		return `download() { (( $(nth get) > 2 )) && { file "$@"; return; }; echo "` + what + `" >&2; return 254; }`
	}
	code := func(c string) string {
		return refuse("An error occurred (" + c + ") when calling the GetObject operation")
	}
	const refusedForEver = `download() {
		command sleep 0.3; printf "first line\n(AccessDenied)\n" >&2; return 254; }`
	for name, c := range map[string]struct {
		answers string
		reason  string // on the console; empty: the boot must end in service
		gets    int    // downloads; 0: 1
	}{
		"good": {},
		"refused twice": {
			answers: refuse("An error occurred (AccessDenied) when calling the GetObject operation: Access Denied"), gets: 3},
		"missing twice":   {answers: refuse("An error occurred (404) when calling the GetObject operation"), gets: 3},
		"no way twice":    {answers: refuse("Connect timeout on endpoint URL"), gets: 3},
		"hangs twice":     {answers: `download() { (( $(nth get) > 2 )) && { file "$@"; return; }; return 124; }`, gets: 3},
		"server error":    {answers: code("InternalError"), gets: 3},
		"too many":        {answers: code("SlowDown"), gets: 3},
		"unavailable":     {answers: code("503"), gets: 3},
		"old credentials": {answers: code("ExpiredToken"), gets: 3},
		"bad credentials": {answers: code("InvalidToken"), gets: 3},
		"clock is off":    {answers: code("RequestTimeTooSkewed"), gets: 3},
		"connection ends": {answers: refuse("Connection was closed before we received a valid response"), gets: 3},
		"slow answer":     {answers: refuse("Read timeout on endpoint URL"), gets: 3},
		"no credentials":  {answers: strings.Replace(refuse("Unable to locate credentials"), "254", "253", 1), gets: 3},
		"never heard of":  {answers: refuse("something new"), gets: 3},
		"refused for ever": {answers: refusedForEver, gets: -1,
			reason: "no success within 1 s; at last: first line (AccessDenied) (exit code 254)"},
		"full disk": {answers: `download() {
			echo "[Errno 28] No space left on device: /opt/403AccessDenied404" >&2; return 255; }`,
			reason: "waiting does not change"},
		"read-only disk": {answers: `download() { echo "[Errno 30] Read-only file system: /opt/x" >&2; return 255; }`,
			reason: "waiting does not change"},
		"wrong usage": {answers: `download() { echo "aws: error: Unknown options: --frob" >&2; return 252; }`,
			reason: "waiting does not change"},
		"no CLI": {answers: `download() { echo "aws: command not found" >&2; return 127; }`,
			reason: "waiting does not change"},
		"wrong bytes": {answers: `download() { file "$@"; echo more >>"${!#}"; }`,
			reason: "check that the file is release " + sha(content)},
		"unit fails":     {answers: `systemctl() { [[ $* != "enable --now imagery"* ]]; }`, reason: "start the service"},
		"selftest fails": {answers: `systemctl() { [[ $* != "start imagery-selftest" ]]; }`, reason: "do the job once"},
		"not ready":      {answers: `ready() { return 22; }`, reason: "wait until it can do its job"},
		"wrong version":  {answers: `version() { echo 0000; }`, reason: "ask the service for its release"},
		"hook race": {
			answers: `complete() { (( $(nth hook) > 4 )) || { echo "No active Lifecycle Action found" >&2; return 254; }; }`},
		"no hook at all": {answers: `complete() { return 254; }`, reason: "enter service"},
		"no timers":      {answers: `systemctl() { [[ $* != *.timer ]]; }`},
		"no token": {answers: `curl() { [[ ${!#} == */instance-id ]] && echo i-0123456789abcdef0; }`,
			reason: "ask for the name of this instance"},
		"no metadata": {answers: `curl() { return 7; }`, reason: "ask for the name of this instance"},
		"killed": {answers: `systemctl() { [[ $* != *agent.timer ]] || { kill -TERM $PPID; command sleep 1; }; }`,
			reason: "rotate and ship logs"},
		"disk full": {answers: `useradd() { return 1; }`, reason: "install"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.answers)
			boot := example(settings.Worker)
			if name == "refused for ever" {
				boot.Retry = time.Second
			}
			script, err := UserData(boot)
			if err != nil {
				t.Fatal(err)
			}
			err = w.run(t, script)
			calls, console := w.read("calls"), w.console(c.reason)
			nameless := strings.HasPrefix(c.reason, "ask for the name")
			if (err == nil) != (c.reason == "") {
				t.Errorf("the script's end: %v", err)
			}
			if n, want := strings.Count(calls, "aws s3api get-object"), max(1, c.gets); c.gets >= 0 && n != want && !nameless {
				t.Errorf("%d downloads, want %d", n, want)
			}
			if c.reason == "" {
				if !strings.Contains(calls, entered) || strings.Contains(calls, abandoned) || strings.Contains(calls, "poweroff") || w.read("opt/imagery/current/imagery") != content {
					t.Errorf("not in service:\n%s\n%s", calls, console)
				}
				return
			}
			failed := console[max(0, strings.Index(console, "the journal")):]
			if !strings.Contains(failed, "the log of the service") || !strings.Contains(failed, "IMAGERY BOOT FAILED: ") || !strings.Contains(failed, c.reason) {
				t.Errorf("the console does not say why:\n%s", console)
			}
			// Nothing can be said of an instance that does not know its name; its power-off says it.
			if strings.Contains(calls, abandoned) == nameless || !strings.HasSuffix(calls, "systemctl poweroff\n") || strings.Contains(calls, entered) != (name == "no hook at all") {
				t.Errorf("not given up and powered off:\n%s", calls)
			}
		})
	}
}

// Whoever holds the console open when it is hung up writes to nobody from then on. Here the file moves away.
func TestReasonReachesAConsoleThatWasHungUp(t *testing.T) {
	w := newWorld(t, `useradd() { return 1; }; journalctl() { mv "$WORLD/dev/console" "$WORLD/dev/before"; echo "the journal"; }`)
	script, err := UserData(example(settings.Worker))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.run(t, script); err == nil {
		t.Error("the boot did not fail")
	}
	for n := 0; n < 100 && !strings.Contains(w.read("dev/console"), "FAILED"); n++ {
		time.Sleep(50 * time.Millisecond) // what writes there may end after the script
	}
	if before, after := w.read("dev/before"), w.read("dev/console"); !strings.Contains(before, "imagery boot: install") || !strings.Contains(after, "IMAGERY BOOT FAILED: install") {
		t.Errorf("before it was hung up:\n%s\nand after it:\n%s", before, after)
	}
}

// The job is done once before the service starts, since a worker takes work from its first second on.
func TestSelftestComesBeforeTheService(t *testing.T) {
	w := newWorld(t, "")
	script, err := UserData(example(settings.Worker))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.run(t, script); err != nil {
		t.Fatal(err)
	}
	calls := w.read("calls")
	test := strings.Index(calls, "systemctl start imagery-selftest")
	start := strings.Index(calls, "systemctl enable --now imagery imagery-leave")
	if test < 0 || start < test {
		t.Errorf("selftest at %d, service at %d", test, start)
	}
	if env := w.read("etc/imagery/env"); !strings.HasSuffix(env, "IMAGERY_INSTANCE=i-0123456789abcdef0\n") {
		t.Errorf("environment: %s", env)
	}
}

// The selftest may wait for late rights as long as the download left of the deadline, and has 80 seconds for itself: a
// program that hangs ends.
func TestSelftestWaitsUntilTheSameDeadline(t *testing.T) {
	w := newWorld(t, `download() { (( $(nth get) > 2 )) && { file "$@"; return; }; command sleep 1.1; return 124; }`)
	boot := example(settings.Worker)
	boot.Retry = 100 * time.Second
	text, err := UserData(boot)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.run(t, text); err != nil {
		t.Fatal(err)
	}
	conf := w.read("etc/systemd/system/imagery-selftest.service.d/retry.conf")
	var retry, limit int
	if _, err := fmt.Sscanf(conf, "[Service]\nEnvironment=RETRY=%ds\nTimeoutStartSec=%d\n", &retry, &limit); err != nil {
		t.Fatalf("%v: %s", err, conf)
	}
	if retry > 98 || retry < 50 || limit != retry+80 {
		t.Errorf("the selftest may repeat for %d s and run for %d s", retry, limit)
	}
	once := w.read("etc/systemd/system/imagery-selftest.service.d/once.conf")
	if !strings.Contains(once, "selftest --retry ${RETRY}\n") {
		t.Error("the selftest does not repeat")
	}
}

// execs are the commands of a unit, in the order in which systemd runs them.
var execs = regexp.MustCompile(`(?m)^(ExecCondition|ExecStart)=(.+)$`)

// turn runs the commands of the agent's unit once, as its timer does every two minutes.
func (w world) turn(t *testing.T) error {
	t.Helper()
	unit := w.read("etc/systemd/system/imagery-agent.service")
	for _, m := range execs.FindAllStringSubmatch(strings.ReplaceAll(unit, "\\\n", ""), -1) {
		command := strings.ReplaceAll(m[2], "/usr/bin/dnf", filepath.Join(w.root, "bin", "dnf"))
		command = strings.ReplaceAll(command, " systemctl", " "+filepath.Join(w.root, "bin", "systemctl"))
		if err := w.run(t, command); err != nil {
			if m[1] == "ExecCondition" {
				return nil // skipped
			}
			return err
		}
	}
	return nil
}

// The boot does not wait for the agent. Its timer installs it, again and again until it works, and does nothing then.
func TestAgentIsInstalledUntilItWorks(t *testing.T) {
	w := newWorld(t, `dnf() { (( $(nth dnf) > 2 )); }
		systemctl() { [[ $* != "-q is-active amazon-cloudwatch-agent" || -e $WORLD/agent-runs ]]; }`)
	text, err := UserData(example(settings.Worker))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.run(t, text); err != nil {
		t.Fatal(err)
	}
	calls := w.read("calls")
	start := strings.Index(calls, "systemctl enable --now imagery-agent.timer\n")
	if strings.Contains(calls, "dnf") || start < 0 || start > strings.Index(calls, "systemctl start imagery-selftest") {
		t.Errorf("the boot installs the agent, or does not start its timer:\n%s", calls)
	}
	ctl := "opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl"
	if err := os.MkdirAll(filepath.Join(w.root, filepath.Dir(ctl)), 0o755); err != nil {
		t.Fatal(err)
	}
	w.write(t, ctl, `#!/bin/bash
		echo "ctl $*" >>"$WORLD/calls"
		[[ -e $WORLD/ctl-works ]] && touch "$WORLD/agent-runs"`)
	if err := os.Chmod(filepath.Join(w.root, ctl), 0o755); err != nil {
		t.Fatal(err)
	}
	w.write(t, "calls", "")
	for n, works := range []bool{false, false, false, true, true, true} {
		if n == 3 {
			w.write(t, "ctl-works", "")
		}
		if err := w.turn(t); (err == nil) != works {
			t.Errorf("turn %d: %v", n+1, err)
		}
	}
	calls = w.read("calls")
	if n := strings.Count(calls, "dnf -y -q install amazon-cloudwatch-agent\n"); n != 4 {
		t.Errorf("%d installations, want two that fail, one before the agent starts and one before it does:\n%s", n, calls)
	}
	if n := strings.Count(calls, "ctl -a fetch-config -m ec2 -s -c file:"); n != 2 {
		t.Errorf("the agent was started %d times, want one that fails and one:\n%s", n, calls)
	}
	timer := w.read("etc/systemd/system/imagery-agent.timer")
	for _, line := range []string{"OnActiveSec=1s", "OnUnitInactiveSec=2min", "WantedBy=timers.target"} {
		if !strings.Contains(timer, line+"\n") {
			t.Errorf("the timer lacks %s:\n%s", line, timer)
		}
	}
}

// The log is the service user's before systemd opens it, or logrotate, working as that user, cannot shorten it.
func TestLogBelongsToWhoRotatesIt(t *testing.T) {
	w := newWorld(t, `install() { echo "install $*" >>"$WORLD/calls"; real_install "$@"; }`)
	if err := os.Remove(filepath.Join(w.root, "var/log/imagery/imagery.log")); err != nil {
		t.Fatal(err)
	}
	text, err := UserData(example(settings.Worker))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.run(t, text); err != nil {
		t.Fatal(err)
	}
	calls, log := w.read("calls"), filepath.Join(w.root, "var/log/imagery/imagery.log")
	made := strings.Index(calls, "install -m 0640 -o imagery -g imagery /dev/null "+log)
	if start := strings.Index(calls, "systemctl start imagery-selftest"); made < 0 || start < made {
		t.Errorf("the log is made at %d, the first unit starts at %d:\n%s", made, start, calls)
	}
	if info, err := os.Stat(log); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the log: %v, %v", info, err)
	}
	rotation, timer := w.read("etc/logrotate.d/imagery"), w.read("etc/systemd/system/logrotate.timer.d/imagery.conf")
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

// Every number that bounds a step of the boot, with the most that a stack may set for late rights.
func TestBootEndsBeforeItsHook(t *testing.T) {
	text, err := UserData(example(settings.Worker))
	if err != nil {
		t.Fatal(err)
	}
	number := func(text, pattern string) int {
		m := regexp.MustCompile(pattern).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("nothing is like %s", pattern)
		}
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	perCall := number(text, `--max-time (\d+) "\$\{@:2\}"`)
	const mostRetry, attempt, system = 340, 60, 60 // of a selftest; until cloud-init runs the script
	total := system +
		2*(number(text, `--retry 20 .*--retry-max-time (\d+)`)+perCall) +
		mostRetry + number(text, `timeout (\d+) aws s3api`) + attempt +
		number(unitText, `TimeoutStartSec=(\d+)`) +
		number(text, `rest > 60 \? rest : (\d+)`) + 5 +
		number(text, `--retry-max-time (\d+) --retry-all-errors --max-time 5 "http://127.0.0.1:\$PORT/version`) + 5 +
		number(text, `end=\$\(\(SECONDS \+ (\d+)`) + number(text, `timeout (\d+) aws autoscaling`)
	if hook := int(compute.LaunchTimeout / time.Second); total > hook {
		t.Errorf("a boot may take %d s, its launch hook %d s", total, hook)
	}
	t.Logf("a boot ends within %d s", total)
}

// A worker is stopped, which drains it, before its instance is let go; a server is not, its balancer drains it.
func TestLeave(t *testing.T) {
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
		"spot notice":          {settings.Worker, `spot() { (( $(nth spot) > 3 )) && echo '{"action":"terminate"}'; }; ` + last, true},
		"metadata comes late":  {settings.Worker, `state() { (( $(nth state) > 3 )) && echo Terminated || return 7; }; ` + last, true},
		"its name comes late": {settings.Worker, terminated + last +
			`who() { [[ -e $WORLD/opt/imagery/leave ]] && (( $(nth who) < 4 )) && return 28; echo i-0123456789abcdef0; }`, true},
		"the hook is not there yet": {settings.Worker, terminated + last +
			`complete() { (( $(nth hook) > 4 )) || return 254; }`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.answers)
			text, err := UserData(example(c.role))
			if err != nil {
				t.Fatal(err)
			}
			if err := w.run(t, text); err != nil {
				t.Fatal(err)
			}
			w.write(t, "calls", "")
			if err := w.run(t, strings.ReplaceAll(w.read("opt/imagery/leave"), w.root, "")); err != nil {
				t.Fatal(err)
			}
			calls := w.read("calls")
			stop := strings.Index(calls, "systemctl stop imagery\n")
			complete := strings.Index(calls, "aws autoscaling complete-lifecycle-action --auto-scaling-group-name imagery-prod-"+string(c.role)+
				" --lifecycle-hook-name terminate --instance-id i-0123456789abcdef0 --lifecycle-action-result CONTINUE")
			if (stop >= 0) != c.stops || complete < stop || complete < 0 {
				t.Errorf("stop at %d, complete at %d:\n%s", stop, complete, calls)
			}
		})
	}
}

func TestLeaveWaits(t *testing.T) {
	w := newWorld(t, `sleep() { (( $(nth sleep) > 20 )) && kill -TERM $PPID; command sleep 0.01; }`)
	text, err := script(leave, "ROLE=worker", "REGION=r", "GROUP=g", "TERMINATE_HOOK=t")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.run(t, text); err == nil {
		t.Error("the watch ended")
	}
	if calls := w.read("calls"); strings.Contains(calls, "systemctl") || strings.Contains(calls, "complete") {
		t.Errorf("an instance in service was stopped:\n%s", calls)
	}
}

// What an instance reads and writes, to be seen in a review. Write it with -update.
func TestGolden(t *testing.T) {
	w := newWorld(t, "")
	text, err := UserData(example(settings.Server))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.run(t, text); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"user-data.sh": text, "imagery.service": w.read("etc/systemd/system/imagery.service"),
		"env": w.read("etc/imagery/env"), "leave": w.read("opt/imagery/leave"), "cloudwatch-agent.json": w.read("etc/imagery/cloudwatch-agent.json")}
	for name, got := range files {
		golden := filepath.Join("testdata", "golden", name)
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s is another now; look at it and run with -update:\n%s", name, got)
		}
	}
}

// The unit is one that systemd 252 understands, and closed: its exposure is 1.2 of 10.
func TestUnit(t *testing.T) {
	analyze := pulumitest.Need(t, "systemd-analyze")
	text, err := render(unit, map[string]any{"StopSeconds": 110})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "imagery.service")
	exe := strings.Replace(text, "/opt/imagery/current/imagery", "/bin/true", 1)
	if err := os.WriteFile(path, []byte(exe), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", path).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
	out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=15", path).CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	t.Log(strings.TrimSpace(string(out[strings.LastIndex(string(out), "→"):])))
}
