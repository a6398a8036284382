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

// indent is where facts begin, behind the name of the part.
const indent = "         "

// mostMembers keeps a big fleet from filling the screen: those that are ready come last, and are counted only.
const mostMembers = 12

// overview prints the screen, in 80 columns.
func (c Console) overview(o overview) error {
	at := o.At.Format("2006-01-02 15:04:05 UTC")
	c.wrapped(o.Place+strings.Repeat(" ", max(2, width-len([]rune(o.Place))-len(at)))+at, "", "")
	fmt.Fprintln(c.Out)
	err := c.fleetPart(o.Fleet)
	c.rolloutPart(o.Rollout, o.At)
	c.labelled("QUEUE", o.Queue.part, func() string {
		q := o.Queue.Depth
		text := fmt.Sprintf("%d waiting, %d in flight, %d delayed, %s", q.Visible, q.InFlight, q.Delayed, plural(q.DeadLetters, "dead letter"))
		if q.DeadLetters > 0 {
			text += "; see imagery dlq ls"
		}
		return text
	})
	c.labelled("OLDEST", o.Oldest.part, func() string {
		if o.Oldest.ID == "" {
			return "no image is unfinished"
		}
		return fmt.Sprintf("%s old: %s; see imagery why", age(time.Duration(o.Oldest.Age)*time.Second), o.Oldest.ID)
	})
	return errors.Join(err, c.alarmsPart(o.Alarms, o.At))
}

// labelled prints one part, or its problem.
func (c Console) labelled(name string, p part, text func() string) {
	said := p.Problem
	if said == "" {
		said = text()
	}
	c.wrapped(fmt.Sprintf("%-*s", len(indent), name), indent, oneLine(said))
}

func (c Console) fleetPart(f fleetPart) error {
	c.labelled("FLEET", f.part, func() string {
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
	if len(shown) > mostMembers {
		shown, rest = f.some()
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
			row = []string{indent + m.Name, m.State, short(m.Release), m.pid(), age(time.Duration(m.Uptime) * time.Second), strconv.Itoa(m.Restarts),
				strconv.FormatInt(m.Done, 10), strconv.Itoa(m.InFlight)}
		}
		rows = append(rows, row)
	}
	err := c.columns(rows)
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

// some picks the members that are worth a line: those that are not ready, and the first ready ones.
func (f fleetPart) some() (shown []member, rest int) {
	room := mostMembers
	for _, m := range f.Members {
		if !m.well() {
			room--
		}
	}
	for _, m := range f.Members {
		switch {
		case !m.well():
			shown = append(shown, m)
		case room > 0:
			shown, room = append(shown, m), room-1
		default:
			rest++
		}
	}
	return shown, rest
}

// pid is empty while no process runs.
func (m member) pid() string {
	if m.PID == 0 {
		return ""
	}
	return strconv.Itoa(m.PID)
}

// short is as much of a release as logs show.
func short(release string) string {
	if release == "" {
		return "unknown"
	}
	return release[:min(len(release), 12)]
}

// zoneOf is the part of a zone's name that differs within a region, as in "1a".
func zoneOf(zone string) string { return zone[strings.LastIndex(zone, "-")+1:] }

func (c Console) rolloutPart(r rolloutPart, now time.Time) {
	c.labelled("ROLLOUT", r.part, func() string {
		e := r.Newest
		if e == nil {
			return "none is recorded"
		}
		who := fmt.Sprintf("by %s (%s)", e.By, e.Why)
		if e.Result.Open() {
			text := fmt.Sprintf("%s: %s for %s, %s", short(e.Release), e.Result, age(e.Took(now)), who)
			if r.Lock == nil {
				text += "; nobody drives it any more: the next pulumi up takes it over"
			}
			return text
		}
		text := fmt.Sprintf("%s: %s %s ago in %s, %s", short(e.Release), e.Result, age(now.Sub(e.End)), age(e.Took(now)), who)
		if e.Reason != "" {
			text += ": " + e.Reason
		}
		return text
	})
	if r.Lock != nil && (r.Newest == nil || !r.Newest.Result.Open()) {
		c.wrapped(indent, indent, oneLine(fmt.Sprintf("locked by %s (%s) for %s", r.Lock.Holder, r.Lock.Why, age(now.Sub(r.Lock.Since)))))
	}
	if r.Abort != nil {
		c.wrapped(indent, indent, oneLine(fmt.Sprintf("%s asked it to go back %s ago", r.Abort.By, age(now.Sub(r.Abort.Since)))))
	}
	for _, release := range slices.Sorted(maps.Keys(r.Blocked)) {
		h := r.Blocked[release]
		c.wrapped(indent, indent, oneLine(fmt.Sprintf("%s is held by %s since %s: %s", short(release), h.By, stamp(h.Since), h.Why)))
	}
}

func (c Console) alarmsPart(a alarmsPart, now time.Time) error {
	c.labelled("ALARMS", a.part, func() string {
		text := fmt.Sprintf("%d of %d ring", len(a.Ringing), a.Total)
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
		rows = append(rows, []string{indent + alarm.Name, "rings for " + age(now.Sub(alarm.Since)), "docs/runbook.md#" + alarm.Name})
	}
	return c.columns(rows)
}
