package release

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"imagery/app/deploy/settings"
	"imagery/infra/testing/pulumitest"
)

const content = "#!/bin/sh\necho a release\n"

func sha(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func example(role settings.Role) Boot {
	return Boot{
		Settings: settings.Settings{Role: role, Listen: "8080", Table: "t", Bucket: "b", QueueURL: "https://q/1",
			Stack: "prod", Consume: true},
		GCLimit: 1 << 30, Region: "eu-central-1", Group: "imagery-prod-" + string(role), Hook: "launch",
		TerminateHook: "terminate", Bucket: "releases", Key: "releases/" + sha(content) + "/imagery", SHA: sha(content),
		LogGroup: "/imagery/prod/" + string(role), SSM: true, Retry: time.Minute,
	}
}

// machine is a folder that replaces the file system of an instance.
type machine struct {
	root string
	env  []string
}

// newMachine returns a machine with stubs of the programs. Answers is shell code that overrides functions of the stub.
func newMachine(t *testing.T, answers string) machine {
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
		if err := os.WriteFile(filepath.Join(root, "bin", name), stub, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(root, "bin") + ":" + os.Getenv("PATH")
	m := machine{root, []string{"PATH=" + path, "MACHINE=" + root, "CASE=" + answers}}
	m.write(t, "release", content)
	m.write(t, "var/log/imagery/imagery.log", "the log of the service\n")
	return m
}

func (m machine) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(m.root, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// read returns the content of a file, or "" if it does not exist.
func (m machine) read(name string) string {
	b, _ := os.ReadFile(filepath.Join(m.root, name))
	return string(b)
}

var absolute = regexp.MustCompile(`(^|[\s"'>=(])/(opt|etc|var|dev)/`)

// boot runs the user-data of b.
func (m machine) boot(t *testing.T, b Boot) error {
	t.Helper()
	script, err := UserData(b)
	if err != nil {
		t.Fatal(err)
	}
	return m.run(t, script)
}

// run runs a script and waits until all its processes have ended. It replaces absolute paths by those in the folder.
func (m machine) run(t *testing.T, script string) error {
	t.Helper()
	script = absolute.ReplaceAllString(script, "${1}"+m.root+"/${2}/")
	script = strings.ReplaceAll(script, m.root+"/dev/null", "/dev/null")
	c := exec.CommandContext(t.Context(), "bash", "-c", script)
	c.Env = m.env
	c.Stdout = &bytes.Buffer{} // not a file: Run then waits for the process that copies the script's output
	return c.Run()
}
