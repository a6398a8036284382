package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"imagery/app/admin/alarms"
	"imagery/app/deploy/record"
	"imagery/app/imagery"
)

// fleetPart is what runs.
type fleetPart struct {
	part
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
	State   string `json:"state"` // "ready", else what it waits for
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
	// inGroup is a server that its group counts, when the balancer could not be asked.
	inGroup = "in service"
)

// well reports whether nobody needs to look at it.
func (m member) well() bool { return m.State == ready || m.State == inGroup }

// count completes the groups from the members, and puts whoever needs to be looked at first.
func (f *fleetPart) count() {
	for i := range f.Groups {
		g := &f.Groups[i]
		g.Ready, g.Members = 0, 0
		for _, m := range f.Members {
			if m.Role == g.Role {
				g.Members++
				if m.well() {
					g.Ready++
				}
			}
		}
	}
	slices.SortStableFunc(f.Members, func(a, b member) int {
		if c := strings.Compare(a.Role, b.Role); c != 0 {
			return c
		}
		if a.well() != b.well() {
			if a.well() {
				return 1
			}
			return -1
		}
		return strings.Compare(a.Name, b.Name)
	})
}

// queuePart is how many messages there are.
type queuePart struct {
	part
	Depth
}

func (l look) queue(ctx context.Context) (q queuePart) {
	var err error
	if q.Depth, err = l.Depth(ctx); err != nil {
		q.part = broken(err)
	}
	return q
}

// oldestPart is the unfinished image that waits longest; without an id there is none.
type oldestPart struct {
	part
	ID    string    `json:"id,omitempty"`
	Since time.Time `json:"since,omitzero"` // when it was uploaded
	Age   int64     `json:"ageSeconds"`
}

// oldest looks at the head of each shard of the pending index. The index may be a little behind, so an image is
// read before it counts; those that are finished by then are passed by.
func (l look) oldest(ctx context.Context) (o oldestPart) {
	now := l.Service.Now()
	for _, shard := range imagery.Shards {
		id, since, err := l.oldestOf(ctx, string(shard), now)
		if err != nil {
			return oldestPart{part: broken(fmt.Errorf("look for unfinished images: %w", err))}
		}
		if id != "" && (o.ID == "" || since.Before(o.Since)) {
			o.ID, o.Since, o.Age = id, since.UTC(), int64(now.Sub(since)/time.Second)
		}
	}
	return o
}

func (l look) oldestOf(ctx context.Context, shard string, now time.Time) (id string, since time.Time, err error) {
	const candidates = 10
	for after := ""; ; {
		list, next, err := l.Service.Catalog.Pending(ctx, shard, time.Time{}, now, after, candidates)
		if err != nil {
			return "", time.Time{}, err
		}
		for _, p := range list {
			img, err := l.Service.Get(ctx, p.ID)
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

// rolloutPart is the newest rollout, and what stands in the way of the next one.
type rolloutPart struct {
	part
	Newest  *record.Entry           `json:"newest,omitempty"` // nil: there was none
	Lock    *record.Lock            `json:"lock,omitempty"`   // of who rolls out now
	Abort   *record.Abort           `json:"abort,omitempty"`
	Blocked map[string]record.Block `json:"held,omitempty"` // releases that must not go out
}

// rollout reads the release record. Releases tells which release a version of a role's launch template runs, as in
// "server 7".
func (l look) rollout(ctx context.Context) (r rolloutPart, releases map[string]string) {
	if l.Record == nil {
		return rolloutPart{part: absent("there is no release record here")}, nil
	}
	document, err := l.Record(ctx)
	var rec record.Record
	if err == nil {
		rec, err = record.Parse(document)
	}
	if err != nil {
		return rolloutPart{part: broken(err)}, nil
	}
	releases = map[string]string{}
	for _, e := range slices.Backward(rec.Entries) { // a newer one knows better
		for role, version := range e.Old {
			if e.From != "" {
				releases[role+" "+version] = e.From
			}
		}
		for role, version := range e.New {
			releases[role+" "+version] = e.Release
		}
	}
	r = rolloutPart{Abort: rec.Abort, Blocked: rec.Blocked}
	if rec.Lock.Live(l.Service.Now()) {
		r.Lock = rec.Lock
	}
	if len(rec.Entries) > 0 {
		r.Newest = &rec.Entries[0]
	}
	return r, releases
}

// name says which release each instance runs: as the record has it, or else as the stack's outputs have it.
func (f *fleetPart) name(releases map[string]string, out outputs) {
	for i := range f.Members {
		m := &f.Members[i]
		m.Release = releases[m.Role+" "+m.Version]
		if m.Release == "" && m.Version != "" && m.Version == fmt.Sprint(out.TemplateVersions[m.Role]) {
			m.Release = out.Release
		}
	}
}

// alarmsPart is what rings.
type alarmsPart struct {
	part
	Total   int            `json:"total"`
	Ringing []alarms.Alarm `json:"ringing"`
	Unknown []string       `json:"withoutData"` // names of those that cannot judge yet
	Muted   []string       `json:"muted"`       // names of those that tell nobody
}

func (l look) alarms(ctx context.Context) (a alarmsPart) {
	a.Ringing, a.Unknown, a.Muted = []alarms.Alarm{}, []string{}, []string{}
	if !l.OnAWS() {
		a.part = absent("none: a local fleet says in its terminal when there are dead letters")
		return a
	}
	if l.Stack == noStack {
		a.part = absent(nameTheStack)
		return a
	}
	list, err := alarms.New(l.cfg).List(ctx, l.Stack)
	if err != nil {
		a.part = broken(err)
		return a
	}
	if a.Total = len(list); a.Total == 0 {
		a.part = absent("stack " + l.Stack + " has none in " + l.cfg.Region + ": is the name right?")
	}
	for _, alarm := range list {
		switch alarm.State {
		case alarms.Ringing:
			a.Ringing = append(a.Ringing, alarm)
		case alarms.Quiet:
		default:
			a.Unknown = append(a.Unknown, alarm.Name)
		}
		if alarm.Muted {
			a.Muted = append(a.Muted, alarm.Name)
		}
	}
	return a
}

// nameTheStack is the problem of parts that are found by the stack's name.
const nameTheStack = "not asked: name the stack to see it (-stack, IMAGERY_STACK)"
