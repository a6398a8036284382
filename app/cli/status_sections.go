package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"imagery/app/admin/alarms"
	"imagery/app/deploy/record"
	"imagery/app/imagery"
)

// statusReport is all that status shows.
type statusReport struct {
	At      time.Time      `json:"at"`
	Place   string         `json:"place"` // a stack and its region, or a data folder
	Fleet   fleetSection   `json:"fleet"`
	Rollout rolloutSection `json:"rollout"`
	Queue   queueSection   `json:"queue"`
	Oldest  oldestSection  `json:"oldestUnfinished"`
	Alarms  alarmsSection  `json:"alarms"`
}

// section is the common part of all sections.
type section struct {
	// Problem is the reason for which the section has no facts; empty if it has.
	Problem string `json:"problem,omitempty"`
}

// errStackNotNamed is the problem of sections that need the name of the stack.
var errStackNotNamed = errors.New("not read: name the stack to see it (--stack, IMAGERY_STACK)")

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

// add adds a group with its members, those that need attention first.
func (f *fleetSection) add(g group, members []member) {
	for _, m := range members {
		if m.healthy() {
			g.Ready++
		}
	}
	key := func(m member) string { return fmt.Sprint(m.healthy(), " ", m.Name) } // "false" comes first
	slices.SortFunc(members, func(a, b member) int { return cmp.Compare(key(a), key(b)) })
	g.Members = len(members)
	f.Groups, f.Members = append(f.Groups, g), append(f.Members, members...)
}

// queueSection shows the number of messages.
type queueSection struct {
	section
	QueueDepth
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
func (s statusSource) oldest(ctx context.Context, o *oldestSection) error {
	now := s.Service.Now()
	for _, shard := range imagery.Shards {
		img, err := s.oldestOf(ctx, string(shard), now)
		if err != nil {
			return fmt.Errorf("list unfinished images: %w", err)
		}
		if img.ID != "" && (o.ID == "" || img.Updated.Before(o.Since)) {
			o.ID, o.Since, o.Age = img.ID, img.Updated.UTC(), int64(now.Sub(img.Updated)/time.Second)
		}
	}
	return nil
}

// oldestOf returns the oldest unfinished image of a shard, the zero Image if there is none.
func (s statusSource) oldestOf(ctx context.Context, shard string, now time.Time) (imagery.Image, error) {
	const pageSize = 10
	for after := ""; ; {
		list, next, err := s.Service.Catalog.Pending(ctx, shard, time.Time{}, now, after, pageSize)
		if err != nil {
			return imagery.Image{}, err
		}
		for _, p := range list {
			img, err := s.Service.Get(ctx, p.ID)
			if err == nil && img.State != imagery.Uploaded || errors.Is(err, imagery.ErrNotFound) {
				continue
			}
			return img, err
		}
		if after = next; after == "" {
			return imagery.Image{}, nil
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

	releases map[string]string // by role and version of the launch template, as in "server 7"
}

// rollout reads the release record.
func (s statusSource) rollout(ctx context.Context, r *rolloutSection) error {
	if s.Record == nil {
		return errors.New("none: a local fleet runs the binary that started it")
	}
	document, err := s.Record(ctx)
	if err != nil {
		return err
	}
	rec, err := record.Parse(document)
	if err != nil {
		return err
	}
	r.releases = map[string]string{}
	for _, e := range slices.Backward(rec.Entries) { // oldest first, so that newer entries win
		for role, version := range e.Old {
			if e.From != "" {
				r.releases[string(role)+" "+version] = e.From
			}
		}
		for role, version := range e.New {
			r.releases[string(role)+" "+version] = e.Release
		}
	}
	r.Abort, r.Blocked = rec.Abort, rec.Blocked
	if rec.Lock.Live(s.Service.Now()) {
		r.Lock = rec.Lock
	}
	if len(rec.Entries) > 0 {
		r.Newest = &rec.Entries[0]
	}
	return nil
}

// setReleases sets the release of each instance, from the release record or else from the outputs of the stack.
func (o *statusReport) setReleases(out outputs) {
	for i := range o.Fleet.Members {
		m := &o.Fleet.Members[i]
		m.Release = o.Rollout.releases[m.Role+" "+m.Version]
		if m.Release == "" && m.Version != "" && m.Version == fmt.Sprint(out.TemplateVersions[m.Role]) {
			m.Release = out.Release
		}
	}
}

// alarmsSection shows the alarms that need attention.
type alarmsSection struct {
	section
	Total    int            `json:"total"`
	Alarming []alarms.Alarm `json:"ringing"`
	Unknown  []string       `json:"withoutData"` // names of alarms without enough data
	Disabled []string       `json:"muted"`       // names of alarms whose actions are switched off
}

func (s statusSource) alarms(ctx context.Context, a *alarmsSection) error {
	if !s.OnAWS() {
		return errors.New("none: a local fleet logs to its terminal when there are dead letters")
	}
	if s.Stack == noStack {
		return errStackNotNamed
	}
	list, err := alarms.New(s.cfg).List(ctx, s.Stack)
	if err != nil {
		return err
	}
	for _, alarm := range list {
		switch alarm.State {
		case types.StateValueAlarm:
			a.Alarming = append(a.Alarming, alarm)
		case types.StateValueInsufficientData:
			a.Unknown = append(a.Unknown, alarm.Name)
		}
		if alarm.Disabled {
			a.Disabled = append(a.Disabled, alarm.Name)
		}
	}
	if a.Total = len(list); a.Total == 0 {
		return fmt.Errorf("stack %s has none in %s: check the name and the region", s.Stack, s.cfg.Region)
	}
	return nil
}
