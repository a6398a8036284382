package short

import (
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"
)

// TestContributingNamesPackages checks that the guide names every package that the fast lane runs in part.
func TestContributingNamesPackages(t *testing.T) {
	root := os.DirFS("../../..")
	guide, err := fs.ReadFile(root, ".github/CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	err = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && name != "." && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(name, "_test.go") || path.Dir(name) == "app/testing/short" {
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		if s := string(text); strings.Contains(s, "short.Skip(") || strings.Contains(s, "short.Main(") ||
			strings.Contains(s, "testing.Short()") {
			found++
			if !strings.Contains(string(guide), "`"+path.Dir(name)+"`") {
				t.Errorf("CONTRIBUTING.md does not say what -short leaves out of %s", path.Dir(name))
			}
		}
		return nil
	})
	if err != nil || found == 0 {
		t.Fatalf("%d files use -short, %v", found, err)
	}
}
