package imagery

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The diagram has exactly the states and arrows of transitions.
func TestDiagramMatchesTransitions(t *testing.T) {
	const path = "../../docs/architecture.md"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, diagram, ok := strings.Cut(string(b), "```mermaid\nstateDiagram-v2\n")
	diagram, _, closed := strings.Cut(diagram, "```")
	if !ok || !closed {
		t.Fatalf("%s has no state diagram", path)
	}
	drawn := map[State][]State{Processed: {}} // a final state has no line of its own
	for _, m := range regexp.MustCompile(`(?m)^\s*(\S+) --> (\w+)`).FindAllStringSubmatch(diagram, -1) {
		if from, to := State(m[1]), State(m[2]); from != "[*]" {
			drawn[from] = append(drawn[from], to)
		} else if to != Created {
			t.Errorf("an image starts as %s, the diagram starts with %s", Created, to)
		}
	}
	if !maps.EqualFunc(drawn, transitions, slices.Equal) {
		t.Errorf("%s draws %v, the table is %v", path, drawn, transitions)
	}
}
