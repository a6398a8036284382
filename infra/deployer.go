package main

import (
	"maps"
	"slices"
	"strings"

	"imagery/app/deploy/record"
	"imagery/infra/policy"
)

// scopes maps a service to the resources to which its actions are limited: those whose names begin like those of every
// stack. Actions of other services, and those in everywhere, get "*".
var scopes = map[string][]string{
	"s3":       {"arn:aws:s3:::imagery-*", "arn:aws:s3:::imagery-*/*"},
	"dynamodb": {"arn:aws:dynamodb:*:*:table/imagery-*"},
	"sqs":      {"arn:aws:sqs:*:*:imagery-*"},
	"sns":      {"arn:aws:sns:*:*:imagery-*"},
	"iam":      {instanceRoles, "arn:aws:iam::*:instance-profile/imagery-*"},
	"logs":     {"arn:aws:logs:*:*:log-group:/imagery/*"},
	"ssm":      {"arn:aws:ssm:*::parameter" + imageParameter + "*"},
}

const instanceRoles = "arn:aws:iam::*:role/imagery-*"

// everywhere lists the actions of a service in scopes that AWS can grant on "*" only.
var everywhere = slices.Concat(on("logs", "DescribeLogGroups"),
	on("sns", "Unsubscribe GetSubscriptionAttributes SetSubscriptionAttributes"))

// boundedActions lists the actions that give a role permissions and for which IAM checks its boundary.
var boundedActions = on("iam", "CreateRole PutRolePolicy PutRolePermissionsBoundary")

// removeBoundary is not granted to a deployer who may create only roles with a boundary.
const removeBoundary = "iam:DeleteRolePermissionsBoundary"

// conditional returns the statements of a deployer that a condition limits. With a boundary, the last one allows a
// deployer to create roles, and to change their policies, only with this permissions boundary. Such a role can do no
// more than the boundary allows.
func conditional(boundary string) []policy.Statement {
	equals := func(key string, values ...string) policy.Conditions {
		return policy.Conditions{"StringEquals": {key: values}}
	}
	linkedRoles := []string{"arn:aws:iam::*:role/aws-service-role/*"}
	all := []policy.Statement{
		// The release record, but no other item of the table.
		{Sid: "RECORD", Effect: policy.Allow, Action: on("dynamodb", "GetItem PutItem"), Resource: scopes["dynamodb"],
			Condition: policy.Conditions{"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": {record.ID}}}},
		// Another service could use the roles of instances for other purposes.
		{Sid: "PASSROLE", Effect: policy.Allow, Action: on("iam", "PassRole"), Resource: []string{instanceRoles},
			Condition: equals("iam:PassedToService", "ec2.amazonaws.com")},
		// AWS creates service-linked roles with the caller's permissions, for the first group and the first load balancer of
		// an account. The preflight reads whether they exist.
		{Sid: "LINKEDROLES", Effect: policy.Allow, Action: on("iam", "CreateServiceLinkedRole"), Resource: linkedRoles,
			Condition: equals("iam:AWSServiceName", "autoscaling.amazonaws.com", "elasticloadbalancing.amazonaws.com")},
		{Sid: "SEELINKEDROLES", Effect: policy.Allow, Action: on("iam", "GetRole"), Resource: linkedRoles},
	}
	if boundary != "" {
		all = append(all, policy.Statement{Sid: "BOUNDED", Effect: policy.Allow, Action: boundedActions,
			Resource: []string{instanceRoles}, Condition: equals("iam:PermissionsBoundary", boundary)})
	}
	return all
}

// wantedActions returns every action that a deployer needs, except those on the release record.
func wantedActions() []string {
	all := slices.Concat(rolloutNeeds, preflightNeeds)
	for _, actions := range deployerNeeds {
		all = append(all, actions...)
	}
	for _, d := range dependentNeeds {
		all = append(all, d.needs...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// deployerPolicies renders the two policies of a deployer: one of the actions that cannot be limited to the resources
// of Imagery, one of those that can. Together they exceed IAM's limit of one policy. Boundary is the ARN of the
// permissions boundary that every role must have; empty: roles need none.
func deployerPolicies(boundary string) (unscoped, scoped string) {
	separate := on("iam", "PassRole CreateServiceLinkedRole")
	if boundary != "" {
		separate = append(slices.Concat(separate, boundedActions), removeBoundary)
	}
	actions := slices.DeleteFunc(wantedActions(), func(a string) bool { return slices.Contains(separate, a) })
	statements := byService(actions, func(service, action string) bool {
		return scopes[service] != nil && !slices.Contains(everywhere, action)
	})
	return policy.JSON(statements[0]), policy.JSON(append(conditional(boundary), statements[1:]...)...)
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
