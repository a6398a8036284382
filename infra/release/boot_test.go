package release

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"imagery/app/deploy/settings"
	"imagery/infra/compute"
)

// TestBoot checks that a boot ends in service, or with the reason and the logs on the console, the launch hook
// abandoned and the machine powered off.
func TestBoot(t *testing.T) {
	const entered, abandoned = "--lifecycle-action-result CONTINUE", "--lifecycle-action-result ABANDON"
	fail := func(message string) string {
		return `download() { (( $(nth get) > 2 )) && { file "$@"; return; }; echo "` + message + `" >&2; return 254; }`
	}
	code := func(c string) string {
		return fail("An error occurred (" + c + ") when calling the GetObject operation")
	}
	const alwaysDenied = `download() {
		command sleep 0.3; printf "first line\n(AccessDenied)\n" >&2; return 254; }`
	for name, c := range map[string]struct {
		answers string
		reason  string // on the console; empty: the boot must end in service
		gets    int    // downloads; 0: 1
	}{
		"good": {},
		"denied twice": {
			answers: fail("An error occurred (AccessDenied) when calling the GetObject operation: Access Denied"), gets: 3},
		"missing twice":  {answers: fail("An error occurred (404) when calling the GetObject operation"), gets: 3},
		"no route twice": {answers: fail("Connect timeout on endpoint URL"), gets: 3},
		"timeout twice": {
			answers: `download() { (( $(nth get) > 2 )) && { file "$@"; return; }; return 124; }`, gets: 3},
		"internal error":      {answers: code("InternalError"), gets: 3},
		"throttled":           {answers: code("SlowDown"), gets: 3},
		"unavailable":         {answers: code("503"), gets: 3},
		"expired credentials": {answers: code("ExpiredToken"), gets: 3},
		"invalid credentials": {answers: code("InvalidToken"), gets: 3},
		"clock skew":          {answers: code("RequestTimeTooSkewed"), gets: 3},
		"connection closed":   {answers: fail("Connection was closed before we received a valid response"), gets: 3},
		"slow answer":         {answers: fail("Read timeout on endpoint URL"), gets: 3},
		"no credentials":      {answers: strings.Replace(fail("Unable to locate credentials"), "254", "253", 1), gets: 3},
		"unknown error":       {answers: fail("something new"), gets: 3},
		"always denied": {answers: alwaysDenied, gets: -1,
			reason: "no success within 1 s; last error: first line (AccessDenied) (exit code 254)"},
		"full disk": {answers: `download() {
			echo "[Errno 28] No space left on device: /opt/403AccessDenied404" >&2; return 255; }`,
			reason: "final error"},
		"read-only disk": {answers: `download() { echo "[Errno 30] Read-only file system: /opt/x" >&2; return 255; }`,
			reason: "final error"},
		"wrong usage": {answers: `download() { echo "aws: error: Unknown options: --frob" >&2; return 252; }`,
			reason: "final error"},
		"no CLI": {answers: `download() { echo "aws: command not found" >&2; return 127; }`,
			reason: "final error"},
		"wrong bytes": {answers: `download() { file "$@"; echo more >>"${!#}"; }`,
			reason: "verify the SHA-256 of release " + sha(content)},
		"unit fails":     {answers: `systemctl() { [[ $* != "enable --now imagery"* ]]; }`, reason: "start the service"},
		"selftest fails": {answers: `systemctl() { [[ $* != "start imagery-selftest" ]]; }`, reason: "run the self-test"},
		"not ready":      {answers: `ready() { return 22; }`, reason: "wait until the service is ready"},
		"wrong version":  {answers: `version() { echo 0000; }`, reason: "check that the service is release"},
		"hook race": {
			answers: `complete() { (( $(nth hook) > 4 )) || { echo "No active Lifecycle Action found" >&2; return 254; }; }`},
		"no hook at all": {answers: `complete() { return 254; }`, reason: "enter service"},
		"no timers":      {answers: `systemctl() { [[ $* != *.timer ]]; }`},
		"no token": {answers: `curl() { [[ ${!#} == */instance-id ]] && echo i-0123456789abcdef0; }`,
			reason: "read the instance id"},
		"no metadata": {answers: `curl() { return 7; }`, reason: "read the instance id"},
		"terminated": {answers: `systemctl() { [[ $* != *agent.timer ]] || { kill -TERM $PPID; command sleep 1; }; }`,
			reason: "rotate and send logs"},
		"disk full": {answers: `useradd() { return 1; }`, reason: "install"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, c.answers)
			boot := example(settings.Worker)
			if name == "always denied" {
				boot.Retry = time.Second
			}
			err := m.boot(t, boot)
			calls, console := m.read("calls"), m.read("var/log/imagery-boot.log")
			noID := strings.HasPrefix(c.reason, "read the instance id")
			if (err == nil) != (c.reason == "") {
				t.Errorf("exit: %v", err)
			}
			n, want := strings.Count(calls, "aws s3api get-object"), max(1, c.gets)
			if c.gets >= 0 && n != want && !noID {
				t.Errorf("%d downloads, want %d", n, want)
			}
			if c.reason == "" {
				if !strings.Contains(calls, entered) || strings.Contains(calls, abandoned) ||
					strings.Contains(calls, "poweroff") || m.read("opt/imagery/current/imagery") != content {
					t.Errorf("not in service:\n%s\n%s", calls, console)
				}
				return
			}
			failed := console[max(0, strings.Index(console, "the journal")):]
			for _, text := range []string{"the log of the service", "IMAGERY BOOT FAILED: ", c.reason} {
				if !strings.Contains(failed, text) {
					t.Errorf("the console lacks %q:\n%s", text, console)
				}
			}
			// Without an instance id the hook cannot be abandoned; the machine only powers off.
			if strings.Contains(calls, abandoned) == noID || !strings.HasSuffix(calls, "systemctl poweroff\n") ||
				strings.Contains(calls, entered) != (name == "no hook at all") {
				t.Errorf("not abandoned and powered off:\n%s", calls)
			}
		})
	}
}

