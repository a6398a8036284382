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

	"imagery/infra/testing/asgsim"
)

// A protected instance is replaced, left alone, or waited for, an hour at most.
func TestProtectedInstances(t *testing.T) {
	for _, how := range []types.ScaleInProtectedInstances{types.ScaleInProtectedInstancesRefresh, types.ScaleInProtectedInstancesIgnore, types.ScaleInProtectedInstancesWait, ""} {
		t.Run("protected "+string(how), func(t *testing.T) {
			inBubble(t, good, func(c *cloud) {
				c.guarded()
				id := *c.serving()[0].InstanceId
				if _, err := c.as.SetInstanceProtection(context.Background(), &autoscaling.SetInstanceProtectionInput{AutoScalingGroupName: aws.String(name),
					InstanceIds: []string{id}, ProtectedFromScaleIn: aws.Bool(true)}); err != nil {
					t.Fatal(err)
				}
				p := safe()
				p.ScaleInProtectedInstances = how
				c.start("2", p)
				there := func() bool {
					return slices.ContainsFunc(c.serving(), func(i types.Instance) bool { return *i.InstanceId == id && *i.ProtectedFromScaleIn })
				}
				switch how {
				case types.ScaleInProtectedInstancesRefresh:
					c.becomes(types.InstanceRefreshStatusSuccessful)
					c.all("2")
				case types.ScaleInProtectedInstancesIgnore:
					c.becomes(types.InstanceRefreshStatusSuccessful)
					if !there() {
						t.Error("the protected one is gone")
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

// A scale-in takes somebody else.
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
			t.Error("the protected one was taken")
		}
	})
}

func TestStandbyInstances(t *testing.T) {
	for _, how := range []types.StandbyInstances{types.StandbyInstancesTerminate, types.StandbyInstancesIgnore, types.StandbyInstancesWait} {
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
					t.Fatal("it does not stand by")
				}
				p := safe()
				p.StandbyInstances = how
				c.start("2", p)
				want := types.InstanceRefreshStatusSuccessful
				if how == types.StandbyInstancesWait {
					want = types.InstanceRefreshStatusRollbackSuccessful
				}
				c.becomes(want)
				c.until("nobody is on the way", func() bool {
					return len(c.serving())+len(c.in(types.LifecycleStateStandby)) == len(c.group().Instances)
				})
				if left := len(c.in(types.LifecycleStateStandby)); (left == 0) != (how == types.StandbyInstancesTerminate) {
					t.Errorf("%d stand by", left)
				}
			})
		})
	}
}

// The next one waits for the warm-up of the one before, which is the refresh's, or the group's grace period.
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
				c.until("the first serves", func() bool { return slices.ContainsFunc(c.serving(), fresh) })
				warm := c.until("an old one goes", func() bool {
					return slices.ContainsFunc(c.group().Instances, func(i types.Instance) bool { return !fresh(i) && i.LifecycleState == types.LifecycleStateTerminating })
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

// Percentages decide who comes first, and how many at once.
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
						t.Fatal("it bakes before all are there")
					}
					all := slices.DeleteFunc(w.group().Instances, func(i types.Instance) bool { return i.LifecycleState[:4] == "Term" })
					if gone < 0 && slices.ContainsFunc(all, func(i types.Instance) bool { return *i.LaunchTemplate.Version == "2" }) {
						gone = 4 - len(slices.DeleteFunc(slices.Clone(all), func(i types.Instance) bool { return *i.LaunchTemplate.Version == "2" }))
					}
					least, most = min(least, len(w.serving())), max(most, len(all))
					time.Sleep(time.Second)
				}
				if least != c.atLeast || most != c.atMost || gone != c.old {
					t.Errorf("at least %d served, at most %d were there, %d old ones were gone; want %d, %d, %d", least, most, gone, c.atLeast, c.atMost, c.old)
				}
				w.all("2")
			})
		})
	}
}

// An alarm without data holds the replacements.
func TestAlarmWithoutData(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.sim.Green(guardAlarm)
		c.guarded()
		p := safe()
		p.AlarmSpecification = &types.AlarmSpecification{Alarms: []string{guardAlarm}}
		c.start("2", p)
		c.sim.SetAlarm(guardAlarm, "INSUFFICIENT_DATA", "")
		time.Sleep(30 * time.Minute)
		if r := c.refresh(); r.Status != types.InstanceRefreshStatusInProgress || len(c.group().Instances) != 2 || *r.InstancesToUpdate != 2 {
			t.Errorf("%s with %d instances", r.Status, len(c.group().Instances))
		}
		c.sim.Green(guardAlarm)
		c.becomes(types.InstanceRefreshStatusSuccessful)
		c.all("2")
		c.watched()
	})
}

