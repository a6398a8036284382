package asgsim_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

// A protected instance is replaced, ignored, or the refresh waits for an hour.
func TestProtectedInstances(t *testing.T) {
	for _, how := range []types.ScaleInProtectedInstances{types.ScaleInProtectedInstancesRefresh,
		types.ScaleInProtectedInstancesIgnore, types.ScaleInProtectedInstancesWait, ""} {
		t.Run("protected "+string(how), func(t *testing.T) {
			inBubble(t, good, func(c *cloud) {
				c.guarded()
				id := *c.serving()[0].InstanceId
				if _, err := c.as.SetInstanceProtection(context.Background(),
					&autoscaling.SetInstanceProtectionInput{AutoScalingGroupName: aws.String(name),
						InstanceIds: []string{id}, ProtectedFromScaleIn: aws.Bool(true)}); err != nil {
					t.Fatal(err)
				}
				p := safe()
				p.ScaleInProtectedInstances = how
				c.start("2", p)
				there := func() bool {
					return slices.ContainsFunc(c.serving(),
						func(i types.Instance) bool { return *i.InstanceId == id && *i.ProtectedFromScaleIn })
				}
				switch how {
				case types.ScaleInProtectedInstancesRefresh:
					c.becomes(types.InstanceRefreshStatusSuccessful)
					c.all("2")
				case types.ScaleInProtectedInstancesIgnore:
					c.becomes(types.InstanceRefreshStatusSuccessful)
					if !there() {
						t.Error("the protected instance was terminated")
					}
				default: // waits
					if d := c.becomes(types.InstanceRefreshStatusRollbackSuccessful); d < time.Hour || d > 2*time.Hour || !there() {
						t.Errorf("after %s; still there: %v", d, there())
					}
					c.all("1")
				}
				c.watched()
			})
		})
	}
}

func TestProtectionFromScaleIn(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.filled()
		old := *c.serving()[0].InstanceId
		if err := c.sim.Protect(old, true); err != nil {
			t.Fatal(err)
		}
		if err := c.desire(4); err != nil {
			t.Fatal(err)
		}
		c.until("four", func() bool { return len(c.serving()) == 4 })
		if err := c.desire(2); err != nil {
			t.Fatal(err)
		}
		c.until("two", func() bool { return len(c.group().Instances) == 2 })
		if !slices.ContainsFunc(c.serving(), func(i types.Instance) bool { return *i.InstanceId == old }) {
			t.Error("the protected instance was terminated")
		}
	})
}

func TestStandbyInstances(t *testing.T) {
	for _, how := range []types.StandbyInstances{types.StandbyInstancesTerminate, types.StandbyInstancesIgnore,
		types.StandbyInstancesWait} {
		t.Run("standby "+string(how), func(t *testing.T) {
			inBubble(t, good, func(c *cloud) {
				c.filled()
				if err := c.desire(3); err != nil {
					t.Fatal(err)
				}
				c.until("three", func() bool { return len(c.serving()) == 3 })
				id := *c.serving()[0].InstanceId
				if err := c.sim.Standby(id, true); err != nil {
					t.Fatal(err)
				}
				if *c.group().DesiredCapacity != 2 || len(c.in(types.LifecycleStateStandby)) != 1 {
					t.Fatal("the instance is not in Standby")
				}
				p := safe()
				p.StandbyInstances = how
				c.start("2", p)
				want := types.InstanceRefreshStatusSuccessful
				if how == types.StandbyInstancesWait {
					want = types.InstanceRefreshStatusRollbackSuccessful
				}
				c.becomes(want)
				c.until("no instance launches or terminates", func() bool {
					return len(c.serving())+len(c.in(types.LifecycleStateStandby)) == len(c.group().Instances)
				})
				if left := len(c.in(types.LifecycleStateStandby)); (left == 0) != (how == types.StandbyInstancesTerminate) {
					t.Errorf("%d in Standby", left)
				}
			})
		})
	}
}

