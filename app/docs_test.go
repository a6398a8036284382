package main

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"imagery/app/deploy/iam"
)

// root is the checkout, seen from here.
const root = ".."

// document is one page of the documentation.
type document struct {
	name   string // from the root of the checkout
	text   string
	blocks []block // fenced ones
	prose  string  // the text without them
}

// block is a fenced part of a page, and the comment right before it.
type block struct {
	at, language, text string
	notRun             bool   // it needs what a fresh clone does not have
	runs               string // a service that goes on until the page ends, ready when this URL answers 200
}

var (
	fence = regexp.MustCompile("(?ms)(?:^<!-- (not run|runs): ([^\n]*) -->\n)?^```([a-z]*)\n(.*?)^```$")
	// code is inline code.
	code = regexp.MustCompile("`([^`\n]+)`")
	// decided is a decision with all its parts.
	decided = regexp.MustCompile(`(?s)\n\*\*Context\.\*\* .*\n\*\*Decision\.\*\* .*\n\*\*Consequences\.\*\* `)
)

// documents are README.md, the guides under .github, and every page under docs.
func documents(t *testing.T) (all []document) {
	t.Helper()
	names := []string{"README.md", ".github/CONTRIBUTING.md", ".github/SECURITY.md"}
	err := fs.WalkDir(os.DirFS(root), "docs", func(name string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(name, ".md") {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		d := document{name: name, text: string(b)}
		d.prose = fence.ReplaceAllStringFunc(d.text, func(string) string { return "" })
		for i, m := range fence.FindAllStringSubmatch(d.text, -1) {
			b := block{at: fmt.Sprintf("%s, block %d", name, i+1), language: m[3], text: m[4], notRun: m[1] == "not run"}
			if m[1] == "runs" {
				b.runs = m[2]
			}
			d.blocks = append(d.blocks, b)
		}
		all = append(all, d)
	}
	return all
}

// mostNotRun limits the blocks that no test runs: each needs AWS, or runs this test.
const mostNotRun = 5

// TestFences: a block is run, or is marked as one that cannot be, or is no command.
func TestFences(t *testing.T) {
	notRun := 0
	for _, d := range documents(t) {
		if n := strings.Count("\n"+d.text, "\n```"); n != 2*len(d.blocks) {
			t.Errorf("%s: %d fences make %d blocks", d.name, n, len(d.blocks))
		}
		for _, b := range d.blocks {
			if !slices.Contains([]string{"sh", "text", "json", "mermaid"}, b.language) {
				t.Errorf("%s is %q, which is neither run (sh) nor known to be no command", b.at, b.language)
			}
			if b.notRun {
				notRun++
				t.Logf("not run: %s: %s", b.at, strings.Join(strings.Split(strings.TrimSpace(b.text), "\n"), "; "))
			}
		}
	}
	if notRun > mostNotRun {
		t.Errorf("%d blocks are not run, at most %d may be", notRun, mostNotRun)
	}
}

// anchor is the name that GitHub gives to a heading.
func anchor(heading string) string {
	heading = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(heading, "$1")
	heading = strings.ToLower(strings.TrimSpace(strings.ReplaceAll(heading, "`", "")))
	heading = regexp.MustCompile(`[^\p{L}\p{N}\-_ ]`).ReplaceAllString(heading, "")
	return strings.ReplaceAll(heading, " ", "-")
}

// anchors are the names of all headings of a page; equal ones are numbered.
func anchors(d document) map[string]bool {
	found, times := map[string]bool{}, map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(d.prose, -1) {
		a := anchor(m[1])
		if n := times[a]; n > 0 {
			found[fmt.Sprintf("%s-%d", a, n)] = true
		} else {
			found[a] = true
		}
		times[a]++
	}
	return found
}

// TestLinks: what a page points at is there, in this checkout and as a heading of the page.
func TestLinks(t *testing.T) {
	all := documents(t)
	pages := map[string]map[string]bool{}
	for _, d := range all {
		pages[d.name] = anchors(d)
	}
	linked := map[string]bool{"README.md": true}
	for _, d := range all {
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(code.ReplaceAllString(d.prose, ""),
			-1) {
			if regexp.MustCompile(`^[a-z]+:`).MatchString(m[1]) {
				continue // elsewhere
			}
			name, at, hasAnchor := strings.Cut(m[1], "#")
			target := d.name
			if name != "" {
				target = path.Join(path.Dir(d.name), name)
			}
			if info, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s points at %s, which is not there", d.name, m[1])
			} else if info.IsDir() {
				target = path.Join(target, "README.md")
			}
			if hasAnchor && !pages[target][at] {
				t.Errorf("%s points at %s, which has no such heading", d.name, m[1])
			}
			linked[target] = linked[target] || target != d.name
		}
	}
	for _, d := range all {
		if !linked[d.name] {
			t.Errorf("no page points at %s", d.name)
		}
	}
}

// TestNamesInPages: folders, files and tests that pages name exist, and nothing is named by its line.
func TestNamesInPages(t *testing.T) {
	tests := declared(t, root)
	for _, d := range documents(t) {
		if m := regexp.MustCompile(`\.(go|sh):\d+`).FindString(d.text); m != "" {
			t.Errorf("%s names a line (%s): lines move, names stay", d.name, m)
		}
		for _, m := range code.FindAllStringSubmatch(d.prose, -1) {
			if regexp.MustCompile(`^(app|infra|scripts|docs)(/[\w.-]+)+/?$`).MatchString(m[1]) {
				if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
					t.Errorf("%s names %s, which is not there", d.name, m[1])
				}
			}
			if regexp.MustCompile(`^(Test|Benchmark|Fuzz)[A-Z]\w+$`).MatchString(m[1]) && !slices.Contains(tests, m[1]) {
				t.Errorf("%s names the test %s, which is not there", d.name, m[1])
			}
		}
	}
}

