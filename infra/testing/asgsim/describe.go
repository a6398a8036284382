package asgsim

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"
)

// groupNames returns the groups that a call names, or all of them.
func (s *Simulator) groupNames(f form) []string {
	if names := f.members("AutoScalingGroupNames"); names != nil {
		return names
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.groups))
}

func (s *Simulator) describeGroups(f form) ([]node, error) {
	groups := el("AutoScalingGroups")
	for _, name := range s.groupNames(f) {
		g, instances, err := s.Snapshot(name)
		if err != nil {
			continue // AWS ignores unknown names
		}
		health := "EC2"
		if g.ELB {
			health = "ELB"
		}
		kids := []node{
			text("AutoScalingGroupName", g.Name), number("MinSize", g.Min), number("MaxSize", g.Max),
			number("DesiredCapacity", g.Desired), text("HealthCheckType", health),
			number("HealthCheckGracePeriod", int(g.Grace/time.Second)), number("DefaultCooldown", 300),
			instant("CreatedTime", time.Now()), texts("AvailabilityZones", g.Zones),
			template(g.Template, g.Version),
			el("InstanceMaintenancePolicy",
				number("MinHealthyPercentage", g.MinHealthy), number("MaxHealthyPercentage", g.MaxHealthy)),
			number("DefaultInstanceWarmup", int(cmp.Or(g.Warmup, g.Grace)/time.Second)),
			text("NewInstancesProtectedFromScaleIn", "false"),
			list("Instances", instances, func(i Instance) []node { return describe(g, i) }),
		}
		suspended := s.Suspended(name)
		kids = append(kids, list("SuspendedProcesses", slices.Sorted(maps.Keys(suspended)), func(p string) []node {
			return []node{text("ProcessName", p), text("SuspensionReason", suspended[p])}
		}))
		if g.TargetGroup != "" {
			kids = append(kids, el("TargetGroupARNs", text("member", g.TargetGroup)))
		}
		groups.Kids = append(groups.Kids, el("member", kids...))
	}
	return []node{groups}, nil
}

func template(id, version string) node {
	return el("LaunchTemplate", text("LaunchTemplateId", id), text("Version", version))
}

func describe(g Group, i Instance) []node {
	health := "Healthy"
	if !i.Healthy {
		health = "Unhealthy"
	}
	return []node{text("InstanceId", i.ID), text("AvailabilityZone", i.Zone), text("LifecycleState", string(i.State)),
		text("HealthStatus", health), text("ProtectedFromScaleIn", strconv.FormatBool(i.Protected)),
		template(g.Template, i.Version)}
}

func (s *Simulator) describeHooks(f form) ([]node, error) {
	g, _, err := s.Snapshot(f.of("AutoScalingGroupName"))
	if err != nil {
		return nil, err
	}
	return []node{list("LifecycleHooks", g.Hooks, func(h Hook) []node {
		return []node{text("AutoScalingGroupName", g.Name), text("LifecycleHookName", h.Name),
			text("LifecycleTransition", h.Transition), text("DefaultResult", h.DefaultResult),
			number("HeartbeatTimeout", int(h.Timeout/time.Second)), number("GlobalTimeout", int(globalLimit(&h)/time.Second))}
	})}, nil
}

// page returns the page of a list that NextToken and MaxRecords select.
func page[T any](f form, name string, all []T, size, maxSize int, member func(T) []node) ([]node, error) {
	if n := f.integer("MaxRecords"); n != nil {
		if size = *n; size < 1 || size > maxSize {
			return nil, invalid("MaxRecords %d is not between 1 and %d", size, maxSize)
		}
	}
	from, _ := strconv.Atoi(f.of("NextToken")) // missing: 0
	out := []node{list(name, all[min(from, len(all)):min(from+size, len(all))], member)}
	if from+size < len(all) {
		out = append(out, number("NextToken", from+size))
	}
	return out, nil
}

// describeActivities: "MaxRecords: the default value is 100 and the maximum value is 100."
func (s *Simulator) describeActivities(f form) ([]node, error) {
	return page(f, "Activities", s.Activities(f.of("AutoScalingGroupName")), 100, 100, activity)
}

func activity(a Activity) []node {
	out := []node{text("ActivityId", a.ID), text("AutoScalingGroupName", a.Group), text("Description", a.Description),
		text("Cause", a.Cause), instant("StartTime", a.Start), text("StatusCode", string(a.Status)), number("Progress", 50)}
	if a.Message != "" {
		out = append(out, text("StatusMessage", a.Message))
	}
	if !a.End.IsZero() {
		out = append(out, instant("EndTime", a.End))
	}
	return out
}

func (s *Simulator) updateGroup(f form) ([]node, error) {
	return nil, s.Update(f.of("AutoScalingGroupName"), Change{
		Min: f.integer("MinSize"), Max: f.integer("MaxSize"), Desired: f.integer("DesiredCapacity"),
		Template: f.of("LaunchTemplate.LaunchTemplateId"), Version: f.of("LaunchTemplate.Version"),
	})
}

func (s *Simulator) setDesired(f form) ([]node, error) {
	n := f.integer("DesiredCapacity")
	if n == nil {
		return nil, invalid("DesiredCapacity is missing")
	}
	return nil, s.Update(f.of("AutoScalingGroupName"), Change{Desired: n})
}

func (s *Simulator) terminateInstance(f form) ([]node, error) {
	a, err := s.Terminate(f.of("InstanceId"), isTrue(f.of("ShouldDecrementDesiredCapacity")))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return []node{el("Activity", activity(*a)...)}, nil
}

func (s *Simulator) describeTargets(f form) ([]node, error) {
	arn := f.of("TargetGroupArn")
	out, found := el("TargetHealthDescriptions"), false
	for _, name := range s.groupNames(form{}) {
		g, instances, err := s.Snapshot(name)
		if err != nil || g.TargetGroup != arn {
			continue
		}
		found = true
		for _, i := range instances {
			if i.Target == "" {
				continue
			}
			health := el("TargetHealth", text("State", i.Target))
			if i.Reason != "" {
				health.Kids = append(health.Kids, text("Reason", i.Reason))
			}
			out.Kids = append(out.Kids, el("member", el("Target", text("Id", i.ID)), health))
		}
	}
	if !found {
		return nil, &apiError{"TargetGroupNotFound", "One or more target groups not found"}
	}
	return []node{out}, nil
}
