package rollout

import (
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
)

const (
	refreshing = types.InstanceRefreshStatusInProgress
	pending    = types.InstanceRefreshStatusPending
	baking     = types.InstanceRefreshStatusBaking
	returning  = types.InstanceRefreshStatusRollbackInProgress
	cancelling = types.InstanceRefreshStatusCancelling
	successful = types.InstanceRefreshStatusSuccessful
	failed     = types.InstanceRefreshStatusFailed
	cancelled  = types.InstanceRefreshStatusCancelled
)

// aGroup returns a group of servers with a version and instances in service of the other versions given.
func aGroup(version string, instances ...string) *group {
	g := &group{role: settings.Server, version: version, min: 1}
	for _, v := range instances {
		g.instances = append(g.instances, instance{id: "i-" + v, version: v, state: types.LifecycleStateInService, healthy: true})
	}
	return g
}

// sick makes all instances unhealthy.
func (g *group) sick() *group {
	for i := range g.instances {
		g.instances[i].healthy = false
	}
	return g
}

// with adds a refresh that is newer than the others.
func (g *group) with(id, version string, status types.InstanceRefreshStatus) *group {
	f := refresh{types.InstanceRefresh{InstanceRefreshId: &id, Status: status,
		DesiredConfiguration: &types.DesiredConfiguration{LaunchTemplate: &types.LaunchTemplateSpecification{Version: aws.String(version)}}}}
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
		ends   record.Result // of the failure
	}{
		"nothing has begun":                    {aGroup("1", "1"), 0, 0, actionStartRefresh, ""},
		"an older refresh has failed":          {aGroup("1", "1").with("old", "2", failed), 0, 0, actionStartRefresh, ""},
		"pending":                              {aGroup("1", "1").with("new", "2", pending), 1, 0, actionWatchRefresh, ""},
		"in progress":                          {aGroup("1", "1", "2").with("new", "2", refreshing), 1, 0, actionWatchRefresh, ""},
		"in progress, begun by an earlier run": {aGroup("1", "1", "2").with("new", "2", refreshing), 0, 0, actionWatchRefresh, ""},
		"baking":                               {aGroup("1", "2").with("new", "2", baking), 1, 0, actionWatchBake, ""},
		"rolling back":                         {aGroup("1", "1").with("new", "2", returning), 1, 0, actionExplain, ""},
		"being cancelled":                      {aGroup("1", "1").with("new", "2", cancelling), 1, 0, actionExplain, ""},
		"failed":                               {aGroup("1", "1").with("new", "2", failed), 1, 0, actionExplain, ""},
		"cancelled":                            {aGroup("1", "1").with("new", "2", cancelled), 1, 0, actionExplain, ""},
		"another refresh":                      {aGroup("1", "1").with("new", "3", refreshing), 0, 0, actionFail, record.Inconclusive},
		"another refresh rolls back":           {aGroup("1", "1").with("new", "3", returning), 0, 0, actionFail, record.Inconclusive},
		"arrived":                              {aGroup("2", "2").with("new", "2", successful), 1, 0, actionAwaitHealthy, ""},
		"arrived, unhealthy":                   {aGroup("2", "2").sick(), 0, 0, actionAwaitHealthy, ""},
		"arrived, an instance is terminating":  {aGroup("2", "2").terminating("1"), 0, 0, actionAwaitHealthy, ""},
		"successful, version not shown yet":    {aGroup("1", "2").with("new", "2", successful), 1, 0, actionAwaitVersion, ""},
		"successful, another version":          {aGroup("1", "1").with("new", "2", successful), 3, 0, actionFail, record.Inconclusive},
		"no instance serves":                   {aGroup("1", "1").sick(), 0, 0, actionSetVersion, ""},
		"no instances at all":                  {aGroup("1"), 0, 0, actionSetVersion, ""},
		"version set, old ones fail":           {aGroup("2", "1").sick(), 0, 0, actionAwaitHealthy, ""},
		"version set, old ones serve":          {aGroup("2", "1"), 0, 0, actionStartRefresh, ""},
		"three refreshes, old ones serve":      {aGroup("2", "1"), 3, 0, actionFail, record.Inconclusive},
		"in progress for too long":             {aGroup("1", "1").with("new", "2", refreshing), 1, refreshTimeout + 1, actionFail, record.Inconclusive},
		"arrived late":                         {aGroup("2", "2"), 1, refreshTimeout + 1, actionAwaitHealthy, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := decideForward(&target{group: c.group, want: "2", before: "old", began: now.Add(-c.age), starts: c.starts}, now)
			if d.action != c.want {
				t.Errorf("action %d, want %d", d.action, c.want)
			}
			var f *failure
			if errors.As(d.err, &f) != (c.want == actionFail) || f != nil && f.ends != c.ends {
				t.Errorf("error %#v, want result %q", d.err, c.ends)
			}
			if needs := c.want == actionWatchRefresh || c.want == actionWatchBake || c.want == actionExplain; needs != (d.refresh != nil) {
				t.Errorf("refresh %v", d.refresh)
			}
		})
	}
}

