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
)

var update = flag.Bool("update", false, "write the help texts of the binary into docs/operating.md")

// TestOperatorsPage compares the generated sections of docs/operating.md with the binary.
func TestOperatorsPage(t *testing.T) {
	const path = "../docs/operating.md"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	for section, want := range map[string]string{"commands": helpTexts(t), "operator": operatorTable()} {
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

// helpTexts returns the help of all commands, each without the part that is the same for all.
func helpTexts(t *testing.T) string {
	var b strings.Builder
	for _, name := range append(cli.Names(), "selftest", "version") {
		var help strings.Builder
		app := cli.App{Console: cli.Console{Out: &help}, Extra: extraCommands}
		if err := app.Run(t.Context(), append(strings.Fields(name), "--help")); err != nil {
			t.Fatal(err)
		}
		text, _, _ := strings.Cut(help.String(), "\nFlags that say where")
		text, _, _ = strings.Cut(text, "\nExit codes")
		fmt.Fprintf(&b, "### %s\n\n```text\n%s```\n\n", name, text)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func operatorTable() string {
	var b strings.Builder
	b.WriteString("| Action | On | For |\n|---|---|---|\n")
	for _, c := range slices.Concat(iam.Operator, iam.Status, iam.OnCall) {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", c.Name(), c.Resource, c.Reason)
	}
	return b.String()
}
