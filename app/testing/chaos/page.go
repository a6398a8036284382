package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// readLogs reads the other measurements for the page. It is called first, so that a missing file ends the run at once.
func readLogs(path, backend, point string) (string, error) {
	if backend != "all" || point != "" {
		return "", errors.New("-docs needs every row: leave out -backend and -point")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("-docs needs -log with the other measurements, run scripts/failures: %w", err)
	}
	return string(b), nil
}

// writePage replaces the tables of a page. Times differ from run to run, so they are written by hand only, never by a
// test.
func writePage(path string, rows []*row, s size, logs string) error {
	all := failures()
	found, err := times(all, rows, logs)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var chaos bytes.Buffer
	printTable(&chaos, rows)
	page := string(b)
	for _, section := range []struct{ name, text string }{
		{"measured", measuredLine(s)}, {"failures", failureTable(all, found)}, {"chaos", chaos.String()},
	} {
		if page, err = replaceSection(page, section.name, section.text); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return os.WriteFile(path, []byte(page), 0o644)
}

// measuredLine returns the sentence that describes the machine and the timeouts.
func measuredLine(s size) string {
	return fmt.Sprintf("Measured on %s, %s on %s, %d cores. In the second table a message stays hidden for %s and a lost "+
		"hint is sent again after %s.\n", time.Now().Format(time.DateOnly), runtime.GOOS, runtime.GOARCH,
		runtime.NumCPU(), s.visibility, s.resend)
}

// replaceSection replaces the text between the begin and end comments of a section.
func replaceSection(page, name, text string) (string, error) {
	begin, end := "<!-- begin "+name+" -->\n", "<!-- end "+name+" -->"
	head, rest, ok := strings.Cut(page, begin)
	_, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return "", fmt.Errorf("no section %s", name)
	}
	return head + begin + text + end + tail, nil
}
