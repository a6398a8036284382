package main

import (
	"fmt"
	"io"
	"time"
)

// outcome summarizes a row in one line, for the progress output.
func (r *row) outcome() string {
	if len(r.problems) > 0 {
		return fmt.Sprintf("%d problems", len(r.problems))
	}
	return fmt.Sprintf("recovered in %s", seconds(r.recovered))
}

// printTable prints the rows in Markdown.
func printTable(w io.Writer, rows []*row) {
	fmt.Fprintf(w, "| backend | point | killed or purged | accepted in the %s around it | in flight | recovered in "+
		"| lost | duplicated | orphans | after the repair |\n", around)
	fmt.Fprintln(w, "|---|---|---|--:|--:|--:|--:|--:|--:|--:|")
	for _, r := range rows {
		fmt.Fprintf(w, "| %s | %s | %s | %d | %d | %s | %d | %d | %d | %d |\n", r.backend, r.scenario, r.target,
			r.nearby, r.inFlight, seconds(r.recovered), r.lost, r.duplicated, r.orphans, r.remainingOrphans)
	}
}

// printProblems lists the problems and returns the number of rows that have any.
func printProblems(w io.Writer, rows []*row) (broken int) {
	for _, r := range rows {
		if len(r.problems) == 0 {
			continue
		}
		broken++
		fmt.Fprintf(w, "\n%s, %s:\n", r.backend, r.scenario)
		for _, p := range r.problems {
			fmt.Fprintf(w, "- %v\n", p)
		}
	}
	return broken
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
