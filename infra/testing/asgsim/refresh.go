package asgsim

import (
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

// Refresh is an instance refresh as DescribeInstanceRefreshes tells of it.
type Refresh struct {
	ID, Group         string
	Template, Version string // desired configuration; empty: none was given
	Preferences       Preferences
	Status            types.InstanceRefreshStatus
	Reason            string
	Start, End        time.Time
	// Percent of the replacements that are healthy and warm, and how many instances are still to be replaced.
	Percent, ToUpdate int
	Rollback          *Rollback // nil: none began
}

// Rollback holds the progress of a refresh when its rollback began, and the reason.
type Rollback struct {
	Start             time.Time
	Reason            string
	Percent, ToUpdate int
}

// Preferences of a refresh. What is nil or empty has the API's default.
type Preferences struct {
	MinHealthy, MaxHealthy     *int // percent
	SkipMatching, AutoRollback bool
	Alarms                     []string
	BakeTime                   time.Duration
	Warmup                     *time.Duration
	Protected, Standby         string // Refresh or Terminate, Ignore, Wait
}

type refresh struct {
	Refresh
	since time.Time // in the present status
	moved time.Time // last progress
	// Launches from first on, up to last once there is a rollback, are the refresh's own.
	first, last int
	total       int // to be replaced, when the present direction began
	left        int // the fewest that were still to be replaced
	done        int // the most replacements that were healthy and warm
	wait        bool
}

var finished = []types.InstanceRefreshStatus{types.InstanceRefreshStatusSuccessful, types.InstanceRefreshStatusFailed,
	types.InstanceRefreshStatusCancelled, types.InstanceRefreshStatusRollbackFailed, types.InstanceRefreshStatusRollbackSuccessful}

// active is the refresh that has not ended; nil if there is none.
func (g *group) active() *refresh {
	if n := len(g.refreshes); n > 0 && !slices.Contains(finished, g.refreshes[n-1].Status) {
		return g.refreshes[n-1]
	}
	return nil
}

// wanted is the version that launches use. "If you associate a new launch configuration or template with an Auto
// Scaling group, all new instances will get the updated configuration." User guide: "If a scale-out event occurs
// during an instance refresh, Amazon EC2 Auto Scaling launches new instances with the desired configuration instead
// of the group's current settings." While it is cancelled or rolled back, the group's own: not documented.
func (g *group) wanted() string {
	r := g.active()
	if r != nil && r.Version != "" && (r.Status == types.InstanceRefreshStatusInProgress || r.Status == types.InstanceRefreshStatusBaking) {
		return r.Version
	}
	return g.Version
}

// StartRefresh is StartInstanceRefresh. A version without a template is of the group's template; no version is no
// desired configuration. It returns the new refresh's id.
func (s *Simulator) StartRefresh(name, template, version string, p Preferences) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.group(name)
	if err != nil {
		return "", err
	}
	// "The request failed because an active instance refresh already exists for the specified Auto Scaling group."
	if g.active() != nil {
		return "", &apiError{"InstanceRefreshInProgress", "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh."}
	}
	if err := s.startable(g, template, version, p); err != nil {
		return "", err
	}
	s.serial++
	now := time.Now()
	r := &refresh{Refresh: Refresh{ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", s.serial), Group: name, Template: template, Version: version,
		Preferences: p, Status: types.InstanceRefreshStatusPending, Start: now}, since: now, moved: now, first: s.serial}
	if version != "" && template == "" {
		r.Template = g.Template
	}
	for _, i := range g.partition().good {
		r.ToUpdate += btoi(r.outdated(g, i))
	}
	g.refreshes = append(g.refreshes, r)
	s.changed(g)
	return r.ID, nil
}

// RollbackRefresh is RollbackInstanceRefresh: "Cancels an instance refresh that is in progress and rolls back any
// changes that it made." It returns the refresh's id.
func (s *Simulator) RollbackRefresh(name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.group(name)
	if err != nil {
		return "", err
	}
	r := g.active()
	// "An active instance refresh or rollback for the specified Auto Scaling group was not found." That one that is
	// rolled back or cancelled already counts as not found is not documented.
	if r == nil || r.Status == types.InstanceRefreshStatusRollbackInProgress || r.Status == types.InstanceRefreshStatusCancelling {
		return "", &apiError{"ActiveInstanceRefreshNotFound", "No in progress or pending Instance Refresh found for Auto Scaling group " + name}
	}
	if why := s.irreversible(g, r.Version); why != "" {
		return "", &apiError{"IrreversibleInstanceRefresh", why}
	}
	s.back(g, r, "The rollback was initiated by a user")
	return r.ID, nil
}

// CancelRefresh implements CancelInstanceRefresh: "Cancels an instance refresh or rollback that is in progress." "This does
// not roll back any changes that it made." With wait it ends only when no instance is launching or terminating. It returns
// the refresh's id.
func (s *Simulator) CancelRefresh(name string, wait bool) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.group(name)
	if err != nil {
		return "", err
	}
	r := g.active()
	if r == nil {
		return "", &apiError{"ActiveInstanceRefreshNotFound", "No in progress or pending Instance Refresh found for Auto Scaling group " + name}
	}
	r.wait = wait
	s.to(g, r, types.InstanceRefreshStatusCancelling, "Cancelled by a user")
	return r.ID, nil
}

// Refreshes are those of a group, newest first.
func (s *Simulator) Refreshes(name string) ([]Refresh, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.group(name)
	if err != nil {
		return nil, err
	}
	var out []Refresh
	for _, r := range slices.Backward(g.refreshes) {
		out = append(out, r.shown())
	}
	return out, nil
}

func (r *refresh) shown() Refresh {
	out := r.Refresh
	if r.Rollback != nil {
		copied := *r.Rollback
		out.Rollback = &copied
	}
	return out
}

// to moves a refresh to another status. The lock is held.
func (s *Simulator) to(g *group, r *refresh, status types.InstanceRefreshStatus, reason string) {
	r.Status, r.Reason, r.since, r.moved = status, reason, time.Now(), time.Now()
	if slices.Contains(finished, status) {
		r.End = r.since
	}
	s.Log("%s refresh to %s: %s %s", g.Name, r.Version, status, reason)
	s.changed(g)
}

// back begins a rollback. The lock is held.
func (s *Simulator) back(g *group, r *refresh, reason string) {
	r.Rollback = &Rollback{Start: time.Now(), Reason: reason, Percent: r.Percent, ToUpdate: r.ToUpdate}
	r.last = s.serial
	r.total = 0
	s.to(g, r, types.InstanceRefreshStatusRollbackInProgress, reason)
}

// fail ends a refresh that cannot go on. "AutoRollback: indicates whether to roll back the Auto Scaling group to its
// previous configuration if the instance refresh fails or a CloudWatch alarm threshold is met." "RollbackFailed: the
// rollback failed to complete." The lock is held.
func (s *Simulator) fail(g *group, r *refresh, reason string) {
	switch {
	case r.Status == types.InstanceRefreshStatusRollbackInProgress:
		s.to(g, r, types.InstanceRefreshStatusRollbackFailed, reason)
	case r.Preferences.AutoRollback:
		s.back(g, r, reason)
	default:
		s.to(g, r, types.InstanceRefreshStatusFailed, reason)
	}
}
