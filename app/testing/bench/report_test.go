package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// exampleResults returns made-up results.
func exampleResults() pipelineResults {
	p := pair{sample{Elapsed: 80 * time.Millisecond, CPU: 90 * time.Millisecond, Mallocs: 12, Allocated: 1 << 20},
		sample{Elapsed: 100 * time.Millisecond, CPU: 100 * time.Millisecond}}
	row := comparison{Photo: "6 MP JPEG", Kind: baseline, FileBytes: 2 << 20, Cores: 1, Other: sharpName,
		OursBytes: 130, OtherBytes: 100, Pairs: []pair{p, p}}
	other := row
	other.Other, other.Cores = "ImageMagick", 2
	return pipelineResults{Photos: "none", Comparisons: []comparison{row, other},
		StartUp:  map[string]time.Duration{"ImageMagick": 9 * time.Millisecond},
		Versions: map[string]string{"ours": "go", sharpName: "sharp 1"}, Missing: []string{"GraphicsMagick"},
		Memory: []memory{{Photo: "6 MP JPEG", Kind: baseline, Planes: 10 << 20, FileBytes: 1 << 20, ResultBytes: 1 << 20,
			Ours: footprint{4 << 20, 18 << 20}, Sharp: footprint{60 << 20, 90 << 20}}}}
}

func TestTables(t *testing.T) {
	var b bytes.Buffer
	printPipeline(&b, exampleResults())
	for _, line := range []string{
		"| 6 MP JPEG | 2.0 MiB | 1 | 80 ms | 100 ms | **0.80** | 0.80 to 0.80 | 0.90 | 1.30 | 2 | 12, 1.0 MiB |",
		"| ImageMagick, 2 cores | 100 ms, 0.80 |",
		"ImageMagick needs a process for each photo: 9.0 ms of each of its times is the start of a process.",
		"| 6 MP JPEG | 18.0 MiB | 4.0 MiB | 90.0 MiB | 60.0 MiB | 1.20 |",
		"- not measured, because it is not installed: GraphicsMagick",
	} {
		if !slices.Contains(strings.Split(b.String(), "\n"), line) {
			t.Errorf("no line %q in\n%s", line, b.String())
		}
	}
	var columns int
	for line := range strings.Lines(b.String()) { // Markdown shows no table with a cell too many
		n := strings.Count(line, "|")
		if columns != 0 && n != 0 && n != columns {
			t.Errorf("%d cells instead of %d: %s", n-1, columns-1, line)
		}
		columns = n
	}
}

func TestPublish(t *testing.T) {
	dir := t.TempDir()
	document, raw := filepath.Join(dir, "speed.md"), filepath.Join(dir, "deep", "raw.json")
	const before, after = "before\n<!-- begin pipeline -->\n", "\n<!-- end pipeline -->\nafter\n"
	if err := os.WriteFile(document, []byte(before+"old"+after), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second run changes nothing
		if err := publish(document, "pipeline", []byte("new\n"), exampleResults(), raw); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(document); string(got) != before+"new"+after {
			t.Errorf("the document is %q", got)
		}
	}
	data, err := os.ReadFile(raw)
	var back pipelineResults
	if err != nil || json.Unmarshal(data, &back) != nil || len(back.Comparisons) != 2 ||
		back.Comparisons[0].Pairs[1].Ours.Elapsed != 80*time.Millisecond {
		t.Errorf("the raw numbers: %v\n%s", err, data)
	}
	err = publish(document, "service", []byte("new\n"), nil, raw)
	if err == nil || !strings.Contains(err.Error(), `"service"`) {
		t.Errorf("a section that is not there: %v", err)
	}
}

// TestSpeedDocument: the command finds its sections in the document that it writes by default.
func TestSpeedDocument(t *testing.T) {
	data, err := os.ReadFile("../../../docs/speed.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, section := range []string{"pipeline", "service"} {
		if _, err := replaceSection(data, section, nil); err != nil {
			t.Error(err)
		}
	}
}

func TestCommandLine(t *testing.T) {
	for line, want := range map[string]options{
		"":                        {out: "docs/speed.md"},
		"pipeline -photos a":      {photos: "a", out: "docs/speed.md"},
		"--quick service":         {service: true, quick: true},
		"service --quick":         {service: true, quick: true},
		"pipeline --out=x":        {out: "x"},
		"service --out= --photos": {},
		"speed":                   {},
		"service now":             {},
		"--fast":                  {},
	} {
		got, err := parse(strings.Fields(line), io.Discard)
		if bad := want == (options{}); (err != nil) != bad || !bad && got != want {
			t.Errorf("%q: %+v, %v", line, got, err)
		}
	}
	if code := run(context.Background(), []string{"speed"}, io.Discard, io.Discard); code != 2 {
		t.Errorf("exit code %d", code)
	}
	if code := run(context.Background(), []string{"-h"}, io.Discard, io.Discard); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestParseCores(t *testing.T) {
	for list, want := range map[string][]int{"0": {0}, "0-1": {0, 1}, "1,4-6": {1, 4, 5, 6}} {
		if got, err := parseCores(list); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v", list, got, err)
		}
	}
	if _, err := parseCores(""); err == nil {
		t.Error("no list is no error")
	}
	if m := thisMachine(t.Context()); m.Cores < 1 || m.Date == "" || m.Go == "" {
		t.Errorf("%+v", m)
	}
}
