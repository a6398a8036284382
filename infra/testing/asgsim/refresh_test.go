package asgsim_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"imagery/infra/testing/asgsim"
)

func TestRefreshReplacesOneByOne(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.guarded()
		before := c.serving()
		id := c.start("2", safe())
		if r := c.refresh(); r.Status != types.InstanceRefreshStatusPending || *r.InstanceRefreshId != id ||
			*r.DesiredConfiguration.LaunchTemplate.Version != "2" ||
			*r.InstancesToUpdate != 2 || *r.Preferences.BakeTime != 180 || *r.Preferences.MaxHealthyPercentage != 150 ||
			!*r.Preferences.AutoRollback {
			t.Errorf("%+v", r)
		}
		if d := c.becomes(types.InstanceRefreshStatusInProgress); d < 4*time.Second || d > 7*time.Second {
			t.Error("pending for", d)
		}
		most, seen := 0, []int32{}
		for r := c.refresh(); r.Status == types.InstanceRefreshStatusInProgress; r = c.refresh() {
			if n := len(seen); n == 0 || seen[n-1] != *r.PercentageComplete {
				seen = append(seen, *r.PercentageComplete)
			}
			alive := 0
			for _, i := range c.group().Instances {
				if i.LifecycleState == types.LifecycleStateInService || i.LifecycleState == types.LifecycleStatePending ||
					i.LifecycleState == types.LifecycleStatePendingWait {
					alive++
				}
			}
			most = max(most, alive)
			time.Sleep(time.Second)
		}
		if r := c.refresh(); r.Status != types.InstanceRefreshStatusBaking || *r.PercentageComplete != 100 ||
			*r.InstancesToUpdate != 0 {
			t.Errorf("%+v", r)
		}
		if most != 3 || fmt.Sprint(seen) != "[0 50]" {
			t.Errorf("at most %d instances at once, want 3; percentages %v, want 0 and 50", most, seen)
		}
		if got := *c.group().LaunchTemplate.Version; got != "1" {
			t.Error("the group took the version before success:", got)
		}
		if d := c.becomes(types.InstanceRefreshStatusSuccessful); d < 178*time.Second || d > 182*time.Second {
			t.Error("baked for", d)
		}
		c.all("2")
		for _, i := range c.serving() {
			if slices.ContainsFunc(before, func(o types.Instance) bool { return *o.InstanceId == *i.InstanceId }) {
				t.Error("not replaced:", *i.InstanceId)
			}
		}
		c.watched()
		// A matching group succeeds at once.
		c.start("2", safe())
		if d := c.becomes(types.InstanceRefreshStatusSuccessful); d > 10*time.Second {
			t.Error("nothing to do took", d)
		}
	})
}

// Old instances stay in service, and launches are retried for an hour unless the refresh is rolled back.
func TestRefreshWithBootsThatFail(t *testing.T) {
	for what, script := range map[string]asgsim.Script{"gives up": failsBoot(), "hangs": {},
		"refused": {Refused: "InsufficientInstanceCapacity"}} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, byVersion(script), func(c *cloud) {
				c.guarded()
				old := c.health()
				c.start("2", safe())
				c.becomes(types.InstanceRefreshStatusRollbackSuccessful)
				r := c.refresh()
				if d := r.RollbackDetails.RollbackStartTime.Sub(*r.StartTime); d < time.Hour || d > 2*time.Hour {
					t.Errorf("tried for %s", d)
				}
				if r.RollbackDetails == nil || *r.RollbackDetails.PercentageCompleteOnRollback != 0 ||
					*r.RollbackDetails.InstancesToUpdateOnRollback != 2 {
					t.Errorf("%+v", r.RollbackDetails)
				}
				c.all("1")
				if fmt.Sprint(c.health()) != fmt.Sprint(old) {
					t.Error("the old ones were touched")
				}
				c.watched()
			})
		})
	}
}

func TestRollbackByHand(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.guarded()
		refused(t, c.back(), "ActiveInstanceRefreshNotFound", name)
		id := c.start("2", safe())
		c.until("half is new", func() bool { return *c.refresh().PercentageComplete == 50 })
		if err := c.back(); err != nil {
			t.Fatal(err)
		}
		r := c.refresh()
		if r.Status != types.InstanceRefreshStatusRollbackInProgress ||
			*r.RollbackDetails.PercentageCompleteOnRollback != 50 || *r.InstanceRefreshId != id {
			t.Errorf("%+v", r)
		}
		refused(t, c.back(), "ActiveInstanceRefreshNotFound", name)
		c.becomes(types.InstanceRefreshStatusRollbackSuccessful)
		if r := c.refresh(); *r.PercentageComplete != 0 || r.EndTime == nil {
			t.Errorf("%+v", r)
		}
		c.all("1")
		c.watched()
	})
}

