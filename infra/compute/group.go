package compute

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/autoscaling"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/infra/must"
)

// Lifecycle hooks of every fleet. When the launch hook times out, which is later than the longest boot, Auto Scaling
// terminates the instance. When the terminate hook times out, which is later than the longest stop of the service,
// termination continues.
const (
	LaunchHook       = "launch"
	TerminateHook    = "terminate"
	LaunchTimeout    = 900 * time.Second
	TerminateTimeout = 150 * time.Second
)

// healthCheckGrace is the health check grace period after an instance entered service. Two target health checks take
// 20 s, and an instance enters service only once it serves requests.
const healthCheckGrace = 90 * time.Second

var hooks = []struct {
	name, transition, result string
	timeout                  time.Duration
}{
	{LaunchHook, "autoscaling:EC2_INSTANCE_LAUNCHING", "ABANDON", LaunchTimeout},
	{TerminateHook, "autoscaling:EC2_INSTANCE_TERMINATING", "CONTINUE", TerminateTimeout},
}

// metrics lists the enabled metrics of the group. BacklogPerInstance divides by the first one, and alarms use it.
var metrics = []string{"GroupInServiceInstances", "GroupDesiredCapacity", "GroupPendingInstances",
	"GroupTerminatingInstances", "GroupTotalInstances", "GroupMinSize", "GroupMaxSize"}

// ignored lists the properties that an update of the group does not change: the rollout sets the live version, scaling
// sets the size, and AWS cannot edit hooks that were given at creation (group also creates them as resources of their
// own, which it can).
var ignored = []string{"launchTemplate.version", "initialLifecycleHooks", "desiredCapacity"}

// group creates the Auto Scaling group, its hooks and its scaling policy. It does not wait for capacity: Pulumi would
// report a group that does not fill in time as not created, although it exists.
func (f *Fleet) group(ctx *pulumi.Context, after []pulumi.Resource) {
	health, graceSeconds := "EC2", 0
	if len(f.args.Targets) > 0 {
		health, graceSeconds = "ELB", int(healthCheckGrace/time.Second)
	}
	var initial autoscaling.GroupInitialLifecycleHookArray
	for _, h := range hooks {
		initial = append(initial, autoscaling.GroupInitialLifecycleHookArgs{
			Name: pulumi.String(h.name), LifecycleTransition: pulumi.String(h.transition),
			DefaultResult: pulumi.String(h.result), HeartbeatTimeout: pulumi.Int(int(h.timeout / time.Second)),
		})
	}
	f.Group = must.Get(autoscaling.NewGroup(ctx, f.name, &autoscaling.GroupArgs{
		Name:    pulumi.String(f.name),
		MinSize: pulumi.Int(f.args.Min), MaxSize: pulumi.Int(f.args.Max),
		VpcZoneIdentifiers: f.args.Subnets,
		TargetGroupArns:    f.args.Targets,
		LaunchTemplate: autoscaling.GroupLaunchTemplateArgs{
			Id: f.Template.ID(), Version: f.Template.LatestVersion.ApplyT(strconv.Itoa).(pulumi.StringOutput),
		},
		HealthCheckType: pulumi.String(health), HealthCheckGracePeriod: pulumi.Int(graceSeconds),
		// Scaling ignores the metrics of a new instance for as long as the load balancer needs to send it requests.
		DefaultInstanceWarmup: pulumi.Int(90),
		// A replacement launches before it terminates.
		InstanceMaintenancePolicy: autoscaling.GroupInstanceMaintenancePolicyArgs{
			MinHealthyPercentage: pulumi.Int(100), MaxHealthyPercentage: pulumi.Int(MaxHealthyPercent(f.args.Min)),
		},
		// Only hooks that are given at creation apply to the first instances.
		InitialLifecycleHooks: initial,
		EnabledMetrics:        pulumi.ToStringArray(metrics),
		// A scale-in during or after a rollout terminates instances of the old release first.
		TerminationPolicies: pulumi.ToStringArray([]string{"OldestLaunchTemplate", "OldestInstance"}),
		// "0" disables waiting; the rollout controller checks health.
		WaitForCapacityTimeout: pulumi.String("0"),
		Tags:                   f.groupTags(),
	}, pulumi.Parent(f), pulumi.IgnoreChanges(ignored), pulumi.Timeouts(&pulumi.CustomTimeouts{Delete: "30m"}),
		pulumi.DependsOn(after)))
	// The same hooks once more, as resources that a later update can change.
	for _, h := range hooks {
		must.Get(autoscaling.NewLifecycleHook(ctx, f.name+"-"+h.name, &autoscaling.LifecycleHookArgs{
			Name: pulumi.String(h.name), AutoscalingGroupName: f.Group.Name,
			LifecycleTransition: pulumi.String(h.transition), DefaultResult: pulumi.String(h.result),
			HeartbeatTimeout: pulumi.Int(int(h.timeout / time.Second)),
		}, pulumi.Parent(f)))
	}
	// The policy names the load balancer and the target group. AWS rejects it before a listener forwards to the group.
	f.Policy = must.Get(autoscaling.NewPolicy(ctx, f.name+"-scaling", &autoscaling.PolicyArgs{
		AutoscalingGroupName: f.Group.Name, PolicyType: pulumi.String("TargetTrackingScaling"),
		TargetTrackingConfiguration: f.args.Scaling,
	}, pulumi.Parent(f), pulumi.DependsOn(f.args.After)))
}

// MaxHealthyPercent returns the maximum healthy percentage with which a group of n instances may launch one more
// during a replacement. AWS accepts 100 to 200.
func MaxHealthyPercent(n int) int {
	oneMore := (100*(n+1) + n - 1) / n
	return min(200, max(110, oneMore))
}

func (f *Fleet) groupTags() autoscaling.GroupTagArray {
	tag := func(key, value string) autoscaling.GroupTagArgs {
		return autoscaling.GroupTagArgs{Key: pulumi.String(key), Value: pulumi.String(value),
			PropagateAtLaunch: pulumi.Bool(true)}
	}
	tags := autoscaling.GroupTagArray{tag("Name", f.name)}
	for _, k := range slices.Sorted(maps.Keys(f.args.Tags)) {
		tags = append(tags, tag(k, f.args.Tags[k]))
	}
	return tags
}
