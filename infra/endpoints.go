package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/app/deploy/iam"
	"imagery/app/deploy/rollout"
	"imagery/app/deploy/settings"
	"imagery/infra/compute"
	"imagery/infra/network"
	"imagery/infra/policy"
)

// packageBucket formats the name of the public S3 bucket, one in each region, from which dnf installs the packages of
// Amazon Linux 2023. dnf sends no credentials. AWS documents neither the name nor the suffix as stable; an instance
// shows both with `dnf repolist -v`.
const packageBucket = "al2023-repos-%s-de612dc2"

// endpointPolicies renders the policy of every VPC endpoint, by service. A policy allows the calls of the stack's
// instances to the stack's resources; that of S3 also allows the distribution's packages. A compromised photo decoder
// therefore cannot reach another bucket, table, queue or log group, even with foreign credentials.
//
// AWS says that a change of such a policy may take minutes to work. The rollout comes after it, and the boot repeats
// what is refused.
func (s *Stack) endpointPolicies() (map[string]pulumi.StringInput, error) {
	policies := map[string]pulumi.StringInput{}
	for _, service := range network.Services(s.cfg.Egress, s.cfg.SSM) {
		document, err := s.endpointPolicy(service)
		if err != nil {
			return nil, err
		}
		policies[service] = document
	}
	return policies, nil
}

// endpointPolicy renders the policy of the endpoint of one service, when the ARNs that it names are known.
func (s *Stack) endpointPolicy(service string) (pulumi.StringOutput, error) {
	type named struct {
		role settings.Role
		name iam.Resource
	}
	calls := map[settings.Role][]iam.Action{}
	var names []named
	var values []any
	for _, role := range rollout.Order {
		calls[role] = s.callsTo(service, role)
		arns := s.resources(role)
		for _, name := range slices.Sorted(maps.Keys(arns)) {
			if slices.ContainsFunc(calls[role], func(c iam.Action) bool { return baseOf(c.Resource) == name }) {
				names, values = append(names, named{role, name}), append(values, arns[name])
			}
		}
	}
	return pulumi.All(values...).ApplyT(func(resolved []any) (string, error) {
		arns := map[settings.Role]map[iam.Resource]string{}
		for i, n := range names {
			if arns[n.role] == nil {
				arns[n.role] = map[iam.Resource]string{}
			}
			arns[n.role][n.name] = resolved[i].(string)
		}
		var statements []policy.Statement
		for _, role := range rollout.Order {
			more, err := compute.Statements(calls[role], arns[role])
			if err != nil {
				return "", err
			}
			statements = merge(statements, more)
		}
		if len(statements) == 0 {
			// A document without a statement would be refused; one that admits everything would be a hole.
			return "", fmt.Errorf("render the endpoint policy of %s: no instance calls it", service)
		}
		for i := range statements {
			statements[i].Principal = "*" // AWS accepts no other for gateway endpoints
			statements[i].Condition = policy.Conditions{"StringEquals": {"aws:PrincipalAccount": {s.place.AccountID}}}
		}
		if service == "s3" {
			packages := fmt.Sprintf("arn:%s:s3:::"+packageBucket+"/*", s.place.Partition, s.cfg.Region)
			statements = append(statements, policy.Statement{Sid: "Packages", Effect: policy.Allow, Principal: "*",
				Action: []string{"s3:GetObject"}, Resource: []string{packages}})
		}
		return policy.JSON(statements...), nil
	}).(pulumi.StringOutput), nil
}

// callsTo lists the calls of a role to a service.
func (s *Stack) callsTo(service string, role settings.Role) []iam.Action {
	var calls []iam.Action
	for _, g := range s.grants(role) {
		for _, c := range g.Calls {
			if c.Service != service {
				continue
			}
			// Which items of the table a call may touch is left to the policy of the role.
			c.LeadingKey = ""
			calls = append(calls, c)
		}
	}
	return calls
}

// baseOf returns the part of a resource before its first slash, which has an ARN of its own.
func baseOf(r iam.Resource) iam.Resource {
	base, _, _ := strings.Cut(string(r), "/")
	return iam.Resource(base)
}

// merge unites statements of one id, so that both roles share one: ids are unique within a document.
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
