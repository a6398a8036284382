// Package deployer lists the permissions that a person needs who runs `pulumi up`, and renders the policies that grant
// them.
package deployer

import (
	"maps"
	"slices"
	"strings"

	"imagery/app/deploy/iam"
	"imagery/app/deploy/record"
	"imagery/infra/policy"
)

// ImageParameter is the prefix of the public SSM parameters that hold the id of the current Amazon Linux 2023 image;
// the architecture follows.
const ImageParameter = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-"

// scopes maps a service to the resources to which its actions are limited: those whose names begin like those of every
// stack. Actions of other services, and those in Everywhere, get "*".
var scopes = map[string][]string{
	"s3":       {"arn:aws:s3:::imagery-*", "arn:aws:s3:::imagery-*/*"},
	"dynamodb": {"arn:aws:dynamodb:*:*:table/imagery-*"},
	"sqs":      {"arn:aws:sqs:*:*:imagery-*"},
	"sns":      {"arn:aws:sns:*:*:imagery-*"},
	"iam":      {instanceRoles, "arn:aws:iam::*:instance-profile/imagery-*"},
	"logs":     {"arn:aws:logs:*:*:log-group:/imagery/*"},
	"ssm":      {"arn:aws:ssm:*::parameter" + ImageParameter + "*"},
}

const instanceRoles = "arn:aws:iam::*:role/imagery-*"

// Everywhere lists the actions of a service in scopes that AWS can grant on "*" only.
var Everywhere = slices.Concat(On("logs", "DescribeLogGroups"),
	On("sns", "Unsubscribe GetSubscriptionAttributes SetSubscriptionAttributes"))

// boundedActions lists the actions that give a role permissions and for which IAM checks its boundary.
var boundedActions = On("iam", "CreateRole PutRolePolicy PutRolePermissionsBoundary")

// RemoveBoundary is not granted to a deployer who may create only roles with a boundary.
const RemoveBoundary = "iam:DeleteRolePermissionsBoundary"

// Conditional returns the statements of a deployer that a condition limits. With a boundary, the last one allows a
// deployer to create roles, and to change their policies, only with this permissions boundary. Such a role can do no
// more than the boundary allows.
func Conditional(boundary string) []policy.Statement {
	equals := func(key string, values ...string) policy.Conditions {
		return policy.Conditions{"StringEquals": {key: values}}
	}
	linkedRoles := []string{"arn:aws:iam::*:role/aws-service-role/*"}
	all := []policy.Statement{
		// The release record, but no other item of the table.
		{Sid: "RECORD", Effect: policy.Allow, Action: On("dynamodb", "GetItem PutItem"), Resource: scopes["dynamodb"],
			Condition: policy.Conditions{"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": {record.ID}}}},
		// Another service could use the roles of instances for other purposes.
		{Sid: "PASSROLE", Effect: policy.Allow, Action: On("iam", "PassRole"), Resource: []string{instanceRoles},
			Condition: equals("iam:PassedToService", "ec2.amazonaws.com")},
		// AWS creates service-linked roles with the caller's permissions, for the first group and the first load balancer of
		// an account. The preflight reads whether they exist.
		{Sid: "LINKEDROLES", Effect: policy.Allow, Action: On("iam", "CreateServiceLinkedRole"), Resource: linkedRoles,
			Condition: equals("iam:AWSServiceName", "autoscaling.amazonaws.com", "elasticloadbalancing.amazonaws.com")},
		{Sid: "SEELINKEDROLES", Effect: policy.Allow, Action: On("iam", "GetRole"), Resource: linkedRoles},
	}
	if boundary != "" {
		all = append(all, policy.Statement{Sid: "BOUNDED", Effect: policy.Allow, Action: boundedActions,
			Resource: []string{instanceRoles}, Condition: equals("iam:PermissionsBoundary", boundary)})
	}
	return all
}

// Actions returns every action that a deployer needs, except those on the release record.
func Actions() []string {
	all := slices.Concat(Rollout, Preflight)
	for _, actions := range Needs {
		all = append(all, actions...)
	}
	for _, d := range Dependents {
		all = append(all, d.Needs...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Policies renders the two policies of a deployer: one of the actions that cannot be limited to the resources of
// Imagery, one of those that can. Together they exceed IAM's limit of one policy. Boundary is the ARN of the
// permissions boundary that every role must have; empty: roles need none.
func Policies(boundary string) (unscoped, scoped string) {
	separate := On("iam", "PassRole CreateServiceLinkedRole")
	if boundary != "" {
		separate = append(slices.Concat(separate, boundedActions), RemoveBoundary)
	}
	actions := slices.DeleteFunc(Actions(), func(a string) bool { return slices.Contains(separate, a) })
	statements := byService(actions, func(service, action string) bool {
		return scopes[service] != nil && !slices.Contains(Everywhere, action)
	})
	return policy.JSON(statements[0]), policy.JSON(append(Conditional(boundary), statements[1:]...)...)
}

// byService returns statements that grant actions: first those on every resource, then those that are limited to the
// scope of their service.
func byService(actions []string, limited func(service, action string) bool) []policy.Statement {
	by := map[string][]string{}
	for _, a := range actions {
		service, _, _ := strings.Cut(a, ":")
		if !limited(service, a) {
			service = ""
		}
		by[service] = append(by[service], a)
	}
	var out []policy.Statement
	for _, service := range slices.Sorted(maps.Keys(by)) {
		s := policy.Statement{Sid: strings.ToUpper(service), Effect: policy.Allow, Action: by[service],
			Resource: []string{"*"}}
		if service != "" {
			s.Resource = scopes[service]
		}
		out = append(out, s)
	}
	return out
}

// BoundaryPolicy renders a permissions boundary that allows every action which an instance of any stack needs.
func BoundaryPolicy() string {
	var actions []string
	for _, a := range slices.Concat(iam.Server, iam.Worker, iam.Selftest, iam.Boot, iam.Sessions,
		iam.Retired.Server, iam.Retired.Worker, iam.Retired.Boot) {
		actions = append(actions, a.Name())
	}
	return policy.JSON(byService(actions, func(service, _ string) bool {
		return slices.Contains([]string{"s3", "dynamodb", "sqs", "logs"}, service) // the role's policy limits the others
	})...)
}
