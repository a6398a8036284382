package main

import (
	"fmt"
	"io"
	"time"
)

// idleGoal returns the goal for the time of a small photo in an idle local service, given the time of the filter alone.
func idleGoal(filter time.Duration) time.Duration { return filter*3/2 + 50*time.Millisecond }

// printService writes the tables of the service in Markdown.
func printService(w io.Writer, f serviceResults) {
	fmt.Fprintf(w, "Measured on %s. Clients and emulators ran on the same cores. The size of the binary is %s.\n",
		f.Machine, mib(f.Binary))
	fmt.Fprintf(w, "\nIdle service, one client that uploads one photo at a time; p50 and p99:\n\n")
	fmt.Fprintf(w, "| | filter alone | %s | %s |\n|---|--:|--:|--:|\n", f.Backends[0].Backend, f.Backends[1].Backend)
	row := func(name string, alone []float64, of func(performance) []float64) {
		fmt.Fprintf(w, "| %s | %s |", name, middle(alone))
		for _, b := range f.Backends {
			fmt.Fprintf(w, " %s, %s (n = %d) |", middle(of(b)), millis(time.Duration(quantile(of(b), 0.99))), len(of(b)))
		}
		fmt.Fprintln(w)
	}
	row("cold start to ready", nil, func(p performance) []float64 { return p.Start })
	row(fmt.Sprintf("upload to processed, 0.3 MP (%s)", mib(int64(f.SmallSize))), f.FilterSmall,
		func(p performance) []float64 { return p.Idle })
	row("the same after a pause of 3 s", f.FilterSmall, func(p performance) []float64 { return p.AfterPause })
	row(fmt.Sprintf("upload to processed, 6 MP (%s)", mib(int64(f.LargeSize))), f.FilterLarge,
		func(p performance) []float64 { return p.Large })
	goal := idleGoal(time.Duration(quantile(f.FilterSmall, 0.5)))
	verdict := "met"
	if time.Duration(quantile(f.Backends[0].Idle, 0.5)) > goal {
		verdict = "NOT met"
	}
	fmt.Fprintf(w, "\nThe goal for a small photo in an idle local service is 1.5 times the filter plus 50 ms, %s: %s.\n",
		millis(goal), verdict)
	printLoads(w, f)
	printSlowUploads(w, f)
}

func middle(values []float64) string {
	if len(values) == 0 {
		return ""
	}
	return millis(time.Duration(quantile(values, 0.5)))
}

// printLoads writes the results of each rate.
func printLoads(w io.Writer, f serviceResults) {
	fmt.Fprintf(w, "\nRates that double until the service is saturated, and 70 %% of the maximum "+
		"(0.3 MP, random arrivals):\n\n")
	fmt.Fprintln(w, "| backend | offered, photos/s | seconds | processed, photos/s | upload to processed, p50 | p99 "+
		"| refused | memory of a server | of a worker |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, b := range f.Backends {
		for i, r := range append(b.Loads, b.Steady) {
			name := b.Backend
			if i == len(b.Loads) {
				name += ", 70 %"
			}
			fmt.Fprintf(w, "| %s | %.1f | %.0f | %.1f | %s | %s | %d of %d | %s | %s |\n",
				name, float64(r.Sent)/r.Seconds, r.Seconds, r.Done, middle(r.Took),
				millis(time.Duration(quantile(r.Took, 0.99))), r.Refused, r.Sent, mib(r.Server), mib(r.Worker))
		}
	}
}

// printSlowUploads writes the memory of servers that hold many uploads.
func printSlowUploads(w io.Writer, f serviceResults) {
	fmt.Fprintf(w, "\n%s, all completed at the same time:\n\n", f.Slow)
	fmt.Fprintln(w, "| backend | | budget of a server | accepted | no memory (503) | storage too slow (503) "+
		"| memory of a server | of the balancer |")
	fmt.Fprintln(w, "|---|---|--:|--:|--:|--:|--:|--:|")
	for _, b := range f.Backends {
		for _, c := range b.SlowUploads {
			budget, balancer := "default", ""
			if c.Budget > 0 {
				budget = mib(c.Budget)
			}
			if c.Balancer > 0 {
				balancer = mib(c.Balancer)
			}
			fmt.Fprintf(w, "| %s | %s | %s | %d | %d | %d | %s | %s |\n", b.Backend, c.Servers, budget,
				c.Accepted, c.NoMemory, c.TooSlow, mib(c.Server), balancer)
		}
	}
}
