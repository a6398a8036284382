package asgsim

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

func refreshID(id string, err error) ([]node, error) {
	if err != nil {
		return nil, err
	}
	return []node{text("InstanceRefreshId", id)}, nil
}

func (s *Simulator) startRefresh(f form) ([]node, error) {
	// "Default is Rolling." The simulator rejects parameters that it does not implement.
	if strategy := f.of("Strategy"); strategy != "" && strategy != string(types.RefreshStrategyRolling) {
		return nil, invalid("the simulator does not implement strategy %s", strategy)
	}
	const p = "Preferences."
	if f.members(p+"CheckpointPercentages") != nil || f.of(p+"CheckpointDelay") != "" {
		return nil, invalid("the simulator does not implement checkpoints")
	}
	const template = "DesiredConfiguration.LaunchTemplate."
	for name := range f {
		if strings.HasPrefix(name, "DesiredConfiguration.") && name != template+"LaunchTemplateId" &&
			name != template+"Version" {
			return nil, invalid("the simulator does not implement %s", name)
		}
	}
	prefs := Preferences{
		MinHealthy: f.integer(p + "MinHealthyPercentage"), MaxHealthy: f.integer(p + "MaxHealthyPercentage"),
		SkipMatching: isTrue(f.of(p + "SkipMatching")), AutoRollback: isTrue(f.of(p + "AutoRollback")),
		Alarms:    f.members(p + "AlarmSpecification.Alarms"),
		Protected: f.of(p + "ScaleInProtectedInstances"), Standby: f.of(p + "StandbyInstances"),
	}
	if n := f.integer(p + "BakeTime"); n != nil {
		prefs.BakeTime = time.Duration(*n) * time.Second
	}
	if n := f.integer(p + "InstanceWarmup"); n != nil {
		warm := time.Duration(*n) * time.Second
		prefs.Warmup = &warm
	}
	return refreshID(s.StartRefresh(f.of("AutoScalingGroupName"), f.of(template+"LaunchTemplateId"),
		f.of(template+"Version"), prefs))
}

// describeRefreshes: "The instance refreshes for the specified group, sorted by creation timestamp in descending
// order." "MaxRecords: the default value is 50 and the maximum value is 100."
func (s *Simulator) describeRefreshes(f form) ([]node, error) {
	all, err := s.Refreshes(f.of("AutoScalingGroupName"))
	if err != nil {
		return nil, err
	}
	if ids := f.members("InstanceRefreshIds"); ids != nil {
		all = slices.DeleteFunc(all, func(r Refresh) bool { return !slices.Contains(ids, r.ID) })
	}
	return page(f, "InstanceRefreshes", all, 50, 100, Refresh.describe)
}

func (r Refresh) describe() []node {
	out := []node{text("InstanceRefreshId", r.ID), text("AutoScalingGroupName", r.Group), text("Status", string(r.Status)),
		instant("StartTime", r.Start), number("PercentageComplete", r.Percent), number("InstancesToUpdate", r.ToUpdate),
		text("Strategy", string(types.RefreshStrategyRolling)), el("Preferences", r.Preferences.describe()...)}
	if r.Reason != "" {
		out = append(out, text("StatusReason", r.Reason))
	}
	if !r.End.IsZero() {
		out = append(out, instant("EndTime", r.End))
	}
	if r.Version != "" {
		out = append(out, el("DesiredConfiguration", template(r.Template, r.Version)))
	}
	if b := r.Rollback; b != nil {
		out = append(out, el("RollbackDetails", instant("RollbackStartTime", b.Start), text("RollbackReason", b.Reason),
			number("PercentageCompleteOnRollback", b.Percent), number("InstancesToUpdateOnRollback", b.ToUpdate)))
	}
	return out
}

func (p Preferences) describe() []node {
	out := []node{text("SkipMatching", strconv.FormatBool(p.SkipMatching)),
		text("AutoRollback", strconv.FormatBool(p.AutoRollback)),
		el("AlarmSpecification", texts("Alarms", p.Alarms)), number("BakeTime", int(p.BakeTime/time.Second))}
	if p.MinHealthy != nil {
		out = append(out, number("MinHealthyPercentage", *p.MinHealthy))
	}
	if p.MaxHealthy != nil {
		out = append(out, number("MaxHealthyPercentage", *p.MaxHealthy))
	}
	if p.Warmup != nil {
		out = append(out, number("InstanceWarmup", int(*p.Warmup/time.Second)))
	}
	for name, v := range map[string]string{"ScaleInProtectedInstances": p.Protected, "StandbyInstances": p.Standby} {
		if v != "" {
			out = append(out, text(name, v))
		}
	}
	return out
}

func (s *Simulator) setProtection(f form) ([]node, error) {
	for _, id := range f.members("InstanceIds") {
		if err := s.Protect(id, isTrue(f.of("ProtectedFromScaleIn"))); err != nil {
			return nil, err
		}
	}
	return nil, nil
}