// Who goes back to what does not boot any more fails, too.
func TestRollbackThatFails(t *testing.T) {
	spoilt := false
	script := func(m asgsim.Machine) asgsim.Script {
		if spoilt && m.Version == "1" {
			return asgsim.FailsBoot("the artifact is gone")
		}
		return asgsim.Boots()
	}
	inBubble(t, script, func(c *cloud) {
		c.guarded()
		c.start("2", safe())
		c.until("half is new", func() bool { return *c.refresh().PercentageComplete == 50 })
		spoilt = true
		if err := c.back(); err != nil {
			t.Fatal(err)
		}
		if d := c.becomes(types.InstanceRefreshStatusRollbackFailed); d < time.Hour || d > 2*time.Hour {
			t.Errorf("tried for %s", d)
		}
		if len(c.serving()) < 2 {
			t.Error("fewer serve than before")
		}
	})
}

// A rollback by the book touches only what its own refresh has launched.
func TestRollbackLeavesWhatMatchedBefore(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.guarded()
		c.start("2", safe())
		c.until("half is new", func() bool { return *c.refresh().PercentageComplete == 50 })
		if err := c.cancel(); err != nil {
			t.Fatal(err)
		}
		c.becomes(types.InstanceRefreshStatusCancelled)
		c.start("2", safe())
		c.becomes(types.InstanceRefreshStatusBaking)
		if err := c.back(); err != nil {
			t.Fatal(err)
		}
		c.becomes(types.InstanceRefreshStatusRollbackSuccessful)
		versions := map[string]int{}
		for _, i := range c.serving() {
			versions[*i.LaunchTemplate.Version]++
		}
		if versions["1"] != 1 || versions["2"] != 1 {
			t.Error("want the mixture from before:", versions)
		}
	})
}

func TestRefreshHistory(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.filled()
		var ids []string
		for range 5 {
			ids = slices.Insert(ids, 0, c.start("1", safe()))
			c.becomes(types.InstanceRefreshStatusSuccessful)
		}
		var got []string
		pages := autoscaling.NewDescribeInstanceRefreshesPaginator(c.as, &autoscaling.DescribeInstanceRefreshesInput{AutoScalingGroupName: aws.String(name), MaxRecords: aws.Int32(2)})
		for pages.HasMorePages() {
			p, err := pages.NextPage(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range p.InstanceRefreshes {
				got = append(got, *r.InstanceRefreshId)
			}
		}
		if !slices.Equal(got, ids) {
			t.Errorf("%v, want %v", got, ids)
		}
		one, err := c.as.DescribeInstanceRefreshes(context.Background(), &autoscaling.DescribeInstanceRefreshesInput{AutoScalingGroupName: aws.String(name), InstanceRefreshIds: ids[2:3]})
		if err != nil || len(one.InstanceRefreshes) != 1 || *one.InstanceRefreshes[0].InstanceRefreshId != ids[2] {
			t.Errorf("%+v, %v", one, err)
		}
		_, err = c.as.DescribeInstanceRefreshes(context.Background(), &autoscaling.DescribeInstanceRefreshesInput{AutoScalingGroupName: aws.String("none")})
		refused(t, err, "ValidationError", "not found")
	})
}

// A fleet that is sick as a whole is replaced all the same, one after the other.
func TestAllSick(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.filled()
		time.Sleep(2 * time.Minute)
		for _, i := range c.serving() {
			c.memory.Sicken(*i.InstanceId)
		}
		time.Sleep(5 * time.Second)
		c.filled()
		for _, i := range c.serving() {
			if *i.HealthStatus != "Healthy" {
				t.Error("sick:", *i.InstanceId)
			}
		}
	})
}

// One that is ill is not forgotten: as long as it is there, something is to be replaced.
func TestRefreshWaitsForTheSick(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.filled()
		c.start("2", safe())
		c.until("half is new", func() bool { return *c.refresh().PercentageComplete == 50 })
		if err := c.cancel(); err != nil {
			t.Fatal(err)
		}
		c.becomes(types.InstanceRefreshStatusCancelled)
		isNew := func(i types.Instance) bool { return *i.LaunchTemplate.Version == "2" }
		c.memory.Sicken(*c.serving()[slices.IndexFunc(c.serving(), isNew)].InstanceId)
		time.Sleep(3 * time.Second)
		c.start("1", safe())
		c.becomes(types.InstanceRefreshStatusSuccessful)
		if slices.ContainsFunc(c.serving(), isNew) {
			t.Errorf("it ended with %+v", c.serving())
		}
	})
}
