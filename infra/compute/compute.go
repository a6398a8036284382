// Package compute creates the fleet of one role: IAM role, security group, launch template, Auto Scaling group and
// scaling policy. A stack uses it twice, for servers and for workers.
package compute

import (
	"slices"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/autoscaling"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/app/deploy/iam"
	"imagery/infra/must"
)

// Args describes a fleet.
type Args struct {
	Role     string // "server" or "worker"
	LogGroup string // physical name
	LogDays  int
	Tags     map[string]string // for instances and volumes, which a provider's default tags do not reach

	VPC     pulumi.StringInput
	Subnets pulumi.StringArray // one in each zone; the group spreads its instances over them
	// Peer is the security group that may connect to Port; nil: no inbound connections. The fleet also adds the egress
	// rule to that group.
	Peer pulumi.StringInput
	Port int
	// Instances may connect, by HTTPS only, to the prefix lists of gateway endpoints (by service), and to the security
	// group of interface endpoints, or to the internet if it is nil.
	Gateways  map[string]pulumi.StringInput
	Endpoints pulumi.StringInput

	InstanceType string
	Burstable    bool // the type has CPU credits
	Image        string
	// ImageFrozen is set when Image is the newest one of today. It is then used only for a fleet that does not exist yet.
	ImageFrozen bool
	UserData    pulumi.StringInput // plain text

	Boundary string // ARN of the permissions boundary of the role; empty: none
	Grants   []Grant
	// Resources maps the part of a resource before its first slash to its ARN.
	Resources map[iam.Resource]pulumi.StringInput

	Min, Max int
	// Targets are target groups. With none, the status checks of EC2 decide about health.
	Targets pulumi.StringArray
	Scaling Tracking
	// After lists what must exist before the first instance boots, beside the fleet's own policies and rules.
	After []pulumi.Resource
}

// Fleet is the Pulumi component. A Pulumi update never changes the launch template version of its group: the rollout
// controller rolls a new version out, and can roll it back.
type Fleet struct {
	pulumi.ResourceState

	SecurityGroup *ec2.SecurityGroup
	LogGroup      *cloudwatch.LogGroup
	Template      *ec2.LaunchTemplate
	Group         *autoscaling.Group
	Policy        *autoscaling.Policy

	name string
	args *Args
}

// New creates a fleet. Name is also the physical name of the Auto Scaling group and of the launch template: instances
// and policies name the group before it exists.
func New(ctx *pulumi.Context, name string, args *Args, opts ...pulumi.ResourceOption) *Fleet {
	f := &Fleet{name: name, args: args}
	must.OK(ctx.RegisterComponentResource("imagery:infra:Fleet", name, f, opts...))
	f.LogGroup = must.Get(cloudwatch.NewLogGroup(ctx, name, &cloudwatch.LogGroupArgs{
		Name: pulumi.String(args.LogGroup), RetentionInDays: pulumi.Int(args.LogDays),
	}, pulumi.Parent(f)))
	rules := f.firewall(ctx)
	profile, policies := f.identity(ctx)
	f.template(ctx, profile)
	// The group has no input that refers to policies and rules. Without this dependency, instances could boot before
	// these exist.
	f.group(ctx, slices.Concat([]pulumi.Resource{f.LogGroup, profile}, rules, policies, args.After))
	must.OK(ctx.RegisterResourceOutputs(f, pulumi.Map{"group": f.Group.Name}))
	return f
}
