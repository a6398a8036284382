package compute

import (
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/infra/policy"
)

var trustPolicy = policy.AssumedBy("ec2.amazonaws.com")

// identity creates the role of the instances with one policy for each grant, and the instance profile. It returns the
// policies apart, because nothing else makes the group wait for them.
func (f *Fleet) identity(ctx *pulumi.Context) (*iam.InstanceProfile, []pulumi.Resource, error) {
	args := &iam.RoleArgs{AssumeRolePolicy: pulumi.String(trustPolicy)}
	if f.args.Boundary != "" {
		args.PermissionsBoundary = pulumi.String(f.args.Boundary)
	}
	role, err := iam.NewRole(ctx, f.name, args, pulumi.Parent(f))
	if err != nil {
		return nil, nil, err
	}
	var policies []pulumi.Resource
	for _, g := range f.args.Grants {
		if len(g.Actions) == 0 {
			continue
		}
		document := Statements(g.Actions, f.args.Resources).ApplyT(func(statements any) string {
			return policy.JSON(statements.([]policy.Statement)...)
		}).(pulumi.StringOutput)
		p, err := iam.NewRolePolicy(ctx, f.name+"-"+g.Name, &iam.RolePolicyArgs{Role: role.Name, Policy: document},
			pulumi.Parent(f))
		if err != nil {
			return nil, nil, err
		}
		policies = append(policies, p)
	}
	profile, err := iam.NewInstanceProfile(ctx, f.name, &iam.InstanceProfileArgs{Role: role.Name},
		pulumi.Parent(f))
	return profile, policies, err
}
