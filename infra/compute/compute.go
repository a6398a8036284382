// Package compute creates the fleet of one role: IAM role, security group, launch template, Auto Scaling group and
// scaling policy. A stack uses it twice, for servers and for workers.
package compute

import (
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/autoscaling"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	rights "imagery/app/deploy/iam"
)

// Args describe a fleet.
type Args struct {
	Role     string // "server" or "worker", the last part of every name
	Group    string // physical name of the Auto Scaling group: instances and rights name it before it exists
	LogGroup string // physical name
	LogDays  int
	Tags     map[string]string // for instances and volumes, which a provider's default tags do not reach

	VPC     pulumi.StringInput
	Subnets pulumi.StringArray // one in each zone, so that a group spreads by itself
	Ingress *Ingress           // nil: no inbound connections
	Egress  Egress

	InstanceType string
	Burstable    bool // the type has CPU credits
	Image        string
	// ImageFrozen: Image is today's newest, which counts only for a fleet that does not exist yet.
	ImageFrozen bool
	UserData    pulumi.StringInput // plain text

	Boundary string // ARN of the permissions boundary of the role; empty: none
	Grants   []Grant
	// Resources holds the ARN of each resource that a grant may name, by the part before its first slash.
	Resources map[rights.Resource]pulumi.StringInput

	Min, Max int
	// Targets are target groups. With none, EC2's own checks decide about health.
	Targets pulumi.StringArray
	Scaling Tracking
	// After is all that must work before the first instance boots. Its own rights and rules come on top.
	After []pulumi.Resource
}

// Ingress is the one peer that may connect, and where. The fleet also lets that peer out to itself.
type Ingress struct {
	From pulumi.StringInput // security group
	Port int
}

// Egress is where instances may connect to, always by HTTPS.
type Egress struct {
	Gateways  map[string]pulumi.StringInput // prefix lists of gateway endpoints, by a name
	Endpoints pulumi.StringInput            // security group of interface endpoints; nil: the internet
}

// Fleet is the component. Its group keeps the launch template version that it was created with: a new version
// is rolled out by the rollout controller, which can roll it back, never by an update.
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

// New builds a fleet.
func New(ctx *pulumi.Context, name string, args *Args, opts ...pulumi.ResourceOption) (*Fleet, error) {
	if args.Min < 1 || args.Max <= args.Min {
		return nil, fmt.Errorf("fleet %s: %d to %d instances", name, args.Min, args.Max)
	}
	if !stopFits() {
		return nil, fmt.Errorf("fleet %s: the terminate hook is shorter than a stop", name)
	}
	f := &Fleet{name: name, args: args}
	if err := ctx.RegisterComponentResource("imagery:infra:Fleet", name, f, opts...); err != nil {
		return nil, err
	}
	var err error
	f.LogGroup, err = cloudwatch.NewLogGroup(ctx, name, &cloudwatch.LogGroupArgs{
		Name: pulumi.String(args.LogGroup), RetentionInDays: pulumi.Int(args.LogDays),
	}, pulumi.Parent(f))
	if err != nil {
		return nil, err
	}
	rules, err := f.firewall(ctx)
	if err != nil {
		return nil, err
	}
	profile, policies, err := f.identity(ctx)
	if err != nil {
		return nil, err
	}
	if err := f.template(ctx, profile); err != nil {
		return nil, err
	}
	// Rights and rules are no inputs of a group, so nothing but this keeps instances from booting without them.
	after := append(append([]pulumi.Resource{f.LogGroup, profile}, rules...), policies...)
	if err := f.group(ctx, append(after, args.After...)); err != nil {
		return nil, err
	}
	return f, ctx.RegisterResourceOutputs(f, pulumi.Map{"group": f.Group.Name})
}

// identity is the instance profile and the policies of its role.
func (f *Fleet) identity(ctx *pulumi.Context) (*iam.InstanceProfile, []pulumi.Resource, error) {
	of := &iam.RoleArgs{AssumeRolePolicy: pulumi.String(trust)}
	if f.args.Boundary != "" {
		of.PermissionsBoundary = pulumi.String(f.args.Boundary)
	}
	role, err := iam.NewRole(ctx, f.name, of, pulumi.Parent(f))
	if err != nil {
		return nil, nil, err
	}
	var policies []pulumi.Resource
	// One policy for each concern: a reader finds what a release may do apart from what its boot may.
	for _, g := range f.args.Grants {
		if len(g.Calls) == 0 {
			continue
		}
		document, err := f.document(g)
		if err != nil {
			return nil, nil, err
		}
		p, err := iam.NewRolePolicy(ctx, f.name+"-"+g.Name, &iam.RolePolicyArgs{Role: role.Name, Policy: document}, pulumi.Parent(f))
		if err != nil {
			return nil, nil, err
		}
		policies = append(policies, p)
	}
	profile, err := iam.NewInstanceProfile(ctx, f.name, &iam.InstanceProfileArgs{Role: role.Name}, pulumi.Parent(f))
	return profile, policies, err
}
