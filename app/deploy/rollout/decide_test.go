package rollout

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
)

const (
	refreshing  = types.InstanceRefreshStatusInProgress
	pending     = types.InstanceRefreshStatusPending
	baking      = types.InstanceRefreshStatusBaking
	rollingBack = types.InstanceRefreshStatusRollbackInProgress
	cancelling  = types.InstanceRefreshStatusCancelling
	successful  = types.InstanceRefreshStatusSuccessful
	failed      = types.InstanceRefreshStatusFailed
	cancelled   = types.InstanceRefreshStatusCancelled
)

// tooLate is an age at which a rollout has timed out.
const tooLate = refreshTimeout + 1

// servers returns the group of servers with a version, and with one healthy instance of each of the given versions.
func servers(version string, instances ...string) *group {
	g := &group{role: settings.Server, version: version, min: 1}
	for _, v := range instances {
		g.instances = append(g.instances,
			instance{id: "i-" + v, version: v, state: types.LifecycleStateInService, healthy: true})
	}
	return g
}

// unhealthy makes all instances unhealthy.
func (g *group) unhealthy() *group {
	for i := range g.instances {
		g.instances[i].healthy = false
	}
	return g
}

// with adds a refresh that is newer than the others.
func (g *group) with(id, version string, status types.InstanceRefreshStatus) *group {
	desired := &types.DesiredConfiguration{LaunchTemplate: &types.LaunchTemplateSpecification{Version: &version}}
	f := refresh{types.InstanceRefresh{InstanceRefreshId: &id, Status: status, DesiredConfiguration: desired}}
	g.refreshes = append([]refresh{f}, g.refreshes...)
	return g
}

func TestDecideForward(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		group  *group
		starts int
		age    time.Duration
		want   action
	}{
		"not started":                     {servers("1", "1"), 0, 0, actionStartRefresh},
		"an older refresh has failed":     {servers("1", "1").with("old", "2", failed), 0, 0, actionStartRefresh},
		"pending":                         {servers("1", "1").with("new", "2", pending), 1, 0, actionWatchRefresh},
		"in progress":                     {servers("1", "1", "2").with("new", "2", refreshing), 1, 0, actionWatchRefresh},
		"begun by an earlier run":         {servers("1", "1", "2").with("new", "2", refreshing), 0, 0, actionWatchRefresh},
		"baking":                          {servers("1", "2").with("new", "2", baking), 1, 0, actionWatchBake},
		"rolling back":                    {servers("1", "1").with("new", "2", rollingBack), 1, 0, actionExplain},
		"being cancelled":                 {servers("1", "1").with("new", "2", cancelling), 1, 0, actionExplain},
		"failed":                          {servers("1", "1").with("new", "2", failed), 1, 0, actionExplain},
		"cancelled":                       {servers("1", "1").with("new", "2", cancelled), 1, 0, actionExplain},
		"another refresh":                 {servers("1", "1").with("new", "3", refreshing), 0, 0, actionFail},
		"another refresh rolls back":      {servers("1", "1").with("new", "3", rollingBack), 0, 0, actionFail},
		"arrived":                         {servers("2", "2").with("new", "2", successful), 1, 0, actionAwaitHealthy},
		"arrived, unhealthy":              {servers("2", "2").unhealthy(), 0, 0, actionAwaitHealthy},
		"arrived, one is terminating":     {servers("2", "2").terminating("1"), 0, 0, actionAwaitHealthy},
		"successful, not shown yet":       {servers("1", "2").with("new", "2", successful), 1, 0, actionAwaitVersion},
		"successful, another version":     {servers("1", "1").with("new", "2", successful), 3, 0, actionFail},
		"no instance serves":              {servers("1", "1").unhealthy(), 0, 0, actionSetVersion},
		"no instances at all":             {servers("1"), 0, 0, actionSetVersion},
		"version set, old ones fail":      {servers("2", "1").unhealthy(), 0, 0, actionAwaitHealthy},
		"version set, old ones serve":     {servers("2", "1"), 0, 0, actionStartRefresh},
		"three refreshes, old ones serve": {servers("2", "1"), 3, 0, actionFail},
		"in progress for too long":        {servers("1", "1").with("new", "2", refreshing), 1, tooLate, actionFail},
		"arrived late":                    {servers("2", "2"), 1, tooLate, actionAwaitHealthy},
	} {
		t.Run(name, func(t *testing.T) {
			d := decideForward(&target{
				group: c.group, want: "2", before: "old", began: now.Add(-c.age), starts: c.starts}, now)
			if d.action != c.want {
				t.Errorf("action %d, want %d", d.action, c.want)
			}
			var f *Error
			if errors.As(d.err, &f) != (c.want == actionFail) || f != nil && f.result != record.Inconclusive {
				t.Errorf("error %#v", d.err)
			}
			aboutRefresh := []action{actionWatchRefresh, actionWatchBake, actionExplain}
			if slices.Contains(aboutRefresh, c.want) != (d.refresh != nil) {
				t.Errorf("refresh %v", d.refresh)
			}
		})
	}
}

