package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	scaling "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	balancing "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"imagery/app/deploy/settings"
)

// groups are the Auto Scaling groups of the stack with their instances, and what the balancer thinks of them.
func (l look) groups(ctx context.Context) (f fleetPart) {
	f.Groups, f.Members = []group{}, []member{}
	names := map[string]string{string(settings.Server): l.out.ServerGroup, string(settings.Worker): l.out.WorkerGroup}
	if !l.fromStack {
		if l.Stack == noStack {
			f.part = absent(nameTheStack)
			return f
		}
		for role := range names {
			names[role] = settings.AlarmPrefix(l.Stack) + role // everything of a stack is named like its alarms
		}
	}
	api := autoscaling.NewFromConfig(l.cfg)
	var asked []string
	for _, name := range names {
		asked = append(asked, name)
	}
	out, err := api.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: asked})
	if err != nil {
		f.part = broken(fmt.Errorf("look at the groups: %w", err))
		return f
	}
	for _, role := range []string{string(settings.Server), string(settings.Worker)} {
		g := group{Role: role, Name: names[role], Problem: "there is no group " + names[role]}
		for _, found := range out.AutoScalingGroups {
			if aws.ToString(found.AutoScalingGroupName) == g.Name {
				g.Problem = ""
				g.Desired, g.Min, g.Max = int(aws.ToInt32(found.DesiredCapacity)), int(aws.ToInt32(found.MinSize)), int(aws.ToInt32(found.MaxSize))
				members, problem := l.members(ctx, role, found)
				f.Members, g.Problem = append(f.Members, members...), problem
			}
		}
		f.Groups = append(f.Groups, g)
	}
	if len(out.AutoScalingGroups) == 0 {
		f.part = absent(fmt.Sprintf("there is no group %s or %s in %s: is the name right?", f.Groups[0].Name, f.Groups[1].Name, l.cfg.Region))
	}
	f.count()
	return f
}

// members are the instances of one group.
func (l look) members(ctx context.Context, role string, g scaling.AutoScalingGroup) (list []member, problem string) {
	health := map[string]balancing.TargetHealth{}
	for _, arn := range g.TargetGroupARNs {
		out, err := elb.NewFromConfig(l.cfg).DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: &arn})
		if err != nil {
			problem = oneLine(say(fmt.Errorf("look at the balancer's targets: %w", err)))
			continue
		}
		for _, t := range out.TargetHealthDescriptions {
			if t.Target != nil && t.TargetHealth != nil {
				health[aws.ToString(t.Target.Id)] = *t.TargetHealth
			}
		}
	}
	for _, i := range g.Instances {
		m := member{Name: aws.ToString(i.InstanceId), Role: role, State: string(i.LifecycleState), Zone: aws.ToString(i.AvailabilityZone)}
		if i.LaunchTemplate != nil {
			m.Version = aws.ToString(i.LaunchTemplate.Version)
		}
		if i.LifecycleState == scaling.LifecycleStateInService {
			m.State, m.Detail = inService(i, g, health, problem != "")
		}
		list = append(list, m)
	}
	return list, problem
}

// inService is the state of an instance that its group counts: what the balancer says wins, where there is one.
func inService(i scaling.Instance, g scaling.AutoScalingGroup, health map[string]balancing.TargetHealth, unasked bool) (state, detail string) {
	if h := aws.ToString(i.HealthStatus); h != "" && !strings.EqualFold(h, "healthy") {
		return strings.ToLower(h), "its group replaces it"
	}
	if len(g.TargetGroupARNs) == 0 {
		return ready, ""
	}
	if unasked {
		return inGroup, ""
	}
	h, known := health[aws.ToString(i.InstanceId)]
	switch {
	case !known:
		return "no target", "the balancer does not know it"
	case h.State == balancing.TargetHealthStateEnumHealthy:
		return ready, ""
	}
	return string(h.State), strings.Trim(string(h.Reason)+": "+aws.ToString(h.Description), ": ")
}
