package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imagery/app/deploy/iam"
	"imagery/infra/deployer"
	"imagery/infra/testing/authz"
)

// observed are the calls that rehearsals were seen to make.
func observed(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "deployer-calls.txt"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(b))
}

func TestEveryActionIsInAWSsReference(t *testing.T) {
	rows := authz.Reference()
	used := map[string]string{}
	for _, a := range observed(t) {
		used[a] = "rehearsals call"
	}
	for _, s := range deployerStatements(t, "") {
		for _, a := range s.Action {
			used[a] = "deployers may"
		}
	}
	for _, s := range instanceStatements(t) {
		for _, a := range s.Action {
			used[a] = "instances may"
		}
	}
	for _, c := range slices.Concat(iam.Operator, iam.Status, iam.OnCall) {
		used[c.Name()] = "operators need"
	}
	for a, why := range used {
		if _, ok := rows[a]; !ok {
			t.Errorf("%s %s, which has no row: go run ./infra/testing/iamreference ... %s", why, a, a)
		}
	}
	for a := range rows {
		if used[a] == "" {
			t.Errorf("%s has a row and is not used", a)
		}
	}
}

// notNeeded maps dependent actions of AWS's reference that a deployer does not get to the reason. The key is "action
// dependent", with "*" for any action or any dependent.
var notNeeded = map[string]string{
	"* ssm:GetParameters":                 "only for launch templates that name their image by a parameter",
	"sns:CreateTopic iam:PassRole":        "only for topics that log their deliveries with a role",
	"sns:SetTopicAttributes iam:PassRole": "only for topics that log their deliveries with a role",
	"servicequotas:GetServiceQuota *":     "each for the quotas of its own service; those of EC2 need none",
}

func TestDependentActionsAreGranted(t *testing.T) {
	granted := deployer.Actions()
	written := map[string]bool{}
	for _, d := range deployer.Dependents {
		for _, of := range d.Of {
			if !slices.Contains(granted, of) || !strings.HasPrefix(d.Source, "https://") || len(d.Needs) == 0 {
				t.Errorf("the row of %s: not an action of a deployer, or without a source", of)
			}
			for _, a := range d.Needs {
				written[of+" "+a] = true
			}
		}
	}
	used := map[string]bool{}
	for action, row := range authz.Reference() {
		if !slices.Contains(granted, action) {
			continue
		}
		for _, d := range row.Dependents {
			needed := true
			for _, key := range []string{action + " " + d, "* " + d, action + " *"} {
				if notNeeded[key] != "" {
					needed, used[key] = false, true
				}
			}
			if written[action+" "+d] == needed {
				continue
			}
			t.Errorf("AWS checks %s when %s is called: deployer.Dependents and notNeeded name it %v and %v", d, action,
				written[action+" "+d], !needed)
		}
	}
	for key := range notNeeded {
		if !used[key] {
			t.Errorf("notNeeded names %s, which no row of the reference has", key)
		}
	}
}

// Without these the stack cannot be made, and no rehearsal shows it: findings F13 to F15 of the review.
func TestLoadBalancersAndEndpointsCanBeMade(t *testing.T) {
	for _, a := range slices.Concat(
		deployer.On("ec2", "DescribeAccountAttributes GetSecurityGroupsForVpc RunInstances CreateTags"),
		deployer.On("route53", "AssociateVPCWithHostedZone"), deployer.On("iam", "PassRole CreateServiceLinkedRole")) {
		for _, o := range []string{"", longestBoundary} {
			if len(allowed(deployerStatements(t, o), a)) == 0 {
				t.Errorf("a deployer may not %s (%+v)", a, o)
			}
		}
	}
}

// scopeTypes are the resource types of AWS that the ARNs of a scope are of.
var scopeTypes = map[string][]string{
	"s3": {"bucket", "object"}, "dynamodb": {"table"}, "sqs": {"queue"}, "sns": {"topic"}, "logs": {"log-group"},
	"iam": {"role", "instance-profile"}, "ssm": {"parameter"},
}