// terminating adds an instance that is being terminated.
func (g *group) terminating(version string) *group {
	g.instances = append(g.instances,
		instance{id: "i-gone", version: version, state: types.LifecycleStateTerminatingWait, healthy: true})
	return g
}

func TestDecideRollback(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		group  *group
		starts int
		age    time.Duration
		want   action
	}{
		"not changed":                   {servers("1", "1"), 0, 0, actionAwaitHealthy},
		"back, unhealthy":               {servers("1", "1").unhealthy(), 0, healthyTimeout, actionAwaitHealthy},
		"back, unhealthy for too long":  {servers("1", "1").unhealthy(), 0, healthyTimeout + 1, actionStop},
		"the refresh is in progress":    {servers("1", "1", "2").with("new", "2", refreshing), 0, 0, actionRollBack},
		"the refresh bakes":             {servers("1", "2").with("new", "2", baking), 0, 0, actionRollBack},
		"AWS rolls back":                {servers("1", "2").with("new", "2", rollingBack), 0, 0, actionWait},
		"AWS cancels":                   {servers("1", "2").with("new", "2", cancelling), 0, 0, actionWait},
		"the refresh has ended":         {servers("2", "2").with("new", "2", successful), 0, 0, actionStartRefresh},
		"a refresh back is in progress": {servers("2", "2").with("back", "1", refreshing), 1, 0, actionWatchRefresh},
		"a refresh back has failed":     {servers("2", "2").with("back", "1", failed), 1, 0, actionStartRefresh},
		"three of them have failed":     {servers("2", "2").with("back", "1", failed), 3, 0, actionFail},
		"no instance serves":            {servers("2", "2").unhealthy(), 0, 0, actionSetVersion},
		"version set, others fail":      {servers("1", "2").unhealthy(), 0, 0, actionWait},
		"version set, others serve":     {servers("1", "2"), 0, 0, actionStartRefresh},
		"not back for too long":         {servers("2", "2"), 1, tooLate, actionFail},
		"in progress for too long":      {servers("2", "2").with("back", "1", refreshing), 1, tooLate, actionFail},
		"back, one is terminating":      {servers("1", "1").terminating("2"), 0, 0, actionAwaitHealthy},
	} {
		t.Run(name, func(t *testing.T) {
			d := decideRollback(&target{group: c.group, want: "1", began: now.Add(-c.age), starts: c.starts}, now)
			if d.action != c.want {
				t.Errorf("action %d, want %d", d.action, c.want)
			}
			if errors.Is(d.err, errRollbackStuck) != (c.want == actionFail) {
				t.Errorf("error %v", d.err)
			}
		})
	}
}

func TestDecideRollbackOfAStuckGroup(t *testing.T) {
	for name, c := range map[string]struct {
		group *group
		want  action
	}{
		"no refresh":      {servers("1", "2"), actionStop},
		"ended":           {servers("1", "2").with("a", "1", failed), actionStop},
		"in progress":     {servers("1", "2").with("a", "1", refreshing), actionCancel},
		"rolling back":    {servers("1", "2").with("a", "1", rollingBack), actionCancel},
		"being cancelled": {servers("1", "2").with("a", "1", cancelling), actionWait},
	} {
		stuck := &target{group: c.group, want: "1", began: time.Now(), stuck: errRollbackStuck}
		if d := decideRollback(stuck, time.Now()); d.action != c.want || d.err != nil {
			t.Errorf("%s: action %d, error %v, want %d", name, d.action, d.err, c.want)
		}
	}
}

func TestDecideLaunches(t *testing.T) {
	now := time.Now()
	const inconclusive = record.Inconclusive
	two := []*Error{{Reason: "the hook timed out", Instance: "i-1"}, {Reason: "it is unhealthy", Instance: "i-2"}}
	zone := func(waited time.Duration) *blockedLaunch {
		return &blockedLaunch{cause: causeZone, message: "no capacity", since: now.Add(-waited)}
	}
	for name, c := range map[string]struct {
		history launchHistory
		blocked *blockedLaunch
		fails   bool
		ends    record.Result
	}{
		"nothing":                       {launchHistory{}, nil, false, ""},
		"one failure":                   {launchHistory{failed: two[:1]}, nil, false, ""},
		"two failures":                  {launchHistory{failed: two}, nil, true, ""},
		"two failures while blocked":    {launchHistory{failed: two}, zone(time.Hour), true, ""},
		"blocked":                       {launchHistory{}, zone(15 * time.Minute), false, ""},
		"blocked for too long":          {launchHistory{}, zone(15*time.Minute + 1), true, inconclusive},
		"a newer launch is pending":     {launchHistory{pending: true}, zone(30 * time.Minute), false, ""},
		"pending for too long":          {launchHistory{pending: true}, zone(30*time.Minute + 1), true, inconclusive},
		"one failure, blocked too long": {launchHistory{failed: two[:1]}, zone(time.Hour), true, inconclusive},
	} {
		var f *Error
		err := decideLaunches(settings.Worker, c.history, c.blocked, 2, now)
		if errors.As(err, &f) != c.fails ||
			c.fails && (f.result != c.ends || c.ends == "" && f.Instance != "i-1") {
			t.Errorf("%s: %#v", name, err)
		}
	}
}