func TestAlarmDuringRefresh(t *testing.T) {
	for _, at := range []types.InstanceRefreshStatus{types.InstanceRefreshStatusInProgress,
		types.InstanceRefreshStatusBaking} {
		for _, auto := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s auto=%v", at, auto), func(t *testing.T) {
				inBubble(t, good, func(c *cloud) {
					c.sim.SetAlarms("OK", guardAlarm)
					c.guarded()
					p := safe()
					p.AutoRollback, p.AlarmSpecification = &auto, &types.AlarmSpecification{Alarms: []string{guardAlarm}}
					c.start("2", p)
					c.becomes(at)
					if at == types.InstanceRefreshStatusInProgress { // as long as an old one could be taken for nothing
						c.until("three serve", func() bool { return len(c.serving()) == 3 })
					}
					c.sim.SetAlarms("ALARM", guardAlarm)
					if !auto { // the scale-in that follows may terminate any instance
						c.guard.Disarm()
					}
					time.Sleep(2 * time.Second)
					if r := c.refresh(); auto != (r.RollbackDetails != nil) || !auto && r.Status != types.InstanceRefreshStatusFailed {
						t.Fatalf("%s: %s", r.Status, *r.StatusReason)
					}
					if auto {
						c.becomes(types.InstanceRefreshStatusRollbackSuccessful)
						c.all("1")
						c.watched()
					} else if *c.group().LaunchTemplate.Version != "1" {
						t.Error("a failed refresh changed the group")
					}
				})
			})
		}
	}
}

func TestFailsUnderLoad(t *testing.T) {
	unhealthy, alarm := good(asgsim.Machine{}), good(asgsim.Machine{})
	unhealthy.UnhealthyAfter = 100 * time.Second
	alarm.Alarm, alarm.AlarmAfter = guardAlarm, 100*time.Second
	for what, script := range map[string]asgsim.Script{"checks": unhealthy, "alarm": alarm} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, byVersion(script), func(c *cloud) {
				c.sim.SetAlarms("OK", guardAlarm)
				c.guarded()
				p := safe()
				p.AlarmSpecification = &types.AlarmSpecification{Alarms: []string{guardAlarm}}
				c.start("2", p)
				c.becomes(types.InstanceRefreshStatusRollbackSuccessful)
				c.all("1")
				c.watched()
			})
		})
	}
}

// Instances that launch meanwhile have the new version.
func TestScaleOutDuringRefresh(t *testing.T) {
	for _, n := range []int{3, 4} {
		t.Run(fmt.Sprint("to ", n), func(t *testing.T) {
			inBubble(t, good, func(c *cloud) {
				c.guarded()
				before := c.serving()
				c.start("2", safe())
				c.becomes(types.InstanceRefreshStatusInProgress)
				c.desire(n)
				for c.refresh().Status == types.InstanceRefreshStatusInProgress {
					for _, i := range c.group().Instances {
						if *i.LaunchTemplate.Version == "1" &&
							!slices.ContainsFunc(before, func(o types.Instance) bool { return *o.InstanceId == *i.InstanceId }) {
							t.Fatal("the old version was launched")
						}
					}
					time.Sleep(time.Second)
				}
				c.becomes(types.InstanceRefreshStatusSuccessful)
				c.all("2")
				c.watched()
			})
		})
	}
}

// A scale-in follows the termination policy, not the refresh, and the refresh then completes.
func TestScaleInDuringRefresh(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.filled()
		c.desire(4)
		c.until("four", func() bool { return len(c.serving()) == 4 })
		c.start("2", safe())
		c.until("one is new", func() bool { return *c.refresh().PercentageComplete > 0 })
		c.desire(2)
		c.becomes(types.InstanceRefreshStatusSuccessful)
		c.all("2")
	})
}

func TestCancelLeavesAMixture(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.guarded()
		refused(t, c.cancel(), "ActiveInstanceRefreshNotFound", name)
		c.start("2", safe())
		c.until("half is new", func() bool { return *c.refresh().PercentageComplete == 50 })
		if err := c.cancel(); err != nil {
			t.Fatal(err)
		}
		if got := c.refresh().Status; got != types.InstanceRefreshStatusCancelling {
			t.Error(got)
		}
		refused(t, c.back(), "ActiveInstanceRefreshNotFound", name)
		c.becomes(types.InstanceRefreshStatusCancelled)
		versions := map[string]bool{}
		for _, i := range c.serving() {
			versions[*i.LaunchTemplate.Version] = true
		}
		if len(versions) != 2 || *c.group().LaunchTemplate.Version != "1" {
			t.Error("not a mixture of an old group:", versions)
		}
		// The next refresh skips those that match, and its rollback does not touch them.
		c.start("2", safe())
		c.becomes(types.InstanceRefreshStatusSuccessful)
		c.all("2")
	})
}
