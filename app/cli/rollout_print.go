package cli

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"imagery/app/deploy/record"
	"imagery/app/deploy/rollout"
)

// shownRollouts limits the rollouts that are printed as text; the JSON document has all of them.
const shownRollouts = 10

// printRollout writes a report as text: the groups, the lock, the blocked releases and the last rollouts.
func printRollout(out io.Writer, r rollout.Report, now time.Time) {
	for _, g := range r.Groups {
		fmt.Fprintf(out, "%s: release %.12s, version %s, %s\n",
			g.Role, cmp.Or(g.Release, "unknown"), g.Version, instanceCounts(g))
		for _, process := range slices.Sorted(maps.Keys(g.Suspended)) {
			fmt.Fprintf(out, "  process %s is suspended: %s\n", process, g.Suspended[process])
		}
		if f := g.Refresh; f != nil && f.Active {
			fmt.Fprintf(out, "  being replaced by version %s: %s %s\n", f.Version, f.Status, f.Reason)
		}
	}
	if l := r.Record.Lock; l.Live(now) {
		fmt.Fprintf(out, "%s has held the lock since %s: %s\n", l.Holder, formatTime(l.Since), l.Why)
	} else if e := r.Record.Current(); e != nil {
		fmt.Fprintf(out, "the rollout of %.12s that %s began on %s was interrupted: "+
			"finish it with pulumi up, or roll it back with imagery rollout abort\n", e.Release, e.By, formatTime(e.Begin))
	}
	for _, release := range slices.Sorted(maps.Keys(r.Record.Blocked)) {
		b := r.Record.Blocked[release]
		fmt.Fprintf(out, "release %.12s is blocked by %s since %s: %s\n", release, b.By, formatTime(b.Since), b.Why)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nBEGAN\tTOOK\tRELEASE\tFROM\tBY\tRESULT\tREASON")
	for _, e := range r.Record.Entries[:min(shownRollouts, len(r.Record.Entries))] {
		fmt.Fprintln(w, rolloutRow(e, now))
	}
	w.Flush()
}

func rolloutRow(e record.Entry, now time.Time) string {
	from, reason := cmp.Or(e.From, "-"), cmp.Or(e.Reason, "-")
	return strings.Join([]string{
		formatTime(e.Begin), e.Took(now).Round(time.Second).String(), fmt.Sprintf("%.12s", e.Release),
		fmt.Sprintf("%.12s", from), e.By, string(e.Result), reason,
	}, "\t")
}

// instanceCounts counts the instances of a group by version and state.
func instanceCounts(g rollout.GroupReport) string {
	counts := map[string]int{}
	for _, i := range g.Instances {
		text := "version " + i.Version + " " + i.State
		if !i.Healthy {
			text += " (unhealthy)"
		}
		counts[text]++
	}
	var parts []string
	for _, text := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d of %s", counts[text], text))
	}
	if len(parts) == 0 {
		return "no instance"
	}
	return strings.Join(parts, ", ")
}
