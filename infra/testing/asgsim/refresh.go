package asgsim

import (
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

// Refresh is an instance refresh as in DescribeInstanceRefreshes.
type Refresh struct {
	ID, Group         string
	Template, Version string // desired configuration; empty: none
	Preferences       Preferences
	Status            types.InstanceRefreshStatus
	Reason            string
	Start, End        time.Time
	Percent           int       // of the replacements that are healthy and warm
	ToUpdate          int       // instances still to be replaced
	Rollback          *Rollback // nil: no rollback began
}

// Rollback holds the progress of a refresh when its rollback began, and the reason.
type Rollback struct {
	Start             time.Time
	Reason            string
	Percent, ToUpdate int
}

// Preferences of a refresh. Fields that are nil or empty have the API's default.
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
	since      time.Time // start of the present status
	progressed time.Time
	// first and last are sequence numbers of launches. The refresh has launched the instances after first, and until its
	// rollback those up to last.
	first, last int
	total       int  // instances to be replaced when the refresh, or its rollback, began
	remaining   int  // smallest number of instances still to be replaced, so far
	replaced    int  // largest number of healthy and warm replacements, so far
	wait        bool // CancelRefresh waits for instances that launch or terminate
}

// finished lists the final statuses.
var finished = []types.InstanceRefreshStatus{types.InstanceRefreshStatusSuccessful, types.InstanceRefreshStatusFailed,
	types.InstanceRefreshStatusCancelled, types.InstanceRefreshStatusRollbackFailed,
	types.InstanceRefreshStatusRollbackSuccessful}

// active returns the refresh that has not ended, or nil.
func (g *group) active() *refresh {
	if n := len(g.refreshes); n > 0 && !slices.Contains(finished, g.refreshes[n-1].Status) {
		return g.refreshes[n-1]
	}
	return nil
}

// wanted returns the version of new instances. "If you associate a new launch configuration or template with an Auto
// Scaling group, all new instances will get the updated configuration." User guide: "If a scale-out event occurs
// during an instance refresh, Amazon EC2 Auto Scaling launches new instances with the desired configuration instead
// of the group's current settings." While it is cancelled or rolled back, the group's own: not documented.
func (g *group) wanted() string {
	r := g.active()
	if r != nil && r.Version != "" &&
		(r.Status == types.InstanceRefreshStatusInProgress || r.Status == types.InstanceRefreshStatusBaking) {
		return r.Version
	}
	return g.Version
}

// StartRefresh implements StartInstanceRefresh and returns the id of the new refresh. Without a template, version is
// one of the group's template. Without a version there is no desired configuration.
func (s *Simulator) StartRefresh(name, template, version string, p Preferences) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.group(name)
	if err != nil {
		return "", err
	}
	// "The request failed because an active instance refresh already exists for the specified Auto Scaling group."
	if g.active() != nil {
		return "", &apiError{"InstanceRefreshInProgress",
			"An Instance Refresh is already in progress and blocks the execution of this Instance Refresh."}
	}
	if err := s.checkStart(g, template, version, p); err != nil {
		return "", err
	}
	s.serial++
	now := time.Now()
	r := &refresh{Refresh: Refresh{ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", s.serial), Group: name,
		Template: template, Version: version, Preferences: p, Status: types.InstanceRefreshStatusPending, Start: now},
		since: now, progressed: now, first: s.serial}
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

// RollbackRefresh implements RollbackInstanceRefresh: "Cancels an instance refresh that is in progress and rolls back
// any changes that it made." It returns the refresh's id.
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
	if r == nil || r.Status == types.InstanceRefreshStatusRollbackInProgress ||
		r.Status == types.InstanceRefreshStatusCancelling {
		return "", notActive(name)
	}
	if reason := s.irreversible(g, r.Version); reason != "" {
		return "", &apiError{"IrreversibleInstanceRefresh", reason}
	}
	s.startRollback(g, r, "The rollback was initiated by a user")
	return r.ID, nil
}

// CancelRefresh implements CancelInstanceRefresh: "Cancels an instance refresh or rollback that is in progress." "This
// does not roll back any changes that it made." With wait it ends only when no instance is launching or terminating. It
// returns the refresh's id.
func (s *Simulator) CancelRefresh(name string, wait bool) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.group(name)
	if err != nil {
		return "", err
	}
	r := g.active()
	if r == nil {
		return "", notActive(name)
	}
	r.wait = wait
	s.setStatus(g, r, types.InstanceRefreshStatusCancelling, "Cancelled by a user")
	return r.ID, nil
}

func notActive(name string) error {
	return &apiError{"ActiveInstanceRefreshNotFound",
		"No in progress or pending Instance Refresh found for Auto Scaling group " + name}
}

// Refreshes returns the refreshes of a group, newest first.
func (s *Simulator) Refreshes(name string) ([]Refresh, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.group(name)
	if err != nil {
		return nil, err
	}
	var out []Refresh
	for _, r := range slices.Backward(g.refreshes) {
		out = append(out, r.copy())
	}
	return out, nil
}

func (r *refresh) copy() Refresh {
	out := r.Refresh
	if r.Rollback != nil {
		copied := *r.Rollback
		out.Rollback = &copied
	}
	return out
}

// setStatus sets the status of a refresh. The lock is held.
func (s *Simulator) setStatus(g *group, r *refresh, status types.InstanceRefreshStatus, reason string) {
	r.Status, r.Reason, r.since, r.progressed = status, reason, time.Now(), time.Now()
	if slices.Contains(finished, status) {
		r.End = r.since
	}
	s.Log("%s refresh to %s: %s %s", g.Name, r.Version, status, reason)
	s.changed(g)
}

// startRollback starts the rollback of a refresh. The lock is held.
func (s *Simulator) startRollback(g *group, r *refresh, reason string) {
	r.Rollback = &Rollback{Start: time.Now(), Reason: reason, Percent: r.Percent, ToUpdate: r.ToUpdate}
	r.last = s.serial
	r.total = 0
	s.setStatus(g, r, types.InstanceRefreshStatusRollbackInProgress, reason)
}

// fail ends a refresh that cannot continue, or starts its rollback. "AutoRollback: indicates whether to roll back the
// Auto Scaling group to its previous configuration if the instance refresh fails or a CloudWatch alarm threshold is
// met." "RollbackFailed: the rollback failed to complete." The lock is held.
func (s *Simulator) fail(g *group, r *refresh, reason string) {
	switch {
	case r.Status == types.InstanceRefreshStatusRollbackInProgress:
		s.setStatus(g, r, types.InstanceRefreshStatusRollbackFailed, reason)
	case r.Preferences.AutoRollback:
		s.startRollback(g, r, reason)
	default:
		s.setStatus(g, r, types.InstanceRefreshStatusFailed, reason)
	}
}
