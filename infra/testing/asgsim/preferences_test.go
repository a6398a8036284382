package asgsim_test

import (
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

// Each replacement waits for the warm-up of the one before, which is the group's grace period.
func TestWarmup(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.guarded()
		c.start("2", safe())
		isNew := func(i types.Instance) bool { return *i.LaunchTemplate.Version == "2" }
		c.until("the first new instance is in service", func() bool { return slices.ContainsFunc(c.serving(), isNew) })
		warm := c.until("an old one goes", func() bool {
			return slices.ContainsFunc(c.group().Instances,
				func(i types.Instance) bool { return !isNew(i) && i.LifecycleState == types.LifecycleStateTerminating })
		})
		if warm < 88*time.Second || warm > 92*time.Second {
			t.Errorf("after %s, want 90 s", warm)
		}
		c.becomes(types.InstanceRefreshStatusSuccessful)
		c.watched()
	})
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
	} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, good, func(w *cloud) {
				w.filled()
				w.desire(4)
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
		c.sim.SetAlarms("OK", guardAlarm)
		c.guarded()
		p := safe()
		p.AlarmSpecification = &types.AlarmSpecification{Alarms: []string{guardAlarm}}
		c.start("2", p)
		c.sim.SetAlarms("INSUFFICIENT_DATA", guardAlarm)
		time.Sleep(30 * time.Minute)
		if r := c.refresh(); r.Status != types.InstanceRefreshStatusInProgress || len(c.group().Instances) != 2 ||
			*r.InstancesToUpdate != 2 {
			t.Errorf("%s with %d instances", r.Status, len(c.group().Instances))
		}
		c.sim.SetAlarms("OK", guardAlarm)
		c.becomes(types.InstanceRefreshStatusSuccessful)
		c.all("2")
		c.watched()
	})
}
