package compute

import (
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/infra/must"
	"imagery/infra/policy"
)

var trustPolicy = policy.JSON(policy.Statement{Effect: policy.Allow, Action: []string{"sts:AssumeRole"},
	Principal: policy.Principals{"Service": {"ec2.amazonaws.com"}}})

// identity creates the role of the instances with one policy for each grant, and the instance profile. It returns the
// policies apart, because nothing else makes the group wait for them.
func (f *Fleet) identity(ctx *pulumi.Context) (*iam.InstanceProfile, []pulumi.Resource) {
	args := &iam.RoleArgs{AssumeRolePolicy: pulumi.String(trustPolicy)}
	if f.args.Boundary != "" {
		args.PermissionsBoundary = pulumi.String(f.args.Boundary)
	}
	role := must.Get(iam.NewRole(ctx, f.name, args, pulumi.Parent(f)))
	var policies []pulumi.Resource
	for _, g := range f.args.Grants {
		if len(g.Actions) == 0 {
			continue
		}
		document := Statements(g.Actions, f.args.Resources).ApplyT(func(statements any) string {
			return policy.JSON(statements.([]policy.Statement)...)
		}).(pulumi.StringOutput)
		p := must.Get(iam.NewRolePolicy(ctx, f.name+"-"+g.Name, &iam.RolePolicyArgs{Role: role.Name, Policy: document},
			pulumi.Parent(f)))
		policies = append(policies, p)
	}
	profile := must.Get(iam.NewInstanceProfile(ctx, f.name, &iam.InstanceProfileArgs{Role: role.Name},
		pulumi.Parent(f)))
	return profile, policies
}
