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
		f.machine, mib(f.binary))
	for _, n := range f.failed {
		fmt.Fprintf(w, "- FAILED: %s\n", n)
	}
	fmt.Fprintf(w, "\nIdle service, one client that uploads one photo at a time; p50 and p99:\n\n"+
		"| | filter alone | %s | %s |\n|---|--:|--:|--:|\n", f.backends[0].backend, f.backends[1].backend)
	row := func(name, alone string, of func(performance) []time.Duration) {
		fmt.Fprintf(w, "| %s | %s |", name, alone)
		for _, b := range f.backends {
			all := of(b)
			fmt.Fprintf(w, " %s, %s (n = %d) |", quantileCell(all, 0.5), quantileCell(all, 0.99), len(all))
		}
		fmt.Fprintln(w)
	}
	alone := quantile(f.filterSmall, 0.5)
	row("cold start to ready", "", func(p performance) []time.Duration { return p.start })
	row(fmt.Sprintf("upload to processed, 0.3 MP (%s)", mib(int64(len(f.small)))), millis(alone),
		func(p performance) []time.Duration { return p.idle })
	row("the same after a pause of 3 s", millis(alone), func(p performance) []time.Duration { return p.afterPause })
	row(fmt.Sprintf("upload to processed, 6 MP (%s)", mib(int64(len(f.large)))), millis(quantile(f.filterLarge, 0.5)),
		func(p performance) []time.Duration { return p.large })
	verdict := "met"
	if idle := f.backends[0].idle; len(idle) == 0 || quantile(idle, 0.5) > idleGoal(alone) {
		verdict = "NOT met"
	}
	fmt.Fprintf(w, "\nThe goal for a small photo in an idle local service is 1.5 times the filter plus 50 ms, "+
		"%s: %s.\n", millis(idleGoal(alone)), verdict)

	fmt.Fprint(w, "\nRates that double until the service is saturated, and 70 % of the maximum "+
		"(0.3 MP, random arrivals):\n\n"+
		"| backend | offered, photos/s | seconds | processed, photos/s | upload to processed, p50 | p99 "+
		"| refused | failed | memory of a server | of a worker |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, b := range f.backends {
		for i, r := range append(b.loads, b.steady) {
			name := b.backend
			if i == len(b.loads) {
				name += ", 70 %"
			}
			fmt.Fprintf(w, "| %s | %.1f | %.0f | %.1f | %s | %s | %d of %d | %d | %s | %s |\n",
				name, float64(r.sent)/r.seconds, r.seconds, r.done, quantileCell(r.took, 0.5),
				quantileCell(r.took, 0.99), r.refused, r.sent, r.failed.n, mib(r.server), mib(r.worker))
		}
	}
}

// quantileCell formats a quantile, or a dash if nothing was measured.
func quantileCell(all []time.Duration, q float64) string {
	if len(all) == 0 {
		return "-"
	}
	return millis(quantile(all, q))
}
