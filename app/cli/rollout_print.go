package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"imagery/app/deploy/rollout"
)

// shownRollouts limits the rollouts that are printed as text; the JSON document has all of them.
const shownRollouts = 10

// rolloutReport prints the groups, the lock, the blocked releases and the last rollouts.
func (c Console) rolloutReport(r rollout.Report, now time.Time) error {
	for _, g := range r.Groups {
		fmt.Fprintf(c.Out, "%s: release %s, version %s, %s\n", g.Role, short(g.Release), g.Version, instanceCounts(g))
		for _, process := range slices.Sorted(maps.Keys(g.Suspended)) {
			fmt.Fprintf(c.Out, "  process %s is suspended: %s\n", process, g.Suspended[process])
		}
		if f := g.Refresh; f != nil && f.Active {
			fmt.Fprintf(c.Out, "  being replaced by version %s: %s %s\n", f.Version, f.Status, f.Reason)
		}
	}
	if l := r.Record.Lock; l.Live(now) {
		fmt.Fprintf(c.Out, "%s has held the lock since %s: %s\n", l.Holder, formatTime(l.Since), l.Why)
	} else if e := r.Record.Current(); e != nil {
		fmt.Fprintf(c.Out, "the rollout of %s that %s began on %s was interrupted: "+
			"finish it with pulumi up, or roll it back with imagery rollout abort\n",
			short(e.Release), e.By, formatTime(e.Begin))
	}
	for _, release := range slices.Sorted(maps.Keys(r.Record.Blocked)) {
		b := r.Record.Blocked[release]
		fmt.Fprintf(c.Out, "release %s is blocked by %s since %s: %s\n", short(release), b.By, formatTime(b.Since), b.Why)
	}
	rows := [][]string{{"BEGAN", "TOOK", "RELEASE", "FROM", "BY", "RESULT", "REASON"}}
	for _, e := range r.Record.Entries[:min(shownRollouts, len(r.Record.Entries))] {
		rows = append(rows, []string{formatTime(e.Begin), e.Took(now).Round(time.Second).String(), short(e.Release),
			short(cmp.Or(e.From, "-")), e.By, string(e.Result), e.Reason})
	}
	fmt.Fprintln(c.Out)
	return c.table(rows)
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
	return cmp.Or(strings.Join(parts, ", "), "no instance")
}