// Each replacement waits for the warm-up of the one before: that of the refresh, else the group's grace period.
func TestWarmup(t *testing.T) {
	for _, seconds := range []int32{-1, 0, 300} {
		t.Run(fmt.Sprint(seconds), func(t *testing.T) {
			inBubble(t, good, func(c *cloud) {
				c.guarded()
				p, want := safe(), 90*time.Second
				if seconds >= 0 {
					p.InstanceWarmup, want = &seconds, max(time.Duration(seconds), 20)*time.Second // 20 s of the balancer's checks
				}
				c.start("2", p)
				fresh := func(i types.Instance) bool { return *i.LaunchTemplate.Version == "2" }
				c.until("the first new instance is in service", func() bool { return slices.ContainsFunc(c.serving(), fresh) })
				warm := c.until("an old one goes", func() bool {
					return slices.ContainsFunc(c.group().Instances,
						func(i types.Instance) bool { return !fresh(i) && i.LifecycleState == types.LifecycleStateTerminating })
				})
				if warm < want-2*time.Second || warm > want+2*time.Second {
					t.Errorf("after %s, want %s", warm, want)
				}
				c.becomes(types.InstanceRefreshStatusSuccessful)
				c.watched()
			})
		})
	}
}

// The percentages decide whether new instances launch first, and how many at once.
func TestHealthyPercentages(t *testing.T) {
	for what, c := range map[string]struct {
		least, most          *int32
		atLeast, atMost, old int // instances in service, alive, and old ones gone when the first new one is launched
	}{
		"100 and 150": {aws.Int32(100), aws.Int32(150), 4, 6, 0},
		"100 and 100": {aws.Int32(100), aws.Int32(100), 4, 5, 0},
		"50 and 100":  {aws.Int32(50), aws.Int32(100), 2, 4, 2},
		"75 and 125":  {aws.Int32(75), aws.Int32(125), 3, 5, 1},
		"0 and 100":   {aws.Int32(0), aws.Int32(100), 0, 4, 4},
		"of group":    {nil, nil, 4, 6, 0},
	} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, good, func(w *cloud) {
				w.filled()
				if err := w.desire(4); err != nil {
					t.Fatal(err)
				}
				w.until("four", func() bool { return len(w.serving()) == 4 })
				time.Sleep(2 * time.Minute)
				p := safe()
				p.MinHealthyPercentage, p.MaxHealthyPercentage = c.least, c.most
				w.start("2", p)
				least, most, gone := 4, 0, -1
				for status := w.refresh().Status; status != types.InstanceRefreshStatusSuccessful; status = w.refresh().Status {
					if status == types.InstanceRefreshStatusBaking && len(w.serving()) < 4 {
						t.Fatal("it bakes before all instances are in service")
					}
					all := slices.DeleteFunc(w.group().Instances,
						func(i types.Instance) bool { return i.LifecycleState[:4] == "Term" })
					if gone < 0 && slices.ContainsFunc(all, func(i types.Instance) bool { return *i.LaunchTemplate.Version == "2" }) {
						gone = 4 - len(slices.DeleteFunc(slices.Clone(all),
							func(i types.Instance) bool { return *i.LaunchTemplate.Version == "2" }))
					}
					least, most = min(least, len(w.serving())), max(most, len(all))
					time.Sleep(time.Second)
				}
				if least != c.atLeast || most != c.atMost || gone != c.old {
					t.Errorf("at least %d served, at most %d were there, %d old ones were gone; want %d, %d, %d", least, most, gone,
						c.atLeast, c.atMost, c.old)
				}
				w.all("2")
			})
		})
	}
}

// A refresh waits while its alarm has insufficient data.
func TestAlarmWithoutData(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.sim.Green(guardAlarm)
		c.guarded()
		p := safe()
		p.AlarmSpecification = &types.AlarmSpecification{Alarms: []string{guardAlarm}}
		c.start("2", p)
		c.sim.SetAlarm(guardAlarm, "INSUFFICIENT_DATA", "")
		time.Sleep(30 * time.Minute)
		if r := c.refresh(); r.Status != types.InstanceRefreshStatusInProgress || len(c.group().Instances) != 2 ||
			*r.InstancesToUpdate != 2 {
			t.Errorf("%s with %d instances", r.Status, len(c.group().Instances))
		}
		c.sim.Green(guardAlarm)
		c.becomes(types.InstanceRefreshStatusSuccessful)
		c.all("2")
		c.watched()
	})
}
