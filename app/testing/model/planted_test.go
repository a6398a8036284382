package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"imagery/app/testing/short"
)

// required are the faults of every run; with LONG=1 all are planted.
const required = "0[1-5]-*"

// TestPlantedFaultsAreFound changes the real code by one patch at a time. The model must find the fault, as a violation
// of a promise that the patch names, and find it again from the seed.
func TestPlantedFaultsAreFound(t *testing.T) {
	short.Skip(t, "planted faults that the model must find")
	goTool, err := exec.LookPath("go")
	skipUnless(t, err)
	pattern := required
	if os.Getenv("LONG") == "1" {
		pattern = "*"
	}
	patches, err := filepath.Glob(filepath.Join("testdata", "planted", pattern+".patch"))
	if err != nil || len(patches) < 5 {
		t.Fatalf("%d patches, %v", len(patches), err)
	}
	for _, path := range patches {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".patch"), func(t *testing.T) {
			p := readPatch(t, path)
			binary := p.build(t, goTool)
			promise, seed, line := findViolation(t, binary, "IMAGERY_MODEL_FROM=1")
			if !slices.Contains(p.breaks, promise) {
				t.Fatalf("%s\nfound %q, want one of %q", p.title, promise, p.breaks)
			}
			if again, _, _ := findViolation(t, binary, "IMAGERY_MODEL_SEED="+seed); again != promise {
				t.Errorf("seed %s replayed: %q, want %q", seed, again, promise)
			}
			t.Logf("%s\n%s: %s", p.title, line, promise)
		})
	}
}

// TestEveryPromiseHasAFault checks that some planted fault breaks each promise.
func TestEveryPromiseHasAFault(t *testing.T) {
	patches, err := filepath.Glob(filepath.Join("testdata", "planted", "*.patch"))
	if err != nil {
		t.Fatal(err)
	}
	var broken []string
	for _, path := range patches {
		broken = append(broken, readPatch(t, path).breaks...)
	}
	for _, promise := range promises {
		if !slices.Contains(broken, promise) {
			t.Errorf("no planted fault breaks %q", promise)
		}
	}
	for _, promise := range broken {
		if !slices.Contains(promises, promise) {
			t.Errorf("a planted fault breaks %q, which is no promise", promise)
		}
	}
}

// skipUnless skips when a tool that a machine may lack is missing, and fails instead when REQUIRE_ALL=1.
func skipUnless(t *testing.T, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv("REQUIRE_ALL") == "1":
		t.Fatal(err)
	default:
		t.Skip("SKIPPED, REQUIRE_ALL=1 makes this a failure: ", err)
	}
}

// found matches the report of a finding.
var found = regexp.MustCompile(`BROKEN: (.*)\n\s*(found by seed (\d+) in history \d+ after \d+ steps)`)

// findViolation runs the model against the changed code and returns the broken promise.
func findViolation(t *testing.T, binary, setting string) (promise, seed, line string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, "-test.run=^TestModel$")
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v,
			"IMAGERY_MODEL_")
	}), setting)
	out, err := cmd.CombinedOutput()
	m := found.FindSubmatch(out)
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || m == nil {
		t.Fatalf("nothing was found with %s: %v\n%s", setting, err, out)
	}
	return string(m[1]), string(m[3]), string(m[2])
}

// patch is a planted fault: a title, the promises it breaks, and a unified diff of one file.
type patch struct {
	title  string
	breaks []string
	file   string // of the domain
	hunks  [][2]string
}

func readPatch(t *testing.T, path string) (p patch) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		hunk := len(p.hunks) - 1
		switch {
		case i == 0:
			p.title = line
		case strings.HasPrefix(line, "Breaks: "):
			p.breaks = append(p.breaks, strings.TrimPrefix(line, "Breaks: "))
		case strings.HasPrefix(line, "+++ "):
			p.file = filepath.Base(line)
		case strings.HasPrefix(line, "@@ "):
			p.hunks = append(p.hunks, [2]string{})
		case hunk >= 0 && line != "":
			if line[0] != '+' {
				p.hunks[hunk][0] += line[1:] + "\n"
			}
			if line[0] != '-' {
				p.hunks[hunk][1] += line[1:] + "\n"
			}
		}
	}
	if p.file == "" || len(p.hunks) == 0 || len(p.breaks) == 0 {
		t.Fatalf("%s is no planted fault: %+v", path, p)
	}
	return p
}

// build compiles this package's tests with the changed code. The lines of a hunk must occur in the file exactly once;
// their line numbers do not matter.
func (p patch) build(t *testing.T, goTool string) (binary string) {
	t.Helper()
	original, err := filepath.Abs(filepath.Join("..", "..", "imagery", p.file))
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	changed := string(code)
	for _, h := range p.hunks {
		if n := strings.Count(changed, h[0]); n != 1 {
			t.Fatalf("the code has changed and this fault fits %d places of %s, make it anew:\n%s", n, p.file, h[0])
		}
		changed = strings.Replace(changed, h[0], h[1], 1)
	}
	dir := t.TempDir()
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {original: filepath.Join(dir, p.file)}})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{p.file: []byte(changed), "overlay.json": overlay} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	binary = filepath.Join(dir, "model.test")
	cmd := exec.CommandContext(t.Context(), goTool, "test", "-c", "-overlay", filepath.Join(dir, "overlay.json"), "-o",
		binary, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatal(fmt.Errorf("build with the fault: %w\n%s", err, out))
	}
	return binary
}