// declared lists the tests, benchmarks and fuzz targets under a folder.
func declared(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		b, err := os.ReadFile(name)
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz)\w+)\(`).FindAllStringSubmatch(
			string(b), -1) {
			names = append(names, m[1])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestDecisions: each has a number, what led to it, what it is and what it costs, and stands in the list.
func TestDecisions(t *testing.T) {
	const index = "docs/decisions/README.md"
	list, err := os.ReadFile(filepath.Join(root, index))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, d := range documents(t) {
		if path.Dir(d.name) == path.Dir(index) && d.name != index {
			n++
			title, _, _ := strings.Cut(strings.TrimPrefix(d.text, "# "), "\n")
			if !strings.HasPrefix(path.Base(d.name), fmt.Sprintf("%04d-", n)) ||
				!strings.HasPrefix(title, fmt.Sprintf("%d. ", n)) {
				t.Errorf("%s, %q, is not number %d", d.name, title, n)
			}
			_, title, _ = strings.Cut(title, ". ")
			if !strings.Contains(string(list), fmt.Sprintf("\n| %d | [%s](%s) |\n", n, title, path.Base(d.name))) {
				t.Errorf("%s is not in the list", d.name)
			}
			if !decided.MatchString(d.text) {
				t.Errorf("%s is not context, decision, consequences", d.name)
			}
		}
	}
	if n == 0 {
		t.Error("there are no decisions")
	}
}

// TestStackDiagram: the arrows from both roles are the resources that they may call.
func TestStackDiagram(t *testing.T) {
	drawn := map[string]map[string]bool{"server": {}, "worker": {}}
	for _, d := range documents(t) {
		for _, b := range d.blocks {
			if b.language == "mermaid" && strings.HasPrefix(b.text, "flowchart") {
				for _, m := range regexp.MustCompile(`(?m)^\s*(server|worker) -->(?:\|[^|]*\|)? ([\w-]+)$`).FindAllStringSubmatch(
					b.text, -1) {
					drawn[m[1]][m[2]] = true
				}
			}
		}
	}
	for role, calls := range map[string][]iam.Action{"server": iam.Server, "worker": iam.Worker} {
		may := map[string]bool{}
		for _, c := range calls {
			resource, _, _ := strings.Cut(string(c.Resource), "/")
			may[resource] = true
		}
		if !maps.Equal(may, drawn[role]) {
			t.Errorf("the %s may call %v, the diagram has arrows to %v", role, may, drawn[role])
		}
	}
}

// TestPriceInReadme: the price that people read first is that of the table that is computed.
func TestPriceInReadme(t *testing.T) {
	var said, computed string
	for _, d := range documents(t) {
		switch d.name {
		case "README.md":
			said = regexp.MustCompile(`about (\d+) dollars a\s+month`).FindString(d.text)
		case "docs/aws.md":
			if m := regexp.MustCompile(`(?m)^\| dev .*?(\d+) \(default\)`).FindStringSubmatch(d.text); m != nil {
				computed = m[1]
			}
		}
	}
	if computed == "" || !strings.Contains(said, " "+computed+" ") {
		t.Errorf("README.md says %q, docs/aws.md %q", said, computed)
	}
}
