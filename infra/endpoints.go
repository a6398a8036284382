package main

import (
	"fmt"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/app/deploy/iam"
	"imagery/app/deploy/rollout"
	"imagery/app/deploy/settings"
	"imagery/infra/compute"
	"imagery/infra/policy"
)

// packageBucket is the format of the name of the public S3 bucket, one in each region, from which dnf installs the
// packages of Amazon Linux 2023. dnf sends no credentials. AWS does not document the name and its suffix as stable;
// `dnf repolist -v` on an instance shows both.
const packageBucket = "al2023-repos-%s-de612dc2"

// endpointPolicy renders the policy of the VPC endpoint of a service. It allows the actions of the stack's instances on
// the stack's resources; that of S3 also allows downloads of operating system packages. A compromised photo decoder
// therefore cannot reach another bucket, table, queue or log group, even with foreign credentials.
//
// A changed policy may take minutes to apply. The rollout starts after the change, and the boot script retries denied
// requests.
func (s *Stack) endpointPolicy(service string) pulumi.StringOutput {
	var byRole []any
	for _, role := range rollout.Order {
		byRole = append(byRole, compute.Statements(s.actionsOf(service, role), s.resources(role)))
	}
	return pulumi.All(byRole...).ApplyT(func(resolved []any) (string, error) {
		var statements []policy.Statement
		for _, more := range resolved {
			statements = merge(statements, more.([]policy.Statement))
		}
		if len(statements) == 0 {
			// AWS rejects a policy without statements, and allows everything if there is no policy.
			return "", fmt.Errorf("render the endpoint policy of %s: no instance calls it", service)
		}
		for i := range statements {
			statements[i].Principal = "*" // AWS accepts no other for gateway endpoints
			statements[i].Condition = policy.Conditions{"StringEquals": {"aws:PrincipalAccount": {s.location.AccountID}}}
		}
		if service == "s3" {
			packages := fmt.Sprintf("arn:%s:s3:::"+packageBucket+"/*", s.location.Partition, s.cfg.Region)
			statements = append(statements, policy.Statement{Sid: "Packages", Effect: policy.Allow, Principal: "*",
				Action: []string{"s3:GetObject"}, Resource: []string{packages}})
		}
		return policy.JSON(statements...), nil
	}).(pulumi.StringOutput)
}

// actionsOf lists the actions of a role on a service, without the limits to items of the table, which the policy of the
// role has.
func (s *Stack) actionsOf(service string, role settings.Role) []iam.Action {
	var actions []iam.Action
	for _, g := range s.grants(role) {
		for _, a := range g.Actions {
			if a.Service == service {
				a.LeadingKey = ""
				actions = append(actions, a)
			}
		}
	}
	return actions
}

// merge adds statements to a list. Statements of the same id become one, since ids are unique within a policy.
func merge(into, more []policy.Statement) []policy.Statement {
	for _, m := range more {
		i := slices.IndexFunc(into, func(s policy.Statement) bool { return s.Sid == m.Sid })
		if i < 0 {
			into = append(into, m)
			continue
		}
		into[i].Action = slices.Concat(into[i].Action, m.Action) // policy.JSON sorts them and drops duplicates
		for _, r := range m.Resource {
			if !slices.Contains(into[i].Resource, r) {
				into[i].Resource = append(into[i].Resource, r)
			}
		}
	}
	return into
}
