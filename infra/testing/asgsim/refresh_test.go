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

const guardAlarm = "imagery-test-server-5xx"

// safe are the preferences of a release that takes nobody away.
func safe() *types.RefreshPreferences {
	return &types.RefreshPreferences{MinHealthyPercentage: aws.Int32(100), MaxHealthyPercentage: aws.Int32(150), SkipMatching: aws.Bool(true), AutoRollback: aws.Bool(true),
		BakeTime: aws.Int32(180), ScaleInProtectedInstances: types.ScaleInProtectedInstancesRefresh, StandbyInstances: types.StandbyInstancesIgnore}
}

func (c *cloud) tryStart(version string, p *types.RefreshPreferences) (string, error) {
	in := &autoscaling.StartInstanceRefreshInput{AutoScalingGroupName: aws.String(name), Preferences: p}
	if version != "" {
		in.DesiredConfiguration = &types.DesiredConfiguration{LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateId: aws.String("lt-1"), Version: &version}}
	}
	out, err := c.as.StartInstanceRefresh(context.Background(), in)
	if err != nil {
		return "", err
	}
	return *out.InstanceRefreshId, nil
}

func (c *cloud) start(version string, p *types.RefreshPreferences) string {
	c.t.Helper()
	id, err := c.tryStart(version, p)
	if err != nil {
		c.t.Fatal(err)
	}
	return id
}

// refresh is the newest.
func (c *cloud) refresh() types.InstanceRefresh {
	c.t.Helper()
	out, err := c.as.DescribeInstanceRefreshes(context.Background(), &autoscaling.DescribeInstanceRefreshesInput{AutoScalingGroupName: aws.String(name), MaxRecords: aws.Int32(1)})
	if err != nil || len(out.InstanceRefreshes) != 1 {
		c.t.Fatalf("%+v, %v", out, err)
	}
	return out.InstanceRefreshes[0]
}

// becomes waits for a status, hours if need be, and returns how long it took.
func (c *cloud) becomes(want types.InstanceRefreshStatus) time.Duration {
	c.t.Helper()
	begun := time.Now()
	for {
		r := c.refresh()
		if r.Status == want {
			return time.Since(begun)
		}
		if r.EndTime != nil || time.Since(begun) > 5*time.Hour {
			c.t.Fatalf("the refresh is %s (%s) after %s, want %s", r.Status, aws.ToString(r.StatusReason), time.Since(begun), want)
		}
		time.Sleep(time.Second)
	}
}

// all fails unless the group is at its desired size with nobody but a version, and has this configuration.
func (c *cloud) all(version string) {
	c.t.Helper()
	c.until("only version "+version, func() bool {
		g := c.group()
		return len(g.Instances) == int(*g.DesiredCapacity) && !slices.ContainsFunc(g.Instances, func(i types.Instance) bool {
			return *i.LaunchTemplate.Version != version || i.LifecycleState != types.LifecycleStateInService
		})
	})
	if got := *c.group().LaunchTemplate.Version; got != version {
		c.t.Errorf("the group has version %s, want %s", got, version)
	}
}

func (c *cloud) back() error {
	_, err := c.as.RollbackInstanceRefresh(context.Background(), &autoscaling.RollbackInstanceRefreshInput{AutoScalingGroupName: aws.String(name)})
	return err
}

func (c *cloud) cancel() error {
	_, err := c.as.CancelInstanceRefresh(context.Background(), &autoscaling.CancelInstanceRefreshInput{AutoScalingGroupName: aws.String(name)})
	return err
}

// guarded fills the group and arms the guard, whose work is checked at the end.
func (c *cloud) guarded() {
	c.t.Helper()
	c.filled()
	time.Sleep(2 * time.Minute)
	c.guard.Arm()
}

func (c *cloud) watched() {
	c.t.Helper()
	if c.guard.Looks() == 0 {
		c.t.Error("the guard saw nothing")
	}
}