// A process that has the console open when it hangs up writes to nothing from then on. Here the file is moved away.
func TestReasonIsWrittenAfterTheConsoleHungUp(t *testing.T) {
	m := newMachine(t, `useradd() { return 1; }
		journalctl() { mv "$MACHINE/dev/console" "$MACHINE/dev/before"; echo "the journal"; }`)
	if err := m.boot(t, example(settings.Worker)); err == nil {
		t.Error("the boot did not fail")
	}
	before, after := m.read("dev/before"), m.read("dev/console")
	if !strings.Contains(before, "imagery boot: install") || !strings.Contains(after, "IMAGERY BOOT FAILED: install") {
		t.Errorf("before the hang-up:\n%s\nafter it:\n%s", before, after)
	}
}

func TestSelftestRunsBeforeTheService(t *testing.T) {
	m := newMachine(t, "")
	if err := m.boot(t, example(settings.Worker)); err != nil {
		t.Fatal(err)
	}
	calls := m.read("calls")
	test := strings.Index(calls, "systemctl start imagery-selftest")
	start := strings.Index(calls, "systemctl enable --now imagery imagery-drain")
	if test < 0 || start < test {
		t.Errorf("selftest at %d, service at %d", test, start)
	}
	if env := m.read("etc/imagery/env"); !strings.HasSuffix(env, "IMAGERY_INSTANCE=i-0123456789abcdef0\n") {
		t.Errorf("environment: %s", env)
	}
}

// The self-test retries denied requests for what the download has left of the deadline, and is stopped 80 seconds
// later.
func TestSelftestRetriesUntilTheSameDeadline(t *testing.T) {
	m := newMachine(t, `download() { (( $(nth get) > 2 )) && { file "$@"; return; }; command sleep 1.1; return 124; }`)
	boot := example(settings.Worker)
	boot.Retry = 100 * time.Second
	if err := m.boot(t, boot); err != nil {
		t.Fatal(err)
	}
	conf := m.read("etc/systemd/system/imagery-selftest.service.d/retry.conf")
	var retry, limit int
	if _, err := fmt.Sscanf(conf, "[Service]\nEnvironment=RETRY=%ds\nTimeoutStartSec=%d\n", &retry, &limit); err != nil {
		t.Fatalf("%v: %s", err, conf)
	}
	if retry > 98 || retry < 50 || limit != retry+80 {
		t.Errorf("the self-test may retry for %d s and run for %d s", retry, limit)
	}
	once := m.read("etc/systemd/system/imagery-selftest.service.d/once.conf")
	if !strings.Contains(once, "selftest --retry ${RETRY}\n") {
		t.Error("the self-test does not retry")
	}
}

// TestBootEndsBeforeItsHook adds up the time limits of all steps, with the maximum of imagery:bootRetrySeconds.
func TestBootEndsBeforeItsHook(t *testing.T) {
	text, err := UserData(example(settings.Worker))
	if err != nil {
		t.Fatal(err)
	}
	number := func(text, pattern string) int {
		m := regexp.MustCompile(pattern).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("no match for %s", pattern)
		}
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	perCall := number(text, `--max-time (\d+) "\$\{@:2\}"`)
	const maxRetry, attempt, system = 340, 60, 60 // attempt: of a self-test; system: until cloud-init runs the script
	total := system +
		2*(number(text, `--retry 20 .*--retry-max-time (\d+)`)+perCall) +
		maxRetry + number(text, `timeout (\d+) aws s3api`) + attempt +
		number(embedded("imagery.service"), `TimeoutStartSec=(\d+)`) +
		number(text, `rest > 60 \? rest : (\d+)`) + 5 +
		number(text, `--retry 5 --retry-delay 2 --retry-max-time (\d+)`) + 5 +
		number(text, `end=\$\(\(SECONDS \+ (\d+)`) + number(text, `timeout (\d+) aws autoscaling`)
	if hook := int(compute.LaunchTimeout / time.Second); total > hook {
		t.Errorf("a boot may take %d s, its launch hook %d s", total, hook)
	}
	t.Logf("a boot ends within %d s", total)
}