// An action that AWS checks on no resource, or on another kind of it, never matches a statement that names ARNs.
func TestLimitedActionsCanBeLimited(t *testing.T) {
	rows := authz.Reference()
	for _, s := range deployerStatements(t, longestBoundary) {
		for _, a := range s.Action {
			service, _, _ := strings.Cut(a, ":")
			fits := slices.ContainsFunc(scopeTypes[service], func(kind string) bool {
				return slices.Contains(rows[a].Types, kind)
			})
			if !slices.Contains(s.Resource, "*") && !fits {
				t.Errorf("%s is limited to %v, AWS checks it on %v", a, s.Resource, rows[a].Types)
			}
			if slices.Contains(s.Resource, "*") && fits && !slices.Contains(deployer.Everywhere, a) {
				t.Errorf("%s is granted everywhere and could be limited", a)
			}
		}
	}
	for _, s := range instanceStatements(t) {
		for _, a := range s.Action {
			if !slices.Contains(s.Resource, "*") && len(rows[a].Types) == 0 {
				t.Errorf("an instance's %s is limited to %v, AWS checks it on nothing", a, s.Resource)
			}
		}
	}
}

// What the boundary lacks, no policy of a role can give.
func TestTheBoundaryAllowsWhatInstancesDo(t *testing.T) {
	text := deployer.BoundaryPolicy()
	if len(text) > policyLimit {
		t.Errorf("the boundary has %d characters", len(text))
	}
	most := statements(t, text)
	for _, s := range instanceStatements(t) {
		for _, a := range s.Action {
			if len(allowed(most, a)) != 1 {
				t.Errorf("the boundary allows %s %d times", a, len(allowed(most, a)))
			}
		}
	}
	for _, s := range most {
		for _, a := range s.Action {
			if strings.HasPrefix(a, "iam:") || strings.Contains(a, "*") {
				t.Errorf("the boundary allows %s", a)
			}
		}
	}
}

func TestPoliciesArePrinted(t *testing.T) {
	for args, want := range map[string]string{
		"": "arn:aws:sqs", "-for-boundary": "ssmmessages:OpenDataChannel",
		"-policy 2 -boundary arn:aws:iam::111122223333:policy/b": "iam:PermissionsBoundary", "-boundary b": "is not the ARN",
	} {
		var b strings.Builder
		if err := printPolicies(&b, strings.Fields(args)); err != nil {
			b.WriteString(err.Error())
		}
		if !strings.Contains(b.String(), want) {
			t.Errorf("policies %s printed %q", args, b.String())
		}
	}
}

func TestRolesGoToEC2Only(t *testing.T) {
	all := deployerStatements(t, "")
	pass := allowed(all, "iam:PassRole")
	if len(pass) != 1 || !slices.Equal(condition(pass[0], "iam:PassedToService"), []string{"ec2.amazonaws.com"}) ||
		!slices.Equal(pass[0].Resource, []string{"arn:aws:iam::*:role/imagery-*"}) {
		t.Errorf("roles are passed by %+v", pass)
	}
	linked := allowed(all, "iam:CreateServiceLinkedRole")
	services := []string{"autoscaling.amazonaws.com", "elasticloadbalancing.amazonaws.com"}
	if len(linked) != 1 || !slices.Equal(condition(linked[0], "iam:AWSServiceName"), services) {
		t.Errorf("service-linked roles are made by %+v", linked)
	}
}

// With a boundary no statement gives rights to a role without it, and none takes it off.
func TestABoundedDeployerMakesBoundedRoles(t *testing.T) {
	const boundary = "arn:aws:iam::111122223333:policy/imagery-boundary"
	all := deployerStatements(t, boundary)
	for _, a := range deployer.On("iam", "CreateRole PutRolePolicy PutRolePermissionsBoundary") {
		for _, s := range allowed(all, a) {
			if !slices.Equal(condition(s, "iam:PermissionsBoundary"), []string{boundary}) {
				t.Errorf("%s is granted by %+v", a, s)
			}
		}
		if len(allowed(all, a)) != 1 {
			t.Errorf("%s is granted %d times", a, len(allowed(all, a)))
		}
	}
	if s := allowed(all, "iam:DeleteRolePermissionsBoundary"); len(s) > 0 {
		t.Errorf("the boundary can be taken off: %+v", s)
	}
	for _, a := range deployer.On("iam", `AttachRolePolicy CreateUser CreatePolicy CreatePolicyVersion
		SetDefaultPolicyVersion`) {
		if s := allowed(all, a); len(s) > 0 {
			t.Errorf("%s is a way around the boundary: %+v", a, s)
		}
	}
	// The rest of the rights is the same.
	var with, without []string
	for _, s := range all {
		with = append(with, s.Action...)
	}
	for _, s := range deployerStatements(t, "") {
		without = append(without, s.Action...)
	}
	for _, a := range without {
		if a != deployer.RemoveBoundary && !slices.Contains(with, a) {
			t.Errorf("the boundary takes %s away", a)
		}
	}
}
