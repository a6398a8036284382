package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// printPipeline writes the tables of the pipeline in Markdown.
func printPipeline(w io.Writer, f pipelineResults) {
	fmt.Fprintf(w, "Measured on %s. Photos: %s.\n- ours: %s\n", f.machine, f.photos, f.versions["ours"])
	var names []string
	for _, c := range f.comparisons {
		if !slices.Contains(names, c.other) {
			names = append(names, c.other)
			fmt.Fprintf(w, "- %s: %s\n", c.other, f.versions[c.other])
		}
	}
	for _, n := range f.missing {
		fmt.Fprintf(w, "- not measured, because it is not installed: %s\n", n)
	}
	for _, n := range f.failed {
		fmt.Fprintf(w, "- FAILED: %s\n", n)
	}
	printSharp(w, f)
	printOthers(w, f)
	printPrices(w, f)
	printFidelity(w, f)
	printMemory(w, f)
}

// printMemory writes the peak memory of the filter and of sharp.
func printMemory(w io.Writer, f pipelineResults) {
	fmt.Fprint(w, "\n| photo | ours, peak | of it idle | of it file and result | of it the filter | sharp, peak "+
		"| of it idle |\n|---|--:|--:|--:|--:|--:|--:|\n")
	for _, m := range f.memory {
		fmt.Fprintf(w, "| %s | %s | %s | %s | **%s** | %s | %s |\n", m.photo.name, mib(m.ours.peak), mib(m.ours.idle),
			mib(m.files()), mib(m.filter()), mib(m.sharp.peak), mib(m.sharp.idle))
	}
}

// printSharp writes the comparison with sharp, which the goal for speed refers to.
func printSharp(w io.Writer, f pipelineResults) {
	fmt.Fprint(w, "\n| photo | file | cores | ours | sharp | ours / sharp | quartiles | CPU, ours / sharp "+
		"| size, other pixels | pairs | allocations |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, c := range f.comparisons {
		if c.other != sharpName {
			continue
		}
		r := ratio(c.pairs, elapsed)
		fmt.Fprintf(w, "| %s | %s | %d | %s | %s | **%.2f** | %.2f to %.2f | %.2f | %.2f | %d | %.0f, %s |\n",
			c.photo.name, mib(int64(len(c.photo.raw))), c.cores,
			c.ourTime(), c.otherTime(),
			r.Mid, r.Low, r.High, ratio(c.pairs, cpu).Mid, float64(c.sizes[0])/float64(c.sizes[1]), len(c.pairs),
			median(c.pairs, func(p pair) float64 { return float64(p.Ours.Mallocs) }),
			mib(int64(median(c.pairs, func(p pair) float64 { return float64(p.Ours.Allocated) }))))
	}
}

// ourTime returns the median time of the filter.
func (c comparison) ourTime() string { return millis(median(c.pairs, ourElapsed)) }

// otherTime returns the median time of the other program.
func (c comparison) otherTime() string { return millis(median(c.pairs, otherElapsed)) }

func ourElapsed(p pair) float64   { return float64(p.Ours.Elapsed) }
func otherElapsed(p pair) float64 { return float64(p.Other.Elapsed) }

// printOthers writes one line for each other program and a column for each photo.
func printOthers(w io.Writer, f pipelineResults) {
	var photos []string
	var lines []string // each other program, then its cells
	last := ""
	for _, c := range f.comparisons {
		if c.other == sharpName {
			continue
		}
		if !slices.Contains(photos, c.photo.name) {
			photos = append(photos, c.photo.name)
		}
		if other := fmt.Sprintf("\n| %s, %s |", c.other, countCores(c.cores)); other != last {
			lines, last = append(lines, other), other
		}
		lines = append(lines, fmt.Sprintf(" %s, %.2f |", c.otherTime(), ratio(c.pairs, elapsed).Mid))
	}
	fmt.Fprintf(w, "\nTheir time, and ours / theirs:\n\n| | %s |\n|---|%s%s\n",
		strings.Join(photos, " | "), strings.Repeat("--:|", len(photos)), strings.Join(lines, ""))
	if f.startUp > 0 {
		fmt.Fprintf(w, "\n%s needs a process for each photo: %s of each of its times is the start of a process.\n",
			imageMagick, millis(f.startUp))
	}
}

func countCores(n int) string {
	if n == 1 {
		return "one core"
	}
	return fmt.Sprintf("%d cores", n)
}

func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

// millis formats a number of nanoseconds.
func millis[T time.Duration | float64](ns T) string {
	ms := float64(ns) / float64(time.Millisecond)
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
