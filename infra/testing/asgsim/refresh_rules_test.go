package asgsim_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"imagery/infra/testing/asgsim"
)

func TestRefreshRefusals(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		c.filled()
		c.sim.SetTemplate("lt-1", asgsim.TemplateVersion{Number: 1, Image: "ami-1"},
			asgsim.TemplateVersion{Number: 2, Image: "ami-1"})
		with := func(change func(*types.RefreshPreferences)) *types.RefreshPreferences {
			p := safe()
			change(p)
			return p
		}
		c.sim.SetAlarms("ALARM", "red")
		c.sim.SetAlarms("INSUFFICIENT_DATA", "unknown")
		for says, try := range map[string]struct {
			version string
			p       *types.RefreshPreferences
		}{
			"version 9": {"9", safe()},
			"alarm red is in the state \"ALARM\"": {"2", with(func(p *types.RefreshPreferences) {
				p.AlarmSpecification = &types.AlarmSpecification{Alarms: []string{"red"}}
			})},
			"in the state \"INSUFFICIENT_DATA\"": {"2", with(func(p *types.RefreshPreferences) {
				p.AlarmSpecification = &types.AlarmSpecification{Alarms: []string{"unknown"}}
			})},
			"in the state \"\"": {"2", with(func(p *types.RefreshPreferences) {
				p.AlarmSpecification = &types.AlarmSpecification{Alarms: []string{"none"}}
			})},
			"more than 10": {"2", with(func(p *types.RefreshPreferences) {
				p.AlarmSpecification = &types.AlarmSpecification{Alarms: make11()}
			})},
			"100 and MaxHealthyPercentage 210 are not": {"2",
				with(func(p *types.RefreshPreferences) { p.MaxHealthyPercentage = aws.Int32(210) })},
			"110 and MaxHealthyPercentage 150 are not": {"2",
				with(func(p *types.RefreshPreferences) { p.MinHealthyPercentage = aws.Int32(110) })},
			"versions of the group's": {"", safe()},
			"with both percentages":   {"2", with(func(p *types.RefreshPreferences) { p.MinHealthyPercentage = nil })},
			"40 and MaxHealthyPercentage 150 are not": {"2",
				with(func(p *types.RefreshPreferences) { p.MinHealthyPercentage = aws.Int32(40) })},
			"two days": {"2", with(func(p *types.RefreshPreferences) { p.BakeTime = aws.Int32(172801) })},
			"without checkpoints": {"2",
				with(func(p *types.RefreshPreferences) { p.CheckpointPercentages = []int32{50, 100} })},
		} {
			_, err := c.tryStart(try.version, try.p)
			refused(t, err, "ValidationError", says)
		}
		c.start("2", safe())
		_, err := c.tryStart("2", safe())
		refused(t, err, "InstanceRefreshInProgress", "already in progress")
		v := "1"
		refused(t, c.update(autoscaling.UpdateAutoScalingGroupInput{
			LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateId: aws.String("lt-1"), Version: &v}}),
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
