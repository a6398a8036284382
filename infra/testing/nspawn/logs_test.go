package nspawn

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Each whole line is read once, also of a log that was truncated.
func TestLogs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	l := (&Host{}).Logs()
	for _, c := range []struct {
		text string
		want []string
	}{
		{"a\nb\nc", []string{"a\n", "b\n"}},
		{"a\nb\ncc\n", []string{"cc\n"}},
		{"a\nb\ncc\n", nil},
		{"d\n", []string{"d\n"}},
		{"", nil},
		{"e\n", []string{"e\n"}},
	} {
		if err := os.WriteFile(file, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		var got []string
		if l.read("m", file, func(line []byte) { got = append(got, string(line)) }); !slices.Equal(got, c.want) {
			t.Errorf("after %q: %q, want %q", c.text, got, c.want)
		}
	}
	l.read("m", filepath.Join(t.TempDir(), "none"), func([]byte) { t.Error("a log that does not exist has a line") })
}
