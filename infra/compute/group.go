package compute

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/autoscaling"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/app/deploy/settings"
)

// Lifecycle hooks of every fleet. The launch hook outlasts all that a boot may take and gives up the instance;
// the terminate hook outlasts a stop and lets the instance go.
const (
	LaunchHook       = "launch"
	TerminateHook    = "terminate"
	LaunchTimeout    = 900 * time.Second
	TerminateTimeout = 150 * time.Second
)

// grace is the health check grace period after an instance came into service. Two target health checks take 20 s, and
// an instance enters service only once it serves requests.
const grace = 90 * time.Second

type hook struct {
	name, transition, result string
	timeout                  time.Duration
}

var hooks = []hook{
	{LaunchHook, "autoscaling:EC2_INSTANCE_LAUNCHING", "ABANDON", LaunchTimeout},
	{TerminateHook, "autoscaling:EC2_INSTANCE_TERMINATING", "CONTINUE", TerminateTimeout},
}

// metrics of the group; the worker's scaling divides by the first, the alarms watch it.
var metrics = []string{"GroupInServiceInstances", "GroupDesiredCapacity", "GroupPendingInstances", "GroupTerminatingInstances",
	"GroupTotalInstances", "GroupMinSize", "GroupMaxSize"}

// ignored lists what an update of the group leaves alone: the live version belongs to the rollout, the size to
// scaling, and hooks given at creation cannot be edited (their twins below can).
var ignored = []string{"launchTemplate.version", "initialLifecycleHooks", "desiredCapacity"}

// group is the Auto Scaling group, its hooks and its scaling. It never waits for capacity: a group that fails
// to fill within a deadline would be reported as not created, though it exists.
func (f *Fleet) group(ctx *pulumi.Context, after []pulumi.Resource) error {
	health, graceSeconds := "EC2", 0
	if len(f.args.Targets) > 0 {
		health, graceSeconds = "ELB", int(grace/time.Second)
	}
	var initial autoscaling.GroupInitialLifecycleHookArray
	for _, h := range hooks {
		initial = append(initial, autoscaling.GroupInitialLifecycleHookArgs{
			Name: pulumi.String(h.name), LifecycleTransition: pulumi.String(h.transition), DefaultResult: pulumi.String(h.result),
			HeartbeatTimeout: pulumi.Int(int(h.timeout / time.Second)),
		})
	}
	var err error
	f.Group, err = autoscaling.NewGroup(ctx, f.name, &autoscaling.GroupArgs{
		Name:    pulumi.String(f.args.Group),
		MinSize: pulumi.Int(f.args.Min), MaxSize: pulumi.Int(f.args.Max),
		VpcZoneIdentifiers: f.args.Subnets,
		TargetGroupArns:    f.args.Targets,
		LaunchTemplate: autoscaling.GroupLaunchTemplateArgs{
			Id: f.Template.ID(), Version: f.Template.LatestVersion.ApplyT(strconv.Itoa).(pulumi.StringOutput),
		},
		// A group warms up for as long as its balancer takes to believe in an instance; until then a new
		// instance does not count in what scaling measures.
		HealthCheckType: pulumi.String(health), HealthCheckGracePeriod: pulumi.Int(graceSeconds), DefaultInstanceWarmup: pulumi.Int(90),
		// Launch before terminate, with room for one more whatever AWS rounds.
		InstanceMaintenancePolicy: autoscaling.GroupInstanceMaintenancePolicyArgs{
			MinHealthyPercentage: pulumi.Int(100), MaxHealthyPercentage: pulumi.Int(MaxHealthyPercent(f.args.Min)),
		},
		// Only hooks that the group is born with catch its first instances.
		InitialLifecycleHooks: initial,
		EnabledMetrics:        pulumi.ToStringArray(metrics),
		// A scale-in during or after a rollout takes what is left of the old release first.
		TerminationPolicies: pulumi.ToStringArray([]string{"OldestLaunchTemplate", "OldestInstance"}),
		// "0" disables waiting; the rollout controller verifies health.
		WaitForCapacityTimeout: pulumi.String("0"),
		Tags:                   f.groupTags(),
	}, pulumi.Parent(f), pulumi.IgnoreChanges(ignored), pulumi.Timeouts(&pulumi.CustomTimeouts{Delete: "30m"}), pulumi.DependsOn(after))
	if err != nil {
		return err
	}
	// Hooks at creation catch the first instances; these, of the same names, carry later edits.
	for _, h := range hooks {
		if _, err := autoscaling.NewLifecycleHook(ctx, f.name+"-"+h.name, &autoscaling.LifecycleHookArgs{
			Name: pulumi.String(h.name), AutoscalingGroupName: f.Group.Name, LifecycleTransition: pulumi.String(h.transition),
			DefaultResult: pulumi.String(h.result), HeartbeatTimeout: pulumi.Int(int(h.timeout / time.Second)),
		}, pulumi.Parent(f)); err != nil {
			return err
		}
	}
	// The policy names the target group by its balancer, and AWS refuses that before a listener forwards.
	f.Policy, err = autoscaling.NewPolicy(ctx, f.name+"-scaling", &autoscaling.PolicyArgs{
		AutoscalingGroupName: f.Group.Name, PolicyType: pulumi.String("TargetTrackingScaling"),
		TargetTrackingConfiguration: f.args.Scaling(f.Group.Name),
	}, pulumi.Parent(f), pulumi.DependsOn(f.args.After))
	return err
}

// MaxHealthyPercent lets a group of least instances grow by one during a replacement.
func MaxHealthyPercent(least int) int {
	oneMore := (100*(least+1) + least - 1) / least
	return min(200, max(110, oneMore))
}

func (f *Fleet) groupTags() autoscaling.GroupTagArray {
	tags := autoscaling.GroupTagArray{autoscaling.GroupTagArgs{Key: pulumi.String("Name"), Value: pulumi.String(f.name), PropagateAtLaunch: pulumi.Bool(true)}}
	for _, k := range slices.Sorted(maps.Keys(f.args.Tags)) {
		tags = append(tags, autoscaling.GroupTagArgs{Key: pulumi.String(k), Value: pulumi.String(f.args.Tags[k]), PropagateAtLaunch: pulumi.Bool(true)})
	}
	return tags
}

// stopFits reports whether an instance that is told to go has the time that its process may take.
func stopFits() bool {
	return TerminateTimeout > settings.StopTimeout && settings.StopTimeout > settings.JobBound
}
