package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"imagery/app/admin/alarms"
	"imagery/app/deploy/record"
	"imagery/app/imagery"
)

// fleetSection shows the instances or local processes.
type fleetSection struct {
	section
	URL     string   `json:"url,omitempty"` // of a local fleet
	Groups  []group  `json:"groups"`
	Members []member `json:"members"`
}

// group is an Auto Scaling group, or the processes of one role.
type group struct {
	Role    string `json:"role"`
	Name    string `json:"name,omitempty"`
	Ready   int    `json:"ready"`
	Members int    `json:"members"`
	Desired int    `json:"desired"`
	Min     int    `json:"min"`
	Max     int    `json:"max"`
	Problem string `json:"problem,omitempty"`
}

// member is an instance or a local process.
type member struct {
	Name    string `json:"name"`
	Role    string `json:"role"`
	State   string `json:"state"` // "ready", or why it is not
	Detail  string `json:"detail,omitempty"`
	Release string `json:"release"`           // 64 hex digits, empty if unknown
	Version string `json:"version,omitempty"` // of its launch template
	Zone    string `json:"zone,omitempty"`
	// The rest is known of local processes only.
	PID      int   `json:"pid,omitempty"` // 0: none runs
	Uptime   int64 `json:"uptimeSeconds,omitempty"`
	Restarts int   `json:"restarts,omitempty"`
	Done     int64 `json:"done,omitempty"`     // requests or jobs so far
	InFlight int   `json:"inFlight,omitempty"` // of them, now
}

const (
	ready = "ready"
	// healthUnknown is the state of a server that is in service in its group when the load balancer could not be read.
	healthUnknown = "in service"
)

// healthy reports whether the member needs no attention.
func (m member) healthy() bool { return m.State == ready || m.State == healthUnknown }

// countMembers sets the counts of the groups and sorts the members by role, those that need attention first.
func (f *fleetSection) countMembers() {
	for i := range f.Groups {
		g := &f.Groups[i]
		g.Ready, g.Members = 0, 0
		for _, m := range f.Members {
			if m.Role == g.Role {
				g.Members++
				if m.healthy() {
					g.Ready++
				}
			}
		}
	}
	slices.SortStableFunc(f.Members, func(a, b member) int {
		if c := strings.Compare(a.Role, b.Role); c != 0 {
			return c
		}
		if a.healthy() != b.healthy() {
			if a.healthy() {
				return 1
			}
			return -1
		}
		return strings.Compare(a.Name, b.Name)
	})
}

// queueSection shows the number of messages.
type queueSection struct {
	section
	QueueDepth
}

func (s statusSource) queue(ctx context.Context) (q queueSection) {
	var err error
	if q.QueueDepth, err = s.QueueDepth(ctx); err != nil {
		q.section = unreadable(err)
	}
	return q
}

// oldestSection shows the oldest unfinished image; the ID is empty if there is none.
type oldestSection struct {
	section
	ID    string    `json:"id,omitempty"`
	Since time.Time `json:"since,omitzero"` // when it was uploaded
	Age   int64     `json:"ageSeconds"`
}

// oldest reads the first entries of each shard of the pending index. The index is eventually consistent, so each image
// is read as well, and skipped if it is finished.
func (s statusSource) oldest(ctx context.Context) (o oldestSection) {
	now := s.Service.Now()
	for _, shard := range imagery.Shards {
		id, since, err := s.oldestOf(ctx, string(shard), now)
		if err != nil {
			return oldestSection{section: unreadable(fmt.Errorf("list unfinished images: %w", err))}
		}
		if id != "" && (o.ID == "" || since.Before(o.Since)) {
			o.ID, o.Since, o.Age = id, since.UTC(), int64(now.Sub(since)/time.Second)
		}
	}
	return o
}

