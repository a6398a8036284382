package cli

import (
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

// statusReport prints the status in 80 columns.
func (c Console) statusReport(o statusReport) error {
	at := o.At.Format("2006-01-02 15:04:05 UTC")
	c.wrapped(o.Place+strings.Repeat(" ", max(2, width-len([]rune(o.Place))-len(at)))+at, "", "")
	fmt.Fprintln(c.Out)
	err := c.fleetSection(o.Fleet)
	c.rolloutSection(o.Rollout, o.At)
	c.labelled("QUEUE", o.Queue.section, func() string {
		q := o.Queue.QueueDepth
		text := fmt.Sprintf("%d waiting, %d in flight, %d delayed, %s", q.Visible, q.InFlight, q.Delayed,
			plural(q.DeadLetters, "dead letter"))
		if q.DeadLetters > 0 {
			text += "; see imagery dlq ls"
		}
		return text
	})
	c.labelled("OLDEST", o.Oldest.section, func() string {
		if o.Oldest.ID == "" {
			return "no image is unfinished"
		}
		return fmt.Sprintf("%s old: %s; see imagery why", age(time.Duration(o.Oldest.Age)*time.Second), o.Oldest.ID)
	})
	return errors.Join(err, c.alarmsSection(o.Alarms, o.At))
}

// labelled prints the name of a section and its text, or its problem.
func (c Console) labelled(name string, s section, text func() string) {
	line := s.Problem
	if line == "" {
		line = text()
	}
	c.wrapped(fmt.Sprintf("%-*s", len(indent), name), indent, oneLine(line))
}

func (c Console) fleetSection(f fleetSection) error {
	c.labelled("FLEET", f.section, func() string {
		var roles []string
		for _, g := range f.Groups {
			text := fmt.Sprintf("%d of %d %ss ready", g.Ready, max(g.Desired, g.Members), g.Role)
			if g.Max > 0 {
				text += fmt.Sprintf(" (%d to %d)", g.Min, g.Max)
			}
			roles = append(roles, text)
		}
		if f.URL != "" {
			roles = append(roles, f.URL)
		}
		return strings.Join(roles, ", ")
	})
	if f.Problem != "" {
		return nil
	}
	for _, g := range f.Groups {
		if g.Problem != "" {
			c.wrapped(indent+g.Role+"s: ", indent, g.Problem)
		}
	}
	shown, rest := f.Members, 0
	if len(shown) > maxMembers {
		shown, rest = f.firstMembers()
	}
	if len(shown) == 0 {
		return nil
	}
	rows := [][]string{{indent + "INSTANCE", "ROLE", "STATE", "RELEASE", "TPL", "ZONE"}}
	if f.URL != "" {
		rows = [][]string{{indent + "PROCESS", "STATE", "RELEASE", "PID", "UP", "RESTARTS", "DONE", "NOW"}}
	}
	for _, m := range shown {
		row := []string{indent + m.Name, m.Role, m.State, short(m.Release), m.Version, zoneOf(m.Zone)}
		if f.URL != "" {
			row = []string{indent + m.Name, m.State, short(m.Release), m.pid(), age(time.Duration(m.Uptime) * time.Second),
				strconv.Itoa(m.Restarts), strconv.FormatInt(m.Done, 10), strconv.Itoa(m.InFlight)}
		}
		rows = append(rows, row)
	}
	err := c.table(rows)
	if rest > 0 {
		fmt.Fprintf(c.Out, "%sand %d more that are ready\n", indent, rest)
	}
	for _, m := range shown {
		if m.Detail != "" {
			c.wrapped(indent+m.Name+": ", indent, oneLine(m.Detail))
		}
	}
	return err
}

// firstMembers returns the members to print: those that are not ready, and the first ready ones. Rest is the number of
// the others.
func (f fleetSection) firstMembers() (shown []member, rest int) {
	space := maxMembers
	for _, m := range f.Members {
		if !m.healthy() {
			space--
		}
	}
	for _, m := range f.Members {
		switch {
		case !m.healthy():
			shown = append(shown, m)
		case space > 0:
			shown, space = append(shown, m), space-1
		default:
			rest++
		}
	}
	return shown, rest
}

// pid returns the process id as text, "" if no process runs.
func (m member) pid() string {
	if m.PID == 0 {
		return ""
	}
	return strconv.Itoa(m.PID)
}

// short returns the beginning of a release, as logs show it.
func short(release string) string {
	if release == "" {
		return "unknown"
	}
	return release[:min(len(release), 12)]
}

// zoneOf returns the part of a zone's name that differs within a region, as in "1a".
func zoneOf(zone string) string { return zone[strings.LastIndex(zone, "-")+1:] }

func (c Console) rolloutSection(r rolloutSection, now time.Time) {
	c.labelled("ROLLOUT", r.section, func() string {
		e := r.Newest
		if e == nil {
			return "none is recorded"
		}
		who := fmt.Sprintf("by %s (%s)", e.By, e.Why)
		if e.Result.Open() {
			text := fmt.Sprintf("%s: %s for %s, %s", short(e.Release), e.Result, age(e.Took(now)), who)
			if r.Lock == nil {
				text += "; its controller is gone: the next pulumi up takes it over"
			}
			return text
		}
		text := fmt.Sprintf("%s: %s %s ago in %s, %s", short(e.Release), e.Result, age(now.Sub(e.End)), age(e.Took(now)),
			who)
		if e.Reason != "" {
			text += ": " + e.Reason
		}
		return text
	})
	if r.Lock != nil && (r.Newest == nil || !r.Newest.Result.Open()) {
		c.wrapped(indent, indent, oneLine(fmt.Sprintf("locked by %s (%s) for %s", r.Lock.Holder, r.Lock.Why,
			age(now.Sub(r.Lock.Since)))))
	}
	if r.Abort != nil {
		c.wrapped(indent, indent, oneLine(fmt.Sprintf("%s requested a rollback %s ago", r.Abort.By,
			age(now.Sub(r.Abort.Since)))))
	}
	for _, release := range slices.Sorted(maps.Keys(r.Blocked)) {
		b := r.Blocked[release]
		c.wrapped(indent, indent, oneLine(fmt.Sprintf("%s is blocked by %s since %s: %s", short(release), b.By,
			formatTime(b.Since), b.Why)))
	}
}

func (c Console) alarmsSection(a alarmsSection, now time.Time) error {
	c.labelled("ALARMS", a.section, func() string {
		text := fmt.Sprintf("%d of %d in ALARM", len(a.Ringing), a.Total)
		if len(a.Unknown) > 0 {
			text += fmt.Sprintf("; without data: %s", strings.Join(a.Unknown, ", "))
		}
		if len(a.Muted) > 0 {
			text += fmt.Sprintf("; switched off: %s", strings.Join(a.Muted, ", "))
		}
		return text
	})
	var rows [][]string
	for _, alarm := range a.Ringing {
		rows = append(rows, []string{indent + alarm.Name, "for " + age(now.Sub(alarm.Since)),
			"docs/runbook.md#" + alarm.Name})
	}
	return c.table(rows)
}
