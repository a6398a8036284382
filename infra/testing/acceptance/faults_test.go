package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	faultHeader = regexp.MustCompile(`^[A-Z].*\.\nScene: (\S+)\nSays: \S.*\n\n--- a/\S+\n\+\+\+ b/(\S+)\n@@`)
	hunkStart   = regexp.MustCompile(`(?m)^@@ .*\n`)
)

// TestFaultsApply checks that each fault that scripts/rehearse-faults plants names a scene and what the scene then
// says, and still fits the code: the lines before the change occur once.
func TestFaultsApply(t *testing.T) {
	patches, err := filepath.Glob(filepath.Join("testdata", "faults", "*.patch"))
	if err != nil || len(patches) < 8 {
		t.Fatalf("%d faults, %v", len(patches), err)
	}
	for _, path := range patches {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m := faultHeader.FindStringSubmatch(string(text))
		if m == nil || !slices.ContainsFunc(scenes, func(s scene) bool { return s.name == m[1] }) {
			t.Errorf("%s does not begin with its title, a scene, what that says, and one file", path)
			continue
		}
		code, err := os.ReadFile(filepath.Join("..", "..", "..", m[2]))
		if err != nil {
			t.Fatal(err)
		}
		for _, hunk := range hunkStart.Split(string(text), -1)[1:] {
			var before strings.Builder
			for line := range strings.Lines(hunk) {
				if line[0] != '+' {
					before.WriteString(line[1:])
				}
			}
			if n := strings.Count(string(code), before.String()); n != 1 {
				t.Errorf("%s fits %d places of %s, make it anew:\n%s", path, n, m[2], before.String())
			}
		}
	}
}