func (s statusSource) oldestOf(ctx context.Context, shard string, now time.Time) (
	id string, since time.Time, err error) {
	const pageSize = 10
	for after := ""; ; {
		list, next, err := s.Service.Catalog.Pending(ctx, shard, time.Time{}, now, after, pageSize)
		if err != nil {
			return "", time.Time{}, err
		}
		for _, p := range list {
			img, err := s.Service.Get(ctx, p.ID)
			if err == nil && img.State == imagery.Uploaded {
				return img.ID, img.Updated, nil
			}
			if err != nil && !errors.Is(err, imagery.ErrNotFound) {
				return "", time.Time{}, err
			}
		}
		if after = next; after == "" {
			return "", time.Time{}, nil
		}
	}
}

// rolloutSection shows the newest rollout, and what prevents the next one.
type rolloutSection struct {
	section
	Newest  *record.Entry           `json:"newest,omitempty"` // nil if there was none
	Lock    *record.Lock            `json:"lock,omitempty"`   // of the rollout in progress
	Abort   *record.Abort           `json:"abort,omitempty"`
	Blocked map[string]record.Block `json:"held,omitempty"` // releases that must not be rolled out
}

// rollout reads the release record. Releases maps a role and a version of its launch template, as in "server 7", to the
// release that it runs.
func (s statusSource) rollout(ctx context.Context) (r rolloutSection, releases map[string]string) {
	if s.Record == nil {
		return rolloutSection{section: notHere("this deployment has no release record")}, nil
	}
	document, err := s.Record(ctx)
	var rec record.Record
	if err == nil {
		rec, err = record.Parse(document)
	}
	if err != nil {
		return rolloutSection{section: unreadable(err)}, nil
	}
	releases = map[string]string{}
	for _, e := range slices.Backward(rec.Entries) { // oldest first, so that newer entries win
		for role, version := range e.Old {
			if e.From != "" {
				releases[string(role)+" "+version] = e.From
			}
		}
		for role, version := range e.New {
			releases[string(role)+" "+version] = e.Release
		}
	}
	r = rolloutSection{Abort: rec.Abort, Blocked: rec.Blocked}
	if rec.Lock.Live(s.Service.Now()) {
		r.Lock = rec.Lock
	}
	if len(rec.Entries) > 0 {
		r.Newest = &rec.Entries[0]
	}
	return r, releases
}

// setReleases sets the release of each instance, from the release record or else from the outputs of the stack.
func (f *fleetSection) setReleases(releases map[string]string, out outputs) {
	for i := range f.Members {
		m := &f.Members[i]
		m.Release = releases[m.Role+" "+m.Version]
		if m.Release == "" && m.Version != "" && m.Version == fmt.Sprint(out.TemplateVersions[m.Role]) {
			m.Release = out.Release
		}
	}
}

// alarmsSection shows the alarms that need attention.
type alarmsSection struct {
	section
	Total   int            `json:"total"`
	Ringing []alarms.Alarm `json:"ringing"`
	Unknown []string       `json:"withoutData"` // names of alarms without enough data
	Muted   []string       `json:"muted"`       // names of alarms whose actions are switched off
}

func (s statusSource) alarms(ctx context.Context) (a alarmsSection) {
	a.Ringing, a.Unknown, a.Muted = []alarms.Alarm{}, []string{}, []string{}
	if !s.OnAWS() {
		a.section = notHere("none: a local fleet logs to its terminal when there are dead letters")
		return a
	}
	if s.Stack == noStack {
		a.section = notHere(stackNotNamed)
		return a
	}
	list, err := alarms.New(s.cfg).List(ctx, s.Stack)
	if err != nil {
		a.section = unreadable(err)
		return a
	}
	if a.Total = len(list); a.Total == 0 {
		a.section = notHere("stack " + s.Stack + " has none in " + s.cfg.Region + ": check the name and the region")
	}
	for _, alarm := range list {
		switch alarm.State {
		case types.StateValueAlarm:
			a.Ringing = append(a.Ringing, alarm)
		case types.StateValueOk:
		default:
			a.Unknown = append(a.Unknown, alarm.Name)
		}
		if alarm.Disabled {
			a.Muted = append(a.Muted, alarm.Name)
		}
	}
	return a
}

// stackNotNamed is the problem of sections that need the name of the stack.
const stackNotNamed = "not read: name the stack to see it (--stack, IMAGERY_STACK)"
