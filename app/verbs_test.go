package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"imagery/app/cli"
	"imagery/app/deploy/iam"
	"imagery/app/deploy/settings"
)

var update = flag.Bool("update", false, "write what the program says into docs/operating.md")

// The help of the binary names every verb, and nothing that is none.
func TestVerbsAreListed(t *testing.T) {
	var names []string
	for _, v := range verbs {
		if name, _, _ := strings.Cut(v.Name, " "); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	names = append(names, "rollout") // which parses its own flags
	if !slices.Equal(names, settings.Verbs) {
		t.Errorf("the help lists %v, there are %v", settings.Verbs, names)
	}
}

// The operators' page says what the program says.
func TestOperatorsPage(t *testing.T) {
	const path = "../docs/operating.md"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	for section, want := range map[string]string{"verbs": helpTexts(), "operator": operatorTable()} {
		begin, end := "<!-- begin "+section+" -->\n", "<!-- end "+section+" -->"
		head, rest, _ := strings.Cut(page, begin)
		old, tail, ok := strings.Cut(rest, end)
		if !ok {
			t.Fatalf("%s has no section %s", path, section)
		}
		if old != want && !*update {
			t.Errorf("%s: section %s is not up to date: go test ./app -run OperatorsPage -update", path, section)
		}
		page = head + begin + want + end + tail
	}
	if *update {
		if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func helpTexts() string {
	var b strings.Builder
	for _, v := range verbs {
		var help strings.Builder
		cli.Usage(&help, []cli.Verb{v})
		text, _, _ := strings.Cut(help.String(), "\nWhere the images are")
		fmt.Fprintf(&b, "### %s\n\n```text\n%s```\n\n", v.Name, text)
	}
	b.WriteString("### rollout\n\n```text\n")
	cli.RolloutUsage(&b)
	b.WriteString("```\n")
	return b.String()
}

func operatorTable() string {
	var b strings.Builder
	b.WriteString("| Action | On | For |\n|---|---|---|\n")
	for _, c := range slices.Concat(iam.Operator, iam.Status, iam.OnCall) {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", c.Name(), c.Resource, c.Reason)
	}
	return b.String()
}
