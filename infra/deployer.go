package main

import (
	"maps"
	"slices"
	"strings"

	"imagery/app/deploy/record"
	"imagery/infra/policy"
)

// rolloutItem allows a deployer to read and write the release record, but no other item of the table.
var rolloutItem = policy.Statement{Sid: "RECORD", Effect: policy.Allow, Action: on("dynamodb", "GetItem PutItem"),
	Resource:  scopes["dynamodb"],
	Condition: policy.Conditions{"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": {record.ID}}}}

// linkedRoles allows the creation of service-linked roles for Auto Scaling and Elastic Load Balancing only, and lets
// the preflight read whether they exist. AWS creates them with the caller's permissions, for the first group and the
// first load balancer of an account.
func linkedRoles() []policy.Statement {
	roles := []string{"arn:aws:iam::*:role/aws-service-role/*"}
	return []policy.Statement{
		{Sid: "LINKEDROLES", Effect: policy.Allow, Action: on("iam", "CreateServiceLinkedRole"), Resource: roles,
			Condition: policy.Conditions{"StringEquals": {"iam:AWSServiceName": {
				"autoscaling.amazonaws.com", "elasticloadbalancing.amazonaws.com"}}}},
		{Sid: "SEELINKEDROLES", Effect: policy.Allow, Action: on("iam", "GetRole"), Resource: roles},
	}
}

// passRole allows a deployer to pass the roles of instances to EC2 only. Another service could use them for other
// purposes.
func passRole() policy.Statement {
	return policy.Statement{Sid: "PASSROLE", Effect: policy.Allow, Action: on("iam", "PassRole"),
		Resource:  []string{"arn:aws:iam::*:role/imagery-*"},
		Condition: policy.Conditions{"StringEquals": {"iam:PassedToService": {"ec2.amazonaws.com"}}}}
}

// scopes maps a service to the resources to which its actions are limited: those whose names begin like those of every
// stack. Actions of other services, and those in everywhere, get "*".
var scopes = map[string][]string{
	"s3":       {"arn:aws:s3:::imagery-*", "arn:aws:s3:::imagery-*/*"},
	"dynamodb": {"arn:aws:dynamodb:*:*:table/imagery-*"},
	"sqs":      {"arn:aws:sqs:*:*:imagery-*"},
	"sns":      {"arn:aws:sns:*:*:imagery-*"},
	"iam":      {"arn:aws:iam::*:role/imagery-*", "arn:aws:iam::*:instance-profile/imagery-*"},
	"logs":     {"arn:aws:logs:*:*:log-group:/imagery/*"},
	"ssm":      {"arn:aws:ssm:*::parameter" + imageParameter + "*"},
}

// everywhere lists the actions of a service in scopes that AWS can grant on "*" only.
var everywhere = slices.Concat(on("logs", "DescribeLogGroups"),
	on("sns", "Unsubscribe GetSubscriptionAttributes SetSubscriptionAttributes"))

// separateActions lists the actions for which passRole and linkedRoles have statements.
var separateActions = []string{"iam:PassRole", "iam:CreateServiceLinkedRole"}

// policyLimit is IAM's limit of a managed policy, in characters without white space.
const policyLimit = 6144

// policyOptions selects the variant of the deployer policies.
type policyOptions struct {
	// Boundary is the ARN of the permissions boundary that every role must have; empty: roles need none.
	Boundary string
}

// wantedActions returns every action that a deployer needs, except those of rolloutItem.
func wantedActions() []string {
	var all []string
	for _, actions := range deployerNeeds {
		all = append(all, actions...)
	}
	for _, d := range dependentNeeds {
		all = append(all, d.needs...)
	}
	all = slices.Concat(all, rolloutNeeds, preflightNeeds)
	slices.Sort(all)
	return slices.Compact(all)
}

// deployerPolicies renders the two policies of a deployer: one of the actions that cannot be limited to the resources
// of Imagery, one of those that can. Together they exceed IAM's limit of one policy.
func deployerPolicies(o policyOptions) (unscoped, scoped string) {
	by := map[string][]string{}
	for _, a := range wantedActions() {
		service, _, _ := strings.Cut(a, ":")
		if slices.Contains(separateActions, a) ||
			o.Boundary != "" && (slices.Contains(boundedActions, a) || a == removeBoundary) {
			continue
		}
		if slices.Contains(everywhere, a) || scopes[service] == nil {
			service = ""
		}
		by[service] = append(by[service], a)
	}
	limited := append([]policy.Statement{rolloutItem, passRole()}, linkedRoles()...)
	if o.Boundary != "" {
		limited = append(limited, bounded(o.Boundary))
	}
	for _, service := range slices.Sorted(maps.Keys(by)) {
		if service != "" {
			limited = append(limited, policy.Statement{Sid: strings.ToUpper(service), Effect: policy.Allow,
				Action: by[service], Resource: scopes[service]})
		}
	}
	unscoped = policy.JSON(policy.Statement{Effect: policy.Allow, Action: by[""], Resource: []string{"*"}})
	return unscoped, policy.JSON(limited...)
}

// boundedActions lists the actions that give a role permissions and for which IAM checks its boundary.
var boundedActions = on("iam", "CreateRole PutRolePolicy PutRolePermissionsBoundary")

// removeBoundary is not granted to a deployer who may create only roles with a boundary.
const removeBoundary = "iam:DeleteRolePermissionsBoundary"

// bounded allows a deployer to create roles, and to change their policies, only with a permissions boundary. Such a
// role can do no more than the boundary allows.
func bounded(boundary string) policy.Statement {
	return policy.Statement{Sid: "BOUNDED", Effect: policy.Allow, Action: boundedActions,
		Resource:  []string{"arn:aws:iam::*:role/imagery-*"},
		Condition: policy.Conditions{"StringEquals": {"iam:PermissionsBoundary": {boundary}}}}
}
