package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagery/infra/deployer"
	"imagery/infra/network"
	"imagery/infra/policy"
)

// documents may contain generated sections between "<!-- begin NAME -->" and "<!-- end NAME -->". The test compares
// them, or writes them with -update.
var documents = []string{"docs/aws.md", "README.md"}

var sections = map[string]func(t *testing.T) string{
	"keys":     keyTable,
	"changes":  changeTable,
	"outputs":  outputTable,
	"cost":     costTable,
	"policies": policyBlocks,
}

func TestGeneratedSectionsAreUpToDate(t *testing.T) {
	found := map[string]bool{}
	for _, name := range documents {
		path := filepath.Join("..", name)
		b, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		for section, write := range sections {
			begin, end := "<!-- begin "+section+" -->\n", "<!-- end "+section+" -->"
			head, rest, ok := strings.Cut(text, begin)
			if !ok {
				continue
			}
			found[section] = true
			old, tail, _ := strings.Cut(rest, end)
			if want := write(t); old != want && !*update {
				t.Errorf("%s: section %s is not up to date (go test ./infra -update):\n%s", name, section, lineDiff(old, want))
			} else {
				text = head + begin + want + end + tail
			}
		}
		if *update {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for section := range sections {
		if !found[section] {
			t.Errorf("no document has a section %s", section)
		}
	}
}

func keyTable(*testing.T) string {
	var b strings.Builder
	b.WriteString("| Key | Value | Default | What it does |\n|---|---|---|---|\n")
	for _, k := range keys {
		def := k.dev
		if k.prod != k.dev {
			def = "dev " + k.dev + ", prod " + k.prod
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.name, k.kind, def, k.doc)
	}
	return b.String()
}

func outputTable(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| Output | |\n|---|---|\n")
	outputs, _ := published(t, "dev")
	for _, o := range outputs {
		fmt.Fprintf(&b, "| `%s` | %s |\n", o.name, o.doc)
	}
	return b.String()
}

// costTable renders the cost of each egress mode.
func costTable(t *testing.T) string {
	var b strings.Builder
	fmt.Fprintf(&b, "US dollars a month at the smallest size, list prices of %s in %s, two zones; the preview prints "+
		"yours.\n\n", priceRegion, priceDate)
	b.WriteString("| | endpoints | nat | natPerAz | public |\n|---|---|---|---|---|\n")
	for _, preset := range []string{Dev, Prod} {
		b.WriteString("| " + preset)
		for _, mode := range network.Modes {
			c, _, err := load(t, "x1", map[string]string{"profile": preset, "egress": string(mode)})
			if err != nil {
				t.Fatal(err)
			}
			mark := ""
			if d, _, _ := load(t, "x1", map[string]string{"profile": preset}); d.Egress == mode {
				mark = " (default)"
			}
			fmt.Fprintf(&b, " | %.0f%s", estimate(c).total, mark)
		}
		b.WriteString(" |\n")
	}
	return b.String()
}

func policyBlocks(*testing.T) string {
	unscoped, scoped := deployer.Policies("")
	limited := deployer.Conditional("arn:aws:iam::111122223333:policy/imagery-boundary")
	return block(unscoped) + block(scoped) + `
Both come from ` + "`go run ./infra policies`" + `.

A deployer who can make roles and write their policies can do anything that such a role can. Where that is too much:

1. Make a policy of what ` + "`go run ./infra policies -for-boundary`" + ` prints.
2. Set ` + "`imagery:permissionsBoundary`" + ` to its ARN and run one ` + "`up`" + `, so that roles which exist have it.
3. Give deployers what ` + "`go run ./infra policies -boundary ARN`" + ` prints.

Deployers can then make roles, and give them rights, only with this boundary, and can neither change it nor take it off.
A release that needs a new right needs it in the boundary first. The statement that makes the difference:

` + block(policy.JSON(limited[len(limited)-1]))
}

// block renders a policy as a code block.
func block(p string) string { return "```json\n" + indented(p) + "\n```\n" }
