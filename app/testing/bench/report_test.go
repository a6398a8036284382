package main

import (
	"bytes"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// exampleResults returns made-up results.
func exampleResults() pipelineResults {
	p := pair{sample{Elapsed: 80 * time.Millisecond, CPU: 90 * time.Millisecond, Mallocs: 12, Allocated: 1 << 20},
		sample{Elapsed: 100 * time.Millisecond, CPU: 100 * time.Millisecond}}
	jpeg := photo{name: "6 MP JPEG", kind: baseline, width: 3000, height: 2000, raw: make([]byte, 2<<20)}
	row := comparison{photo: jpeg, cores: 1, other: sharpName, sizes: [2]int{130, 100}, pairs: []pair{p, p}}
	other, slow := row, row
	other.other, other.cores = imageMagick, 2
	slow.other, slow.photo.name = imageMagick, "24 MP JPEG"
	slow.cores = 2
	png := photo{name: "6 MP PNG", kind: lossless}
	return pipelineResults{photos: "none", comparisons: []comparison{row, other, slow}, startUp: 9 * time.Millisecond,
		versions: map[string]string{"ours": "go", sharpName: "sharp 1"}, missing: []string{"GraphicsMagick"},
		failed: []string{"6 MP WebP, one core, sharp: broken"},
		fidelities: []fidelity{{jpeg, [2]int{1 << 20, 2 << 20}, [2]float64{40, 40.125}},
			{png, [2]int{1 << 20, 1 << 20}, [2]float64{math.Inf(1), math.Inf(1)}}},
		memory: []memory{{photo: jpeg, result: 1 << 20, ours: footprint{4 << 20, 20 << 20},
			sharp: footprint{60 << 20, 90 << 20}}}}
}

func TestTables(t *testing.T) {
	var b bytes.Buffer
	printPipeline(&b, exampleResults())
	for _, line := range []string{
		"| 6 MP JPEG | 2.0 MiB | 1 | 80 ms | 100 ms | **0.80** | 0.80 to 0.80 | 0.90 | 1.30 | 2 | 12, 1.0 MiB |",
		"| | 6 MP JPEG | 24 MP JPEG |",
		"| ImageMagick, 2 cores | 100 ms, 0.80 | 100 ms, 0.80 |",
		"ImageMagick needs a process for each photo: 9.0 ms of each of its times is the start of a process.",
		"| 6 MP JPEG | 20.0 MiB | 4.0 MiB | 3.0 MiB | **13.0 MiB** | 90.0 MiB | 60.0 MiB |",
		"- not measured, because it is not installed: GraphicsMagick",
		"- FAILED: 6 MP WebP, one core, sharp: broken",
		"| 6 MP JPEG | **45,000** | 36,000 | **0.90** | 1.12 | 0.81 | 1.01 |",
		"| 6 MP JPEG | 1.0 MiB | 2.0 MiB | **0.50** | 40.00 | 40.12 | -0.12 |",
		"| 6 MP PNG | 1.0 MiB | 1.0 MiB | **1.00** |  |  | lossless |",
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

func TestReplaceSection(t *testing.T) {
	const before, after = "before\n<!-- begin pipeline -->\n", "\n<!-- end pipeline -->\nafter\n"
	document := []byte(before + "old" + after)
	var err error
	for range 2 { // the second time changes nothing
		document, err = replaceSection(document, "pipeline", []byte("new\n"))
		if err != nil || string(document) != before+"new"+after {
			t.Errorf("the document is %q, %v", document, err)
		}
	}
	if _, err = replaceSection(document, "service", nil); err == nil || !strings.Contains(err.Error(), `"service"`) {
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
	pipeline, service := []string{"pipeline"}, []string{"service"}
	for line, want := range map[string]options{
		"":                        {sections: []string{"pipeline", "service"}, out: "docs/speed.md"},
		"pipeline --photos a":     {sections: pipeline, photos: "a", out: "docs/speed.md"},
		"--quick service":         {sections: service, quick: true},
		"service --quick":         {sections: service, quick: true},
		"pipeline --out=x":        {sections: pipeline, out: "x"},
		"service --out= --photos": {},
		"speed":                   {},
		"service now":             {},
		"--fast":                  {},
	} {
		got, err := parse(strings.Fields(line))
		if bad := want.sections == nil; (err != nil) != bad || !bad && !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v", line, got, err)
		}
	}
}

// TestEstimate: the whole run takes about 20 minutes on two cores, a trial little more than one.
func TestEstimate(t *testing.T) {
	competitors := len(tools{}.competitors())
	if whole := thorough.estimate(competitors, 2) + thoroughService.estimate(); whole > 21*time.Minute {
		t.Errorf("the whole run takes %s", whole)
	}
	if trial := quick.estimate(competitors, 2) + quickService.estimate(); trial > 100*time.Second {
		t.Errorf("a trial takes %s", trial)
	}
}
