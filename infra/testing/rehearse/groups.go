package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"imagery/infra/testing/asgsim"
	"imagery/infra/testing/nspawn"
)

func seconds(n *int32) time.Duration { return time.Duration(aws.ToInt32(n)) * time.Second }

// createGroup lets the simulator run a group that moto has created. Its instances start at once.
func (f *front) createGroup(ctx context.Context, in *autoscaling.CreateAutoScalingGroupInput) error {
	g := asgsim.Group{Name: *in.AutoScalingGroupName, Min: int(aws.ToInt32(in.MinSize)), Max: int(aws.ToInt32(in.MaxSize)),
		Desired: int(aws.ToInt32(in.DesiredCapacity)), Template: aws.ToString(in.LaunchTemplate.LaunchTemplateId),
		Version: aws.ToString(in.LaunchTemplate.Version), ELB: aws.ToString(in.HealthCheckType) == "ELB",
		Grace: seconds(in.HealthCheckGracePeriod), Warmup: seconds(in.DefaultInstanceWarmup)}
	if m := in.InstanceMaintenancePolicy; m != nil {
		g.MinHealthy, g.MaxHealthy = int(aws.ToInt32(m.MinHealthyPercentage)), int(aws.ToInt32(m.MaxHealthyPercentage))
	}
	subnets, err := f.zonesOf(ctx, aws.ToString(in.VPCZoneIdentifier))
	if err != nil {
		return err
	}
	g.Zones = slices.Sorted(maps.Values(subnets))
	if len(in.TargetGroupARNs) > 0 {
		g.TargetGroup = in.TargetGroupARNs[0]
		if g.DrainDelay, err = f.drainDelay(ctx, g.TargetGroup); err != nil {
			return err
		}
	}
	source := groupSource{template: g.Template, subnets: subnets}
	if source.role, err = f.launchRole(ctx, g.Template, g.Version); err != nil {
		return err
	}
	f.mu.Lock()
	f.groups[g.Name] = source
	f.mu.Unlock()
	f.sim.Create(g)
	return nil
}

func (f *front) removeGroup(ctx context.Context, in *autoscaling.DeleteAutoScalingGroupInput) error {
	f.sim.Delete(*in.AutoScalingGroupName)
	return f.forgetPolicies(ctx, func(_ string, p tracking) bool { return p.group == *in.AutoScalingGroupName })
}

// putHook adds a lifecycle hook. The provider creates a group without instances first, then its hooks.
func (f *front) putHook(_ context.Context, in *autoscaling.PutLifecycleHookInput) error {
	return f.sim.PutHook(*in.AutoScalingGroupName, asgsim.Hook{Name: *in.LifecycleHookName,
		Transition: aws.ToString(in.LifecycleTransition), DefaultResult: aws.ToString(in.DefaultResult),
		Timeout: seconds(in.HeartbeatTimeout)})
}

// templateData is the part of a launch template version that machines use.
type templateData = types.ResponseLaunchTemplateData

// templateVersion returns a version of a launch template.
func (f *front) templateVersion(ctx context.Context, id, version string) (*templateData, error) {
	out, err := ec2.NewFromConfig(f.moto.config).DescribeLaunchTemplateVersions(ctx,
		&ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: &id, Versions: []string{version}})
	if err != nil {
		return nil, fmt.Errorf("read version %s of launch template %s: %w", version, id, err)
	}
	if len(out.LaunchTemplateVersions) != 1 {
		return nil, fmt.Errorf("launch template %s has %d versions %s", id, len(out.LaunchTemplateVersions), version)
	}
	return out.LaunchTemplateVersions[0].LaunchTemplateData, nil
}

// launchRole returns the role of the instance profile in a version of a launch template; empty for none.
func (f *front) launchRole(ctx context.Context, template, version string) (string, error) {
	t, err := f.templateVersion(ctx, template, version)
	if err != nil || t.IamInstanceProfile == nil {
		return "", err
	}
	profile := cmp.Or(aws.ToString(t.IamInstanceProfile.Name), aws.ToString(t.IamInstanceProfile.Arn))
	name := path.Base(profile)
	out, err := iam.NewFromConfig(f.moto.config).GetInstanceProfile(ctx,
		&iam.GetInstanceProfileInput{InstanceProfileName: &name})
	if err != nil {
		return "", fmt.Errorf("read instance profile %s: %w", name, err)
	}
	if len(out.InstanceProfile.Roles) != 1 {
		return "", fmt.Errorf("instance profile %s has %d roles", name, len(out.InstanceProfile.Roles))
	}
	return aws.ToString(out.InstanceProfile.Roles[0].RoleName), nil
}

// role returns the role of a group's machines.
func (f *front) role(group string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.groups[group].role
}

// userData returns the user data of a machine's launch template version. After an error the machine powers itself off,
// as one without user data would never complete its launch hook.
func (f *front) userData(m asgsim.Machine) string {
	f.mu.Lock()
	template := f.groups[m.Group].template
	f.mu.Unlock()
	t, err := f.templateVersion(context.Background(), template, m.Version)
	if err == nil {
		var text []byte
		if text, err = base64.StdEncoding.DecodeString(aws.ToString(t.UserData)); err == nil {
			return string(text)
		}
	}
	logf("%s has no user data: %v", m.ID, err)
	return "systemctl poweroff"
}

const drainAttribute = "deregistration_delay.timeout_seconds"

// drainDelay returns the deregistration delay of a target group.
func (f *front) drainDelay(ctx context.Context, arn string) (time.Duration, error) {
	out, err := elb.NewFromConfig(f.moto.config).DescribeTargetGroupAttributes(ctx,
		&elb.DescribeTargetGroupAttributesInput{TargetGroupArn: &arn})
	if err != nil {
		return 0, fmt.Errorf("read the attributes of target group %s: %w", arn, err)
	}
	for _, a := range out.Attributes {
		if aws.ToString(a.Key) == drainAttribute {
			return time.ParseDuration(aws.ToString(a.Value) + "s")
		}
	}
	return 300 * time.Second, nil // "The default value is 300 seconds."
}

// nameBalancer gives the DNS name of a load balancer the address of the rehearsal's.
func (f *front) nameBalancer(ctx context.Context, in *elb.CreateLoadBalancerInput) error {
	out, err := elb.NewFromConfig(f.moto.config).DescribeLoadBalancers(ctx,
		&elb.DescribeLoadBalancersInput{Names: []string{*in.Name}})
	if err != nil {
		return fmt.Errorf("read load balancer %s: %w", *in.Name, err)
	}
	return f.names.add(nspawn.Address, aws.ToString(out.LoadBalancers[0].DNSName))
}
