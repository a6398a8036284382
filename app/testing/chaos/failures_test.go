package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const page = "../../../docs/failures.md"

// timePattern matches a measured time.
var timePattern = regexp.MustCompile(`^\d+\.\d s$`)

// sectionOf returns the cells of the rows of a table on the page.
func sectionOf(t *testing.T, name string) (rows [][]string) {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "<!-- begin "+name+" -->\n")
	text, _, ok := strings.Cut(rest, "<!-- end "+name+" -->")
	if !ok {
		t.Fatalf("%s has no section %s", page, name)
	}
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if i > 1 {
			rows = append(rows, strings.Split(strings.Trim(line, "| "), " | "))
		}
	}
	return rows
}

// TestPageHasEveryFailure: each failure has its row with the current texts, and a time or the reason for none.
func TestPageHasEveryFailure(t *testing.T) {
	all := failures()
	rows := sectionOf(t, "failures")
	if len(rows) != len(all) {
		t.Fatalf("%s has %d rows for %d failures: scripts/failures writes it", page, len(rows), len(all))
	}
	found := make([]string, len(all))
	for i, f := range all {
		found[i] = rows[i][4]
		ok := found[i] == f.reason
		if f.measured != "" || f.scenario != "" {
			ok = timePattern.MatchString(found[i])
		}
		if !ok {
			t.Errorf("%s: %s: %q is neither measured nor the reason why not", page, f.what, found[i])
		}
	}
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), failureTable(all, found)) {
		t.Errorf("%s has other texts than the table in failures.go: scripts/failures writes it", page)
	}
}

// TestPageHasEveryScenario: each scenario has a row on both backends, with nothing lost.
func TestPageHasEveryScenario(t *testing.T) {
	rows := sectionOf(t, "chaos")
	plan, err := plan("all", "")
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(plan) {
		t.Fatalf("%s has %d rows for %d scenarios: scripts/failures writes it", page, len(rows), len(plan))
	}
	for i, r := range plan {
		cells := rows[i]
		if len(cells) != 10 || cells[0] != r.backend || cells[1] != r.scenario.String() ||
			!timePattern.MatchString(cells[5]) || cells[6] != "0" || cells[7] != "0" || cells[9] != "0" {
			t.Errorf("%s: row %v is not that of %s on %s", page, cells, r.scenario, r.backend)
		}
	}
}

// TestFailuresAreShown: every test that a row names exists, and every row that is measured can be.
func TestFailuresAreShown(t *testing.T) {
	known := map[string]bool{}
	for _, a := range scenarios() {
		known[a.String()] = true
	}
	for _, f := range failures() {
		if f.scenario != "" && !known[f.scenario] {
			t.Errorf("%s is measured by %q, which is no scenario", f.what, f.scenario)
		}
		if f.measured == "" && f.scenario == "" && f.reason == "" {
			t.Errorf("%s has neither a time nor a reason for none", f.what)
		}
		folder, name, ok := strings.Cut(f.test, " ")
		if !ok {
			if f.reason != awsRecovers {
				t.Errorf("%s has no test", f.what)
			}
			continue
		}
		files, err := filepath.Glob(filepath.Join("../../..", folder, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			found = found || strings.Contains(string(b), "\nfunc "+name+"(t *testing.T)")
		}
		if !found {
			t.Errorf("%s is said to be shown by %s in %s, which is not there", f.what, name, folder)
		}
	}
}

// TestWritePage: all times are found and written, or nothing is.
func TestWritePage(t *testing.T) {
	rows, err := plan("all", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		r.recovered = 1500 * time.Millisecond
	}
	var logs strings.Builder
	for _, f := range failures() {
		// A line that the pattern matches: its group is a number, what else is not literal is remaining out.
		line := strings.NewReplacer(`\S*`, "", `.*`, "", `([\d.]+)`, "12.3").Replace(f.measured)
		fmt.Fprintln(&logs, line)
	}
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(copied, b, 0o600); err != nil {
		t.Fatal(err)
	}
	err = writePage(copied, rows, short, "no measurements")
	if err == nil || !strings.Contains(err.Error(), "availability zone") {
		t.Errorf("without measurements: %v", err)
	}
	if after, _ := os.ReadFile(copied); string(after) != string(b) {
		t.Error("the page was changed without measurements")
	}
	if err := writePage(copied, rows, short, logs.String()); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(copied)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| 12.3 s |", "| 1.5 s |", "| local | server after-object |", "\n## A kill at every failpoint\n",
	} {
		if !strings.Contains(string(after), want) {
			t.Errorf("the page has no %q:\n%s", want, after)
		}
	}
	for _, args := range [][]string{
		{"-docs", page, "-backend", "local"}, {"-docs", page}, {"-docs", page, "-log", "/nowhere"},
	} {
		if code := run(t.Context(), args, io.Discard, io.Discard); code != 2 {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
}
