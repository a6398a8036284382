package rollout

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// numbered returns n lines.
func numbered(text string, n int) (lines []string) {
	for i := range n {
		lines = append(lines, fmt.Sprintf("%s %d", text, i+1))
	}
	return lines
}

// TestLastLines: an operator reads why a boot failed, not how the instance shut down.
func TestLastLines(t *testing.T) {
	kernel, shutdown := numbered("kernel", 30), numbered("Stopped", 40)
	for name, c := range map[string]struct {
		console, want []string
	}{
		"empty":                   {nil, nil},
		"few lines":               {kernel[:3], kernel[:3]},
		"no boot script":          {kernel, kernel[10:]},
		"escapes and empty lines": {[]string{"\x1b[0mone\r", "", "  two"}, []string{"one", "two"}},
		"the boot failed": {
			slices.Concat(kernel, []string{"imagery boot: install (after 3 s)", "denied", bootFailed + ": install"}, shutdown),
			slices.Concat(kernel[13:], []string{"imagery boot: install (after 3 s)", "denied", bootFailed + ": install"})},
		"the boot was ended": {
			slices.Concat(kernel, []string{"imagery boot: install (after 3 s)", "denied"}, shutdown),
			slices.Concat([]string{"imagery boot: install (after 3 s)", "denied"}, shutdown[:8], []string{"..."},
				shutdown[31:])},
		"the boot goes on": {
			slices.Concat(kernel, []string{"vm login: imagery boot: install (after 3 s)", "denied"}),
			slices.Concat(kernel[12:], []string{"vm login: imagery boot: install (after 3 s)", "denied"})},
	} {
		if got := lastLines(strings.Join(c.console, "\n")); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
