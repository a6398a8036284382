package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// readPage returns the page, and the cells of the rows of its two tables.
func readPage(t *testing.T) (page string, failures, crashes [][]string) {
	t.Helper()
	b, err := os.ReadFile("../../../docs/failures.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		if !strings.HasPrefix(line, "| ") || cells[0] == "What fails" || cells[0] == "backend" {
			continue
		}
		if cells[0] == "local" || cells[0] == "aws" {
			crashes = append(crashes, cells)
		} else {
			failures = append(failures, cells)
		}
	}
	return string(b), failures, crashes
}

// TestFailuresAreShown: every failure has a class, a measured time or a reason for none, and a test that exists.
func TestFailuresAreShown(t *testing.T) {
	_, failures, crashes := readPage(t)
	time := regexp.MustCompile(`^\d+\.\d s$`)
	known := 0
	for _, f := range failures {
		if len(f) != 6 || !slices.Contains([]string{"tolerated", "redundant", "single"}, f[1]) {
			t.Fatalf("row %q", f)
		}
		isTime, isMeasured := time.MatchString(f[4]), measured[f[0]] != ""
		if isTime != isMeasured {
			t.Errorf("%s: time %q, measured %t", f[0], f[4], isMeasured)
		}
		if isMeasured {
			known++
		}
		if f[5] == "not tested: only AWS can cause it" && f[4] == "depends on AWS" {
			continue
		}
		name, folder, _ := strings.Cut(strings.Trim(f[5], "`"), "` in `")
		files, err := filepath.Glob(filepath.Join("../../..", folder, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(files, func(file string) bool {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Error(err)
			}
			return strings.Contains(string(b), "\nfunc "+name+"(t *testing.T)")
		}) {
			t.Errorf("%s is said to be shown by %s in %s, which is not there", f[0], name, folder)
		}
	}
	if known != len(measured) {
		t.Errorf("the page has %d of %d measured failures", known, len(measured))
	}
	for _, c := range crashes {
		if len(c) != 6 || !time.MatchString(c[4]) {
			t.Errorf("row %q", c)
		}
	}
}

// TestUpdate: all times are found and written, or nothing is.
func TestUpdate(t *testing.T) {
	page, _, crashes := readPage(t)
	var log strings.Builder
	for what, pattern := range measured {
		if !strings.HasPrefix(pattern, `\|`) {
			// A line that the pattern matches.
			log.WriteString(strings.NewReplacer(`\S*`, "", `.*`, "", `([\d.]+ s)`, "12.3 s").Replace(pattern) + "\n")
		} else if what == "" {
			t.Error("a failure without a name")
		}
	}
	without := log.String()
	for _, c := range crashes {
		c[4] = "1.5 s"
		log.WriteString("        | " + strings.Join(c, " | ") + " |\n")
	}
	if _, err := update([]byte(page), []byte(without)); err == nil || !strings.Contains(err.Error(), "reconciler") {
		t.Errorf("without some measurements: %v", err)
	}
	b, err := update([]byte(page), []byte(log.String()))
	if err != nil {
		t.Fatal(err)
	}
	after := string(b)
	if n := strings.Count(after, "| 12.3 s |"); n != len(measured)-4 {
		t.Errorf("%d times of other tests were written", n)
	}
	if n := strings.Count(after, "| 1.5 s |"); n != len(crashes)+4 {
		t.Errorf("%d times of crashes were written", n)
	}
	for _, want := range []string{"\n| local | server after-object |", "\n## A kill at every failpoint\n"} {
		if !strings.Contains(after, want) || strings.Count(page, "\n") != strings.Count(after, "\n") {
			t.Errorf("the page has no %q:\n%s", want, after)
		}
	}
}