func TestRefreshReplacesOneByOne(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.guarded()
		before := c.serving()
		id := c.start("2", safe())
		if r := c.refresh(); r.Status != types.InstanceRefreshStatusPending || *r.InstanceRefreshId != id || *r.DesiredConfiguration.LaunchTemplate.Version != "2" ||
			*r.InstancesToUpdate != 2 || *r.Preferences.BakeTime != 180 || *r.Preferences.MaxHealthyPercentage != 150 || !*r.Preferences.AutoRollback {
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
				if i.LifecycleState == types.LifecycleStateInService || i.LifecycleState == types.LifecycleStatePending || i.LifecycleState == types.LifecycleStatePendingWait {
					alive++
				}
			}
			most = max(most, alive)
			time.Sleep(time.Second)
		}
		if r := c.refresh(); r.Status != types.InstanceRefreshStatusBaking || *r.PercentageComplete != 100 || *r.InstancesToUpdate != 0 {
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

// The old ones serve on, and a launch is tried for an hour unless somebody rolls back.
func TestRefreshWithBootsThatFail(t *testing.T) {
	for what, script := range map[string]asgsim.Script{"gives up": asgsim.FailsBoot("bad hash"), "hangs": asgsim.Hangs(), "refused": asgsim.Refused("InsufficientInstanceCapacity")} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, asgsim.ByVersion(map[string]asgsim.Script{"2": script}), func(c *cloud) {
				c.guarded()
				old := c.health()
				c.start("2", safe())
				c.becomes(types.InstanceRefreshStatusRollbackSuccessful)
				r := c.refresh()
				if d := r.RollbackDetails.RollbackStartTime.Sub(*r.StartTime); d < time.Hour || d > 2*time.Hour {
					t.Errorf("tried for %s", d)
				}
				if r.RollbackDetails == nil || *r.RollbackDetails.PercentageCompleteOnRollback != 0 || *r.RollbackDetails.InstancesToUpdateOnRollback != 2 {
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
		if r.Status != types.InstanceRefreshStatusRollbackInProgress || *r.RollbackDetails.PercentageCompleteOnRollback != 50 || *r.InstanceRefreshId != id {
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
	for _, at := range []types.InstanceRefreshStatus{types.InstanceRefreshStatusInProgress, types.InstanceRefreshStatusBaking} {
		for _, auto := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s auto=%v", at, auto), func(t *testing.T) {
				inBubble(t, good, func(c *cloud) {
					c.sim.Green(guardAlarm)
					c.guarded()
					p := safe()
					p.AutoRollback, p.AlarmSpecification = &auto, &types.AlarmSpecification{Alarms: []string{guardAlarm}}
					c.start("2", p)
					c.becomes(at)
					if at == types.InstanceRefreshStatusInProgress { // as long as an old one could be taken for nothing
						c.until("three serve", func() bool { return len(c.serving()) == 3 })
					}
					c.sim.Red(guardAlarm)
					if !auto { // the scale-in that follows takes by the termination policy, who it likes
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
	for what, script := range map[string]asgsim.Script{"checks": asgsim.FailsUnderLoad(100 * time.Second), "alarm": asgsim.Rings(guardAlarm, 100*time.Second)} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, asgsim.ByVersion(map[string]asgsim.Script{"2": script}), func(c *cloud) {
				c.sim.Green(guardAlarm)
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

// Who is launched meanwhile has the new version.
func TestScaleOutDuringRefresh(t *testing.T) {
	for _, n := range []int32{3, 4} {
		t.Run(fmt.Sprint("to ", n), func(t *testing.T) {
			inBubble(t, good, func(c *cloud) {
				c.guarded()
				before := c.serving()
				c.start("2", safe())
				c.becomes(types.InstanceRefreshStatusInProgress)
				if err := c.desire(n); err != nil {
					t.Fatal(err)
				}
				for c.refresh().Status == types.InstanceRefreshStatusInProgress {
					for _, i := range c.group().Instances {
						if *i.LaunchTemplate.Version == "1" && !slices.ContainsFunc(before, func(o types.Instance) bool { return *o.InstanceId == *i.InstanceId }) {
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

// A scale-in takes by the termination policy, who knows nothing of the refresh; the rest ends as new as it should.
func TestScaleInDuringRefresh(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.filled()
		if err := c.desire(4); err != nil {
			t.Fatal(err)
		}
		c.until("four", func() bool { return len(c.serving()) == 4 })
		c.start("2", safe())
		c.until("one is new", func() bool { return *c.refresh().PercentageComplete > 0 })
		if err := c.desire(2); err != nil {
			t.Fatal(err)
		}
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

func TestRefreshRefusals(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.filled()
		c.sim.SetTemplate("lt-1", asgsim.TemplateVersion{Number: 1, Image: "ami-1"}, asgsim.TemplateVersion{Number: 2, Image: "ami-1"})
		with := func(change func(*types.RefreshPreferences)) *types.RefreshPreferences {
			p := safe()
			change(p)
			return p
		}
		c.sim.Red("red")
		c.sim.SetAlarm("unknown", "INSUFFICIENT_DATA", "")
		for says, try := range map[string]struct {
			version string
			p       *types.RefreshPreferences
		}{
			"no desired configuration": {"", safe()},
			"version 9":                {"9", safe()},
			"by their number":          {"$Latest", safe()},
			"alarm red is in the state": {"2", with(func(p *types.RefreshPreferences) {
				p.AlarmSpecification = &types.AlarmSpecification{Alarms: []string{"red"}}
			})},
			"alarm unknown is in the state": {"2", with(func(p *types.RefreshPreferences) {
				p.AlarmSpecification = &types.AlarmSpecification{Alarms: []string{"unknown"}}
			})},
			"does not exist": {"2", with(func(p *types.RefreshPreferences) {
				p.AlarmSpecification = &types.AlarmSpecification{Alarms: []string{"none"}}
			})},
			"more than 10":               {"2", with(func(p *types.RefreshPreferences) { p.AlarmSpecification = &types.AlarmSpecification{Alarms: make11()} })},
			"not between 100 and 200":    {"2", with(func(p *types.RefreshPreferences) { p.MaxHealthyPercentage = aws.Int32(210) })},
			"not between 0 and 100":      {"2", with(func(p *types.RefreshPreferences) { p.MinHealthyPercentage = aws.Int32(110) })},
			"needs MinHealthyPercentage": {"2", with(func(p *types.RefreshPreferences) { p.MinHealthyPercentage = nil })},
			"at most 100 above":          {"2", with(func(p *types.RefreshPreferences) { p.MinHealthyPercentage = aws.Int32(40) })},
			"two days":                   {"2", with(func(p *types.RefreshPreferences) { p.BakeTime = aws.Int32(172801) })},
			"no checkpoints":             {"2", with(func(p *types.RefreshPreferences) { p.CheckpointPercentages = []int32{50, 100} })},
		} {
			_, err := c.tryStart(try.version, try.p)
			refused(t, err, "ValidationError", says)
		}
		p := safe()
		p.AutoRollback = nil
		c.start("", p)
		_, err := c.tryStart("2", safe())
		refused(t, err, "InstanceRefreshInProgress", "already in progress")
		refused(t, c.back(), "IrreversibleInstanceRefresh", "no desired configuration")
		c.becomes(types.InstanceRefreshStatusSuccessful)
		c.start("2", safe())
		v := "1"
		refused(t, c.update(autoscaling.UpdateAutoScalingGroupInput{LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateId: aws.String("lt-1"), Version: &v}}),
			"ValidationError", "An active instance refresh with a desired configuration exists.")
	})
}

func make11() []string {
	out := make([]string, 11)
	for n := range out {
		out[n] = fmt.Sprint("alarm-", n)
	}
	return out
}