func (g *group) terminating(version string) *group {
	g.instances = append(g.instances, instance{id: "i-gone", version: version, state: types.LifecycleStateTerminatingWait, healthy: true})
	return g
}

func TestDecideBack(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		group  *group
		starts int
		age    time.Duration
		want   action
	}{
		"never left":                        {aGroup("1", "1"), 0, 0, actionAwaitHealthy},
		"back, unhealthy":                   {aGroup("1", "1").sick(), 0, healthyTimeout, actionAwaitHealthy},
		"back, unhealthy for too long":      {aGroup("1", "1").sick(), 0, healthyTimeout + 1, actionStop},
		"the bad refresh is in progress":    {aGroup("1", "1", "2").with("new", "2", refreshing), 0, 0, actionRollBack},
		"the bad refresh bakes":             {aGroup("1", "2").with("new", "2", baking), 0, 0, actionRollBack},
		"AWS rolls back":                    {aGroup("1", "2").with("new", "2", returning), 0, 0, actionWait},
		"AWS cancels":                       {aGroup("1", "2").with("new", "2", cancelling), 0, 0, actionWait},
		"the bad refresh has ended":         {aGroup("2", "2").with("new", "2", successful), 0, 0, actionStartRefresh},
		"a refresh back is in progress":     {aGroup("2", "2").with("back", "1", refreshing), 1, 0, actionWatchRefresh},
		"a refresh back failed":             {aGroup("2", "2").with("back", "1", failed), 1, 0, actionStartRefresh},
		"three refreshes back failed":       {aGroup("2", "2").with("back", "1", failed), 3, 0, actionFail},
		"no instance serves":                {aGroup("2", "2").sick(), 0, 0, actionSetVersion},
		"version set, the bad ones fail":    {aGroup("1", "2").sick(), 0, 0, actionWait},
		"version set, the bad ones serve":   {aGroup("1", "2"), 0, 0, actionStartRefresh},
		"not back for too long":             {aGroup("2", "2"), 1, refreshTimeout + 1, actionFail},
		"in progress for too long":          {aGroup("2", "2").with("back", "1", refreshing), 1, refreshTimeout + 1, actionFail},
		"AWS rolls back, one is terminated": {aGroup("1", "1").terminating("2"), 0, 0, actionAwaitHealthy},
	} {
		t.Run(name, func(t *testing.T) {
			d := decideBack(&target{group: c.group, want: "1", began: now.Add(-c.age), starts: c.starts}, now)
			if d.action != c.want {
				t.Errorf("action %d, want %d", d.action, c.want)
			}
			if errors.Is(d.err, errRollbackStuck) != (c.want == actionFail) {
				t.Errorf("error %v", d.err)
			}
		})
	}
}

func TestDecideHalt(t *testing.T) {
	for name, c := range map[string]struct {
		group *group
		want  action
	}{
		"no refresh":      {aGroup("1", "2"), actionStop},
		"ended":           {aGroup("1", "2").with("a", "1", failed), actionStop},
		"in progress":     {aGroup("1", "2").with("a", "1", refreshing), actionCancel},
		"rolling back":    {aGroup("1", "2").with("a", "1", returning), actionCancel},
		"being cancelled": {aGroup("1", "2").with("a", "1", cancelling), actionWait},
	} {
		if got := decideHalt(c.group); got != c.want {
			t.Errorf("%s: action %d, want %d", name, got, c.want)
		}
	}
}

func TestDecideLaunches(t *testing.T) {
	now := time.Now()
	one := &failure{reason: "the hook timed out", failedInstance: failedInstance{instance: "i-1"}}
	zone := func(waited time.Duration) *blockedLaunch {
		return &blockedLaunch{cause: causeZone, message: "no capacity", since: now.Add(-waited)}
	}
	for name, c := range map[string]struct {
		history launchHistory
		blocked *blockedLaunch
		fails   bool
		ends    record.Result
	}{
		"nothing":                           {launchHistory{}, nil, false, ""},
		"one failure":                       {launchHistory{failures: 1, last: one}, nil, false, ""},
		"two failures":                      {launchHistory{failures: 2, last: one}, nil, true, ""},
		"two failures while blocked":        {launchHistory{failures: 2, last: one}, zone(time.Hour), true, ""},
		"blocked":                           {launchHistory{}, zone(15 * time.Minute), false, ""},
		"blocked for too long":              {launchHistory{}, zone(15*time.Minute + 1), true, record.Inconclusive},
		"a newer launch is pending":         {launchHistory{pending: true}, zone(30 * time.Minute), false, ""},
		"the newer launch pends as long":    {launchHistory{pending: true}, zone(30*time.Minute + 1), true, record.Inconclusive},
		"one failure, blocked for too long": {launchHistory{failures: 1, last: one}, zone(time.Hour), true, record.Inconclusive},
	} {
		var f *failure
		err := decideLaunches(settings.Worker, c.history, c.blocked, 2, now)
		if errors.As(err, &f) != c.fails || c.fails && f.ends != c.ends || c.fails && c.ends == "" && f.instance != "i-1" {
			t.Errorf("%s: %#v", name, err)
		}
	}
}
