package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"imagery/app/deploy/rollout"
	"imagery/app/deploy/settings"
	"imagery/infra/testing/asgsim"
)

var current = strings.Repeat("0a", 32)

// rolloutAccount is a stack behind one address, the table and the bucket included.
type rolloutAccount struct {
	mu   sync.Mutex
	item json.RawMessage
	sim  http.Handler
}

func (a *rolloutAccount) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch target := r.Header.Get("X-Amz-Target"); {
	case strings.HasSuffix(target, ".GetItem"):
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		if a.item == nil {
			fmt.Fprint(w, "{}")
			return
		}
		fmt.Fprintf(w, `{"Item":%s}`, a.item)
	case strings.HasSuffix(target, ".PutItem"): // one controller, so every condition holds
		var in struct{ Item json.RawMessage }
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		a.item = in.Item
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		fmt.Fprint(w, "{}")
	case r.Method == http.MethodHead:
	default:
		a.sim.ServeHTTP(w, r)
	}
}

// stack starts an account with two groups that serve, and a pulumi that knows where they are.
func rolloutStack(t *testing.T) *asgsim.Simulator {
	t.Helper()
	m := &asgsim.Memory{Script: func(asgsim.Machine) asgsim.Script {
		return asgsim.Script{Boot: time.Second, Answer: asgsim.Continue}
	}}
	sim := asgsim.New(asgsim.Options{Driver: m, Factor: 100})
	m.Simulator = sim
	t.Cleanup(sim.Close)
	for _, role := range []string{"worker", "server"} {
		sim.SetTemplate("lt-"+role, asgsim.TemplateVersion{
			Number: 1, Image: "ami-1", UserData: "BUCKET=releases\nKEY=k\nSHA=" + current + "\n"})
		sim.Create(asgsim.Group{Name: "imagery-x-" + role, Min: 1, Max: 2, Template: "lt-" + role, Version: "1",
			Zones: []string{"a"}, MinHealthy: 100, MaxHealthy: 200})
	}
	at := httptest.NewServer(&rolloutAccount{sim: sim.Handler()})
	t.Cleanup(at.Close)
	bin := t.TempDir()
	pulumi := `#!/bin/sh
case "$*" in
"stack output --json --non-interactive --stack=x") echo '{"region":"eu-central-1","table":"images",
"serverGroup":"imagery-x-server",
"workerGroup":"imagery-x-worker","guardAlarms":{"server":["a"]}}' ;;
"stack output --json --non-interactive --stack=empty") echo '{}' ;;
*) echo "error: no stack named $*" >&2; exit 255 ;;
esac
`
	if err := os.WriteFile(filepath.Join(bin, "pulumi"), []byte(pulumi), 0o755); err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{"PATH": bin, "AWS_ENDPOINT_URL": at.URL, "AWS_ACCESS_KEY_ID": "x",
		"AWS_SECRET_ACCESS_KEY": "y", "AWS_CONFIG_FILE": bin + "/none", "AWS_SHARED_CREDENTIALS_FILE": bin + "/none"} {
		t.Setenv(k, v)
	}
	begun := time.Now()
	for _, role := range []string{"worker", "server"} {
		for {
			if _, instances, _ := sim.Snapshot("imagery-x-" + role); len(instances) == 1 && instances[0].State == "InService" {
				break
			}
			if time.Sleep(10 * time.Millisecond); time.Since(begun) > 20*time.Second {
				t.Fatal("nothing comes into service")
			}
		}
	}
	return sim
}

// rolloutCommand runs imagery rollout as main does.
func rolloutCommand(args ...string) (code int, out, errs string) {
	o, e := &strings.Builder{}, &strings.Builder{}
	err := App{Console: Console{Out: o, Err: e}}.Run(context.Background(), append([]string{"rollout"}, args...))
	if err != nil {
		code = 1
		fmt.Fprintln(e, err)
	}
	if usage := (*settings.UsageError)(nil); errors.As(err, &usage) {
		code = 2
	}
	return code, o.String(), e.String()
}

func TestRollout(t *testing.T) {
	sim := rolloutStack(t)
	if err := sim.Suspend("imagery-x-worker", "under inspection", "Launch"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		says []string // on either
	}{
		{"", 0, []string{"Usage: imagery rollout [flags] COMMAND", "rollout resume"}},
		{"destroy", 2, []string{"there are abort, resume, status, to", "see imagery rollout --help"}},
		{"abrot", 2, []string{"did you mean abort?"}},
		{"abort now", 2, []string{`unexpected argument "now"`}},
		{"to", 2, []string{"give one release"}},
		{"status -colour", 2, []string{"unknown flag: --colour", "see imagery rollout status --help"}},
		{"status -table images", 2, []string{"go together"}},
		{"-h", 0, []string{"Usage: imagery rollout [flags] COMMAND"}},
		{"status -h", 0, []string{"Usage: imagery rollout status", "--server-guards"}},
		{"status --stack nobody", 1, []string{"no stack named", "nobody"}},
		{"status --stack empty", 1, []string{"was it ever deployed"}},
		{"status --stack x", 0, []string{"worker: release 0a0a0a0a0a0a, version 1, 1 of version 1 InService",
			"server: release 0a0a0a0a0a0a", "BEGAN"}},
		{"to ffff --stack x", 1, []string{`no version starts release "ffff"`}},
		{"abort --stack x", 1, []string{"nothing is being rolled out"}},
		{"abort --stack x --json", 1, []string{`{"ok":false,"outcome":"nothing is being rolled out"}`}},
		{"status --stack x", 0, []string{"process Launch is suspended: under inspection"}},
		{"--stack x to 0A0a", 1, []string{"imagery-x-worker are suspended: Launch (under inspection)", "rollout resume"}},
		{"resume --stack x", 0, []string{"resumed imagery-x-worker/Launch"}},
		{"resume --stack x", 0, []string{"nothing is suspended"}},
		{"--stack x to 0A0a", 0, []string{"release 0A0a runs"}}, // which proves the first deploy
		{"status -region eu-central-1 -table images -server-group imagery-x-server -worker-group imagery-x-worker", 0,
			[]string{"successful", "0a0a0a0a0a0a"}},
	} {
		code, out, errs := rolloutCommand(strings.Fields(c.args)...)
		for _, s := range c.says {
			if code != c.code || !strings.Contains(out+errs, s) {
				t.Errorf("rollout %s: %d, want %d and %q:\n%s%s", c.args, code, c.code, s, out, errs)
			}
		}
	}
	code, out, _ := rolloutCommand("status", "-stack=x", "-json")
	var r rollout.Report
	if err := json.Unmarshal([]byte(out), &r); code != 0 || err != nil || len(r.Groups) != 2 ||
		len(r.Record.Entries) != 1 || r.Record.Entries[0].Release != current {
		t.Errorf("%d, %v: %s", code, err, out)
	}
	t.Setenv("PATH", t.TempDir())
	if code, _, errs := rolloutCommand("status", "--stack", "x"); code != 1 ||
		!strings.Contains(errs, "pulumi is not on PATH") || !strings.Contains(errs, "--region, --table") {
		t.Errorf("without pulumi: %d, %s", code, errs)
	}
}
