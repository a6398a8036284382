package main

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"imagery/app/deploy/rollout"
	"imagery/infra/deployer"
	"imagery/infra/policy"
	"imagery/infra/preflight"
)

func TestDeployerNeedsAreThoseOfWhatStacksHold(t *testing.T) {
	held := map[string]bool{"": true}
	for variant := range variants {
		for _, r := range graphOf(t, variant).Resources {
			if strings.HasPrefix(r.Type, "aws:") {
				held[r.Type] = true
				if deployer.Needs[r.Type] == nil {
					t.Errorf("a deployer needs to know what %s takes", r.Type)
				}
			}
		}
	}
	for kind := range deployer.Needs {
		if !held[kind] {
			t.Errorf("no stack holds a %s", kind)
		}
	}
}

func TestDeployerPoliciesFitIAM(t *testing.T) {
	for _, o := range []string{"", longestBoundary} {
		unscoped, scoped := deployer.Policies(o)
		for i, p := range []string{unscoped, scoped} {
			// The rendering has no white space, which IAM would not count.
			if len(p) > policyLimit || strings.ContainsAny(p, " \n\t") {
				t.Errorf("policy %d for %+v has %d characters, IAM takes %d", i+1, o, len(p), policyLimit)
			}
			if strings.Contains(p, `:*"`) && strings.Contains(p, `"Action":["*`) {
				t.Error("a policy allows everything")
			}
			t.Logf("policy %d: %d characters", i+1, len(p))
		}
	}
}

// callsOf lists the actions that a struct of clients can ask for. Each field is an interface, so that it can ask for no
// other; services has the IAM prefix of each field. It serves for the clients of the preflight as for a rollout's.
func callsOf(clients reflect.Type, services map[string]string) []string {
	var calls []string
	for i := range clients.NumField() {
		f := clients.Field(i)
		for m := range f.Type.NumMethod() {
			call := services[f.Name] + ":" + f.Type.Method(m).Name
			calls = append(calls, strings.Replace(call, "s3:HeadObject", "s3:GetObject", 1)) // IAM has no right to a HEAD
		}
	}
	slices.Sort(calls)
	return calls
}

func TestDeployerMayRollOut(t *testing.T) {
	calls := callsOf(reflect.TypeFor[rollout.Clients](), map[string]string{"Groups": "autoscaling",
		"Targets": "elasticloadbalancing", "Compute": "ec2", "Alarms": "cloudwatch", "Objects": "s3", "Table": "dynamodb"})
	allowed := slices.Concat(deployer.Rollout, deployer.Conditional("")[0].Action)
	slices.Sort(allowed)
	if !slices.Equal(calls, allowed) {
		t.Errorf("a rollout calls %v, a deployer may %v", calls, allowed)
	}
}

// The preflight's clients make no other calls, either. GetRole is limited to service-linked roles.
func TestDeployerMayCheckBefore(t *testing.T) {
	calls := callsOf(reflect.TypeFor[preflight.Clients](), map[string]string{"Quotas": "servicequotas", "Compute": "ec2",
		"Groups": "autoscaling", "Roles": "iam", "Keys": "kms"})
	want := append(slices.Clone(deployer.Preflight), "iam:GetRole")
	slices.Sort(want)
	if !slices.Equal(calls, want) {
		t.Errorf("a preflight calls %v, a deployer may %v", calls, want)
	}
	all := deployerStatements(t, "")
	for _, a := range deployer.Preflight {
		if s := allowed(all, a); len(s) != 1 || len(s[0].Condition) > 0 {
			t.Errorf("%s is granted by %+v", a, s)
		}
	}
	linked := slices.ContainsFunc(allowed(all, "iam:GetRole"), func(s policy.Statement) bool {
		return slices.Contains(s.Resource, "arn:aws:iam::*:role/aws-service-role/*")
	})
	if !linked {
		t.Error("the preflight cannot see service-linked roles")
	}
}

// The calls of the provider were observed in rehearsals of eight stacks and two destroys.
func TestDeployerMayCallWhatRehearsalsCalled(t *testing.T) {
	allowed, calls := deployer.Actions(), observed(t)
	if len(calls) < 100 {
		t.Errorf("only %d calls were seen", len(calls))
	}
	for _, call := range calls {
		if !slices.Contains(allowed, call) {
			t.Errorf("a deployer may not %s, and did", call)
		}
	}
}
