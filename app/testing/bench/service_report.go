package main

import (
	"fmt"
	"io"
	"time"
)

// idleGoal is the longest that a small photo may take in an idle local service, for a bare pipeline of this time.
func idleGoal(bare time.Duration) time.Duration { return bare*3/2 + 50*time.Millisecond }

// printService writes the tables in Markdown.
func printService(w io.Writer, f serviceFindings) {
	fmt.Fprintf(w, "Measured on %s. The clients, and the emulators, ran on the same cores. The binary has %s.\n", f.Machine, mega(f.Binary))
	fmt.Fprintf(w, "\nIdle, one client that waits; p50 and p99:\n\n")
	fmt.Fprintf(w, "| | filter alone | %s | %s |\n|---|--:|--:|--:|\n", f.Backends[0].Backend, f.Backends[1].Backend)
	row := func(name string, alone []float64, of func(performance) []float64) {
		fmt.Fprintf(w, "| %s | %s |", name, middle(alone))
		for _, b := range f.Backends {
			fmt.Fprintf(w, " %s, %s (n = %d) |", middle(of(b)), millis(time.Duration(quantile(of(b), 0.99))), len(of(b)))
		}
		fmt.Fprintln(w)
	}
	row("cold start to ready", nil, func(p performance) []float64 { return p.Start })
	row(fmt.Sprintf("upload to processed, 0.3 MP (%s)", mega(int64(f.SmallSize))), f.Bare, func(p performance) []float64 { return p.Idle })
	row("the same after 3 s of silence", f.Bare, func(p performance) []float64 { return p.Rested })
	row(fmt.Sprintf("upload to processed, 6 MP (%s)", mega(int64(f.LargeSize))), f.BareLarge, func(p performance) []float64 { return p.Large })
	goal, is := idleGoal(time.Duration(quantile(f.Bare, 0.5))), time.Duration(quantile(f.Backends[0].Idle, 0.5))
	verdict := "which holds"
	if is > goal {
		verdict = "which does NOT hold"
	}
	fmt.Fprintf(w, "\nThe goal for a small photo in an idle local service is 1.5 times the filter plus 50 ms, %s: %s.\n", millis(goal), verdict)
	printFlows(w, f)
	printCrowds(w, f)
}

func middle(values []float64) string {
	if len(values) == 0 {
		return ""
	}
	return millis(time.Duration(quantile(values, 0.5)))
}

// printFlows shows how everything grows as load doubles.
func printFlows(w io.Writer, f serviceFindings) {
	fmt.Fprintf(w, "\nLoad that doubles until the service no longer keeps up, and 70 %% of the most that it did (0.3 MP, random arrivals):\n\n")
	fmt.Fprintln(w, "| backend | offered, photos/s | seconds | processed, photos/s | upload to processed, p50 | p99 | refused | memory of a server | of a worker |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, b := range f.Backends {
		for i, r := range append(b.Flows, b.Steady) {
			name := b.Backend
			if i == len(b.Flows) {
				name += ", 70 %"
			}
			fmt.Fprintf(w, "| %s | %.1f | %.0f | %.1f | %s | %s | %d of %d | %s | %s |\n", name, float64(r.Sent)/r.Seconds, r.Seconds, r.Done, middle(r.Took),
				millis(time.Duration(quantile(r.Took, 0.99))), r.Refused, r.Sent, mega(r.Server), mega(r.Worker))
		}
	}
}

// printCrowds shows the memory of servers that hold many uploads.
func printCrowds(w io.Writer, f serviceFindings) {
	fmt.Fprintf(w, "\n%s, all whole at the same moment:\n\n", f.Slow)
	fmt.Fprintln(w, "| backend | | budget of a server | accepted | no room (503) | storage too slow (503) | memory of a server | of the balancer |")
	fmt.Fprintln(w, "|---|---|--:|--:|--:|--:|--:|--:|")
	for _, b := range f.Backends {
		for _, c := range b.Crowds {
			budget, balancer := "the machine's", ""
			if c.Budget > 0 {
				budget = mega(c.Budget)
			}
			if c.Balancer > 0 {
				balancer = mega(c.Balancer)
			}
			fmt.Fprintf(w, "| %s | %s | %s | %d | %d | %d | %s | %s |\n", b.Backend, c.Who, budget, c.Accepted, c.NoRoom, c.Late, mega(c.Server), balancer)
		}
	}
}
