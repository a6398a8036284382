package cli

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// indent is as wide as the column with the names of the sections.
const indent = "         "

// maxMembers is the number of members that are printed; beyond it those that are ready are only counted.
const maxMembers = 12

// statusPage prints the status, as text in 80 columns.
func (inv Invocation) statusPage(o statusReport) error {
	if inv.JSON {
		return inv.printJSON(o)
	}
	c := inv.Console
	at := o.At.Format("2006-01-02 15:04:05 UTC")
	c.wrapped(o.Place+strings.Repeat(" ", max(2, width-len([]rune(o.Place))-len(at)))+at, "", "")
	fmt.Fprintln(c.Out)
	c.labelled("FLEET", o.Fleet.section, o.Fleet.summary())
	err := c.members(o.Fleet)
	c.labelled("ROLLOUT", o.Rollout.section, o.Rollout.summary(o.At))
	c.rolloutNotes(o.Rollout, o.At)
	q := o.Queue.QueueDepth
	text := fmt.Sprintf("%d waiting, %d in flight, %d delayed, %s", q.Visible, q.InFlight, q.Delayed,
		plural(q.DeadLetters, "dead letter"))
	if q.DeadLetters > 0 {
		text += "; see imagery dlq ls"
	}
	c.labelled("QUEUE", o.Queue.section, text)
	text = "no image is unfinished"
	if o.Oldest.ID != "" {
		text = fmt.Sprintf("%s old: %s; see imagery why", age(time.Duration(o.Oldest.Age)*time.Second), o.Oldest.ID)
	}
	c.labelled("OLDEST", o.Oldest.section, text)
	return errors.Join(err, c.alarmsSection(o.Alarms, o.At))
}

// labelled prints the name of a section and its problem, or else the text.
func (c Console) labelled(name string, s section, text string) {
	c.wrapped(fmt.Sprintf("%-*s", len(indent), name), indent, cmp.Or(s.Problem, text))
}

// indented prints text below a section.
func (c Console) indented(format string, args ...any) {
	c.wrapped(indent, indent, fmt.Sprintf(format, args...))
}

func (f fleetSection) summary() string {
	var parts []string
	for _, g := range f.Groups {
		text := fmt.Sprintf("%d of %d %ss ready", g.Ready, max(g.Desired, g.Members), g.Role)
		if g.Max > 0 {
			text += fmt.Sprintf(" (%d to %d)", g.Min, g.Max)
		}
		parts = append(parts, text)
	}
	if f.URL != "" {
		parts = append(parts, f.URL)
	}
	return strings.Join(parts, ", ")
}

// members prints the members that are not ready, and the first ready ones.
func (c Console) members(f fleetSection) error {
	if f.Problem != "" {
		return nil
	}
	space := maxMembers
	for _, g := range f.Groups {
		if space -= g.Members - g.Ready; g.Problem != "" {
			c.indented("%ss: %s", g.Role, g.Problem)
		}
	}
	rows := [][]string{{indent + "INSTANCE", "ROLE", "STATE", "RELEASE", "TPL", "ZONE"}}
	if f.URL != "" {
		rows = [][]string{{indent + "PROCESS", "STATE", "RELEASE", "PID", "UP", "RESTARTS", "DONE", "NOW"}}
	}
	var details []string
	skipped := 0
	for _, m := range f.Members {
		if m.healthy() && space <= 0 {
			skipped++
			continue
		}
		if m.healthy() {
			space--
		}
		zone := m.Zone[strings.LastIndex(m.Zone, "-")+1:] // the part that differs within a region, as in "1a"
		row := []string{indent + m.Name, m.Role, m.State, short(m.Release), m.Version, zone}
		if f.URL != "" {
			row = []string{indent + m.Name, m.State, short(m.Release), nonZero(m.PID),
				age(time.Duration(m.Uptime) * time.Second), strconv.Itoa(m.Restarts), strconv.FormatInt(m.Done, 10),
				strconv.Itoa(m.InFlight)}
		}
		rows = append(rows, row)
		if m.Detail != "" {
			details = append(details, m.Name+": "+m.Detail)
		}
	}
	if len(f.Members) == 0 {
		return nil
	}
	err := c.table(rows)
	if skipped > 0 {
		c.indented("and %d more that are ready", skipped)
	}
	for _, text := range details {
		c.indented("%s", text)
	}
	return err
}

// short returns the beginning of a release, as logs show it.
func short(release string) string { return fmt.Sprintf("%.12s", cmp.Or(release, "unknown")) }

func (r rolloutSection) summary(now time.Time) string {
	e := r.Newest
	if e == nil {
		return "none is recorded"
	}
	text := fmt.Sprintf("%s: %s %s ago in %s, by %s (%s)", short(e.Release), e.Result, age(now.Sub(e.End)),
		age(e.Took(now)), e.By, e.Why)
	if e.Result.Open() {
		text = fmt.Sprintf("%s: %s for %s, by %s (%s)", short(e.Release), e.Result, age(e.Took(now)), e.By, e.Why)
		if r.Lock == nil {
			text += "; its controller is gone: the next pulumi up takes it over"
		}
	} else if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// rolloutNotes prints what prevents the next rollout.
func (c Console) rolloutNotes(r rolloutSection, now time.Time) {
	if l := r.Lock; l != nil && (r.Newest == nil || !r.Newest.Result.Open()) {
		c.indented("locked by %s (%s) for %s", l.Holder, l.Why, age(now.Sub(l.Since)))
	}
	if r.Abort != nil {
		c.indented("%s requested a rollback %s ago", r.Abort.By, age(now.Sub(r.Abort.Since)))
	}
	for _, release := range slices.Sorted(maps.Keys(r.Blocked)) {
		b := r.Blocked[release]
		c.indented("%s is blocked by %s since %s: %s", short(release), b.By, formatTime(b.Since), b.Why)
	}
}

func (c Console) alarmsSection(a alarmsSection, now time.Time) error {
	text := fmt.Sprintf("%d of %d in ALARM", len(a.Alarming), a.Total)
	if len(a.Unknown) > 0 {
		text += "; without data: " + strings.Join(a.Unknown, ", ")
	}
	if len(a.Disabled) > 0 {
		text += "; switched off: " + strings.Join(a.Disabled, ", ")
	}
	c.labelled("ALARMS", a.section, text)
	var rows [][]string
	for _, alarm := range a.Alarming {
		rows = append(rows, []string{indent + alarm.Name, "for " + age(now.Sub(alarm.Since)),
			"docs/runbook.md#" + alarm.Name})
	}
	return c.table(rows)
}
