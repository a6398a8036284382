package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// printPipeline writes the tables of the pipeline in Markdown.
func printPipeline(w io.Writer, f pipelineResults) {
	fmt.Fprintf(w, "Measured on %s. Photos: %s.\n", f.Machine, f.Photos)
	names := []string{"ours"}
	for _, c := range f.Comparisons {
		if !slices.Contains(names, c.Other) {
			names = append(names, c.Other)
		}
	}
	for _, n := range names {
		fmt.Fprintf(w, "- %s: %s\n", n, f.Versions[n])
	}
	for _, n := range f.Missing {
		fmt.Fprintf(w, "- not measured, because it is not installed: %s\n", n)
	}
	printSharp(w, f)
	printOthers(w, f)
	printMemory(w, f)
}

// printSharp writes the comparison with sharp, which the goal for speed refers to.
func printSharp(w io.Writer, f pipelineResults) {
	fmt.Fprintln(w, "\n| photo | file | cores | ours | sharp | ours / sharp | quartiles | CPU, ours / sharp "+
		"| size of the result | pairs | allocations |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, c := range f.Comparisons {
		if c.Other != sharpName {
			continue
		}
		r := ratio(c.Pairs, elapsed)
		fmt.Fprintf(w, "| %s | %s | %d | %s | %s | **%.2f** | %.2f to %.2f | %.2f | %.2f | %d | %.0f, %s |\n",
			c.Photo, mib(int64(c.FileBytes)), c.Cores,
			c.side(func(p pair) sample { return p.Ours }), c.side(func(p pair) sample { return p.Other }), r.Mid, r.Low, r.High,
			ratio(c.Pairs, cpu).Mid, float64(c.OursBytes)/float64(c.OtherBytes), len(c.Pairs),
			median(c.Pairs, func(p pair) float64 { return float64(p.Ours.Mallocs) }),
			mib(int64(median(c.Pairs, func(p pair) float64 { return float64(p.Ours.Allocated) }))))
	}
}

// side returns the median time of one side.
func (c comparison) side(of func(pair) sample) string {
	return millis(time.Duration(median(c.Pairs, func(p pair) float64 { return float64(of(p).Elapsed) })))
}

// printOthers writes one line for each other program and a column for each photo.
func printOthers(w io.Writer, f pipelineResults) {
	var photos, others []string
	cells := map[string]string{}
	for _, c := range f.Comparisons {
		if c.Other == sharpName {
			continue
		}
		photo, other := c.Photo, fmt.Sprintf("%s, %s", c.Other, countCores(c.Cores))
		if !slices.Contains(photos, photo) {
			photos = append(photos, photo)
		}
		if !slices.Contains(others, other) {
			others = append(others, other)
		}
		cells[photo+other] = fmt.Sprintf("%s, %.2f", c.side(func(p pair) sample { return p.Other }),
			ratio(c.Pairs, elapsed).Mid)
	}
	if len(others) == 0 {
		return
	}
	fmt.Fprintf(w, "\nTheir time, and ours / theirs:\n\n| | %s |\n|---|%s\n",
		strings.Join(photos, " | "), strings.Repeat("--:|", len(photos)))
	for _, o := range others {
		fmt.Fprintf(w, "| %s |", o)
		for _, p := range photos {
			fmt.Fprintf(w, " %s |", cells[p+o])
		}
		fmt.Fprintln(w)
	}
	for _, name := range slices.Sorted(maps.Keys(f.StartUp)) {
		fmt.Fprintf(w, "\n%s needs a process for each photo: %s of each of its times is the start of a process.\n",
			name, millis(f.StartUp[name]))
	}
}

func countCores(n int) string {
	if n == 1 {
		return "one core"
	}
	return fmt.Sprintf("%d cores", n)
}

// printMemory compares the peak memory of new processes.
func printMemory(w io.Writer, f pipelineResults) {
	fmt.Fprintln(w, "\n| photo | ours, peak | of it idle | sharp, peak | of it idle | ours / decoded planes |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|")
	for _, m := range f.Memory {
		planes := ""
		if m.Kind == baseline {
			planes = fmt.Sprintf("%.2f", m.grown())
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s |\n", m.Photo, mib(m.Ours.Peak), mib(m.Ours.Idle),
			mib(m.Sharp.Peak), mib(m.Sharp.Idle), planes)
	}
}

func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

func millis(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	if ms < 10 {
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}

// replaceSection replaces the text between the markers of a section of a Markdown document.
func replaceSection(document []byte, section string, text []byte) ([]byte, error) {
	begin, end := []byte("<!-- begin "+section+" -->\n"), []byte("<!-- end "+section+" -->")
	head, rest, found := bytes.Cut(document, begin)
	_, tail, closed := bytes.Cut(rest, end)
	if !found || !closed {
		return nil, fmt.Errorf("the document has no section %q between markers", section)
	}
	return slices.Concat(head, begin, bytes.TrimRight(text, "\n"), []byte("\n"), end, tail), nil
}

// publish writes the section of a document, and all raw numbers to a file.
func publish(document, section string, text []byte, raw any, rawFile string) error {
	data, err := json.MarshalIndent(raw, "", " ")
	if err != nil {
		return fmt.Errorf("write the raw numbers: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(rawFile), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(rawFile, data, 0o644); err != nil {
		return err
	}
	if document == "" {
		return nil
	}
	old, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	updated, err := replaceSection(old, section, text)
	if err != nil {
		return fmt.Errorf("%s: %w", document, err)
	}
	return os.WriteFile(document, updated, 0o644)
}
