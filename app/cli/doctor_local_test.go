package cli_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imagery/app/admin/doctor"
	"imagery/app/deploy/iam"
	"imagery/app/deploy/settings"
	"imagery/app/store/local"
	"imagery/app/testing/fakeaccount"
)

// The outputs of a stack say everything; a service that runs another release, or cannot be reached, is told.
func TestDoctorOnOutputs(t *testing.T) {
	a := fakeaccount.Start(t)
	release, ready := strings.Repeat("ab", 32), 200
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			w.WriteHeader(ready)
		} else {
			fmt.Fprintln(w, release)
		}
	}))
	defer service.Close()
	outputs := fmt.Sprintf(`{"url":%q,"table":%q,"imagesBucket":%q,"releaseBucket":"releases","queueUrl":%q,`+
		`"dlqUrl":%q,"alarmTopic":%q,"region":"us-east-1","release":%q}`,
		service.URL, a.Stack.Table, a.Stack.Bucket, a.Stack.QueueURL, a.Stack.DLQURL, a.Topic, release)
	pulumiSays(t, outputs, noState)
	look := func(want string, wrong bool) {
		t.Helper()
		out, _, err := runCommand(t, t.Context(), nil, "doctor", "--stack", "test", "--s3-path-style", "--all")
		if (err != nil) != wrong || !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
			t.Errorf("%v, want %q\n%s", err, want, out)
		}
		for line := range strings.Lines(out) {
			if len(line) > 81 && strings.Contains(strings.TrimSpace(line[20:]), " ") && !strings.Contains(line, "arn:") {
				t.Errorf("a line of %d columns: %s", len(line)-1, line)
			}
		}
	}
	look("release abababababab answers at", false)
	look("bucket releases blocks all public access", false)
	ready = 503
	look("/readyz answers 503", true)
	ready, release = 200, strings.Repeat("cd", 32)
	look("a server runs release cdcdcdcdcdcd, the stack deployed abababababab", false)
	release = "hello"
	look("and no release", true)
	service.Close()
	look("does not answer from here", false)
	a.Topic += "-other"
	pulumiSays(t, strings.Replace(outputs, "1a2b3c4", "9999999", 1), noState)
	look("alarms without the stack's topic as their action", true)
}

// On a laptop it looks at the machine.
func TestDoctorOnALaptop(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	look := func(args ...string) (e examined, err error) {
		t.Helper()
		out, _, err := runCommand(t, t.Context(), nil,
			append([]string{"doctor", "--json", "--listen", "127.0.0.1:0", "--memory", "4GiB"}, args...)...)
		if jsonErr := json.Unmarshal([]byte(out), &e); jsonErr != nil {
			t.Fatalf("%v: %s, %v", jsonErr, out, err)
		}
		return e, err
	}
	has := func(e examined, level doctor.Level, text string) {
		t.Helper()
		if !slices.ContainsFunc(e.Findings,
			func(f doctor.Finding) bool { return f.Level == level && strings.Contains(f.Text, text) }) {
			t.Errorf("no %s with %q: %+v", level, text, e.Findings)
		}
	}
	e, err := look("--data", dir)
	has(e, doctor.Info, "there is no data folder")
	if _, statErr := os.Stat(dir); err != nil || statErr == nil {
		t.Errorf("%v; the folder was made: %t", err, statErr == nil)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "imagery.db"),
		[]byte("this is no database, but a text that is long enough to be one"), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err = look("--data", dir)
	if has(e, doctor.Wrong, "was not made by Imagery"); err == nil {
		t.Error("it is content")
	}
	if err := os.Remove(filepath.Join(dir, "imagery.db")); err != nil {
		t.Fatal(err)
	}
	unsound := filepath.Join(t.TempDir(), "unsound")
	if err := local.Prepare(unsound); err != nil {
		t.Fatal(err)
	}
	text := []byte("this is no database, but a text that is long enough to be one")
	if err := os.WriteFile(filepath.Join(unsound, "imagery.db"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	e, err = look("--data", unsound)
	if has(e, doctor.Wrong, "the database is damaged"); err == nil {
		t.Error("it is content")
	}
	e, err = look("--data", dir)
	if has(e, doctor.OK, "can be written"); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("the doctor left %v", left)
	}
	e, _ = look("--data", filepath.Join(dir, strings.Repeat("x", 90)))
	has(e, doctor.Warning, "too long for sockets")
	e, err = look("--data", dir, "--memory", "300MiB")
	if has(e, doctor.Info, "one photo can have"); err != nil {
		t.Error(err)
	}
	taken := httptest.NewServer(http.NotFoundHandler())
	defer taken.Close()
	address := strings.TrimPrefix(taken.URL, "http://")
	e, _ = look("--data", dir, "--listen", address)
	has(e, doctor.Wrong, "taken by another program")
	taken.Config.Handler = http.HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, strings.Repeat("ab", 32)) })
	e, _ = look("--data", dir, "--listen", address)
	has(e, doctor.OK, "a service of release abababababab runs")
}

func TestDoctorUsage(t *testing.T) {
	a := fakeaccount.Start(t)
	for _, args := range [][]string{{"extra"}, {"--nothing"}, {"--max-pixels", "0"}} {
		_, _, err := runCommand(t, t.Context(), nil, slices.Concat([]string{"doctor"}, a.Flags(), args)...)
		if usage := (*settings.UsageError)(nil); !errors.As(err, &usage) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// The operator's commands make exactly the calls of the operator's table.
func TestOnCallRights(t *testing.T) {
	a := fakeaccount.Start(t)
	pulumiSays(t, fmt.Sprintf(`{"table":%q,"imagesBucket":%q,"releaseBucket":"releases","queueUrl":%q,`+
		`"region":"us-east-1"}`, a.Stack.Table, a.Stack.Bucket, a.Stack.QueueURL), noState)
	a.Tag("arn:aws:ec2:us-east-1:000000000000:instance/i-1")
	for _, command := range []string{"doctor", "alarms ls", "alarms test --yes"} {
		if _, _, err := runCommand(t, t.Context(), nil,
			append(strings.Fields(command), "--stack", "test", "--s3-path-style")...); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
	listed, seen := map[string]bool{"sts:GetCallerIdentity": true}, map[string]bool{} // everybody may ask who they are
	for _, c := range slices.Concat(iam.Operator, iam.OnCall) {
		listed[c.Service+":"+c.Operation] = true
	}
	for _, call := range a.Calls() {
		// the emulator's view of GetObject and ListObjectsV2
		if seen[call] = true; !listed[call] && call != "s3:GET" && !strings.Contains(call, " ") {
			t.Errorf("%s is not in the table", call)
		}
	}
	for _, c := range iam.OnCall {
		if !seen[c.Service+":"+c.Operation] {
			t.Errorf("%s:%s is in the table, and no command calls it", c.Service, c.Operation)
		}
	}
}
