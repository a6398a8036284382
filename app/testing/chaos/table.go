package main

import (
	"fmt"
	"io"
	"time"
)

// outcome is a row in one line, for progress.
func (r *row) outcome() string {
	if len(r.problems) > 0 {
		return fmt.Sprintf("%d problems", len(r.problems))
	}
	return fmt.Sprintf("recovered in %s", seconds(r.recovered))
}

// printTable prints the rows in Markdown.
func printTable(w io.Writer, rows []*row) {
	fmt.Fprintf(w, "| backend | point | what died | accepted in the %s around it | in flight | recovered in | lost | duplicated | orphans | after the sweep |\n", around)
	fmt.Fprintln(w, "|---|---|---|--:|--:|--:|--:|--:|--:|--:|")
	for _, r := range rows {
		fmt.Fprintf(w, "| %s | %s | %s | %d | %d | %s | %d | %d | %d | %d |\n", r.backend, r.attack, r.died,
			r.near, r.inFlight, seconds(r.recovered), r.lost, r.doubled, r.orphans, r.left)
	}
}

// printProblems lists what is wrong and returns in how many rows something is.
func printProblems(w io.Writer, rows []*row) (broken int) {
	for _, r := range rows {
		if len(r.problems) == 0 {
			continue
		}
		broken++
		fmt.Fprintf(w, "\n%s, %s:\n", r.backend, r.attack)
		for _, p := range r.problems {
			fmt.Fprintf(w, "- %v\n", p)
		}
	}
	return broken
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
