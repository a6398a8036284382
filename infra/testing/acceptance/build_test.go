package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"imagery/app/testing/short"
)

// TestBadReleases: each change still finds what it changes, and the program with it compiles.
func TestBadReleases(t *testing.T) {
	if _, err := (change{file: "go.mod", old: "not there"}).apply("../../.."); err == nil {
		t.Error("a change that finds nothing succeeds")
	}
	short.Skip(t, "the builds of bad releases")
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	for place, c := range map[string]change{spoiled.file: spoiled, slowTakesPlaceOf: slow} {
		text, err := c.apply(root)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		changed, list := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
		overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, place): changed}})
		if err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string][]byte{changed: text, list: overlay} {
			if err := os.WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command("go", "build", "-overlay", list, "-o", os.DevNull, "./app")
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", place, err, out)
		}
	}
}
