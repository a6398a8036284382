package release

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"imagery/app/deploy/settings"
	"imagery/infra/testing/pulumitest"
)

var update = flag.Bool("update", false, "write the golden files")

// TestGolden shows changes of the files of an instance in a review. -update writes them.
func TestGolden(t *testing.T) {
	m := newMachine(t, "")
	text, err := UserData(example(settings.Server))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.run(t, text); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"user-data.sh": text, "imagery.service": m.read("etc/systemd/system/imagery.service"),
		"env": m.read("etc/imagery/env"), "drain": m.read("opt/imagery/drain"),
		"cloudwatch-agent.json": m.read("etc/imagery/cloudwatch-agent.json")}
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
			t.Errorf("%s has changed; review the diff and run with -update:\n%s", name, got)
		}
	}
}

// TestUnit checks the service unit with systemd-analyze. Its exposure is 1.2 of 10.
func TestUnit(t *testing.T) {
	analyze := pulumitest.Need(t, "systemd-analyze")
	path := filepath.Join(t.TempDir(), "imagery.service")
	exe := strings.Replace(serviceUnit(settings.Worker), "/opt/imagery/current/imagery", "/bin/true", 1)
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
