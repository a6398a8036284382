package main

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"imagery/infra/rollout"
)

func TestDeployerNeedsAreThoseOfWhatStacksHold(t *testing.T) {
	held := map[string]bool{"": true}
	for variant := range variants {
		for _, r := range graphOf(t, variant).Resources {
			if strings.HasPrefix(r.Type, "aws:") {
				held[r.Type] = true
				if deployerNeeds[r.Type] == nil {
					t.Errorf("a deployer needs to know what %s takes", r.Type)
				}
			}
		}
	}
	for kind := range deployerNeeds {
		if !held[kind] {
			t.Errorf("no stack holds a %s", kind)
		}
	}
}

func TestDeployerPoliciesFitIAM(t *testing.T) {
	for _, o := range []policyOptions{{Partition: "aws"}, {Partition: "aws-us-gov", Boundary: longestBoundary}, {Partition: "aws-cn"}} {
		unscoped, scoped := deployerPolicies(o)
		for i, p := range []string{unscoped, scoped} {
			// The rendering has no white space, which IAM would not count.
			if len(p) > policyLimit || strings.ContainsAny(p, " \n\t") {
				t.Errorf("policy %d for %+v has %d characters, IAM takes %d", i+1, o, len(p), policyLimit)
			}
			if strings.Contains(p, `:*"`) && strings.Contains(p, `"Action":["*`) {
				t.Error("a policy allows everything")
			}
			t.Logf("policy %d for %s: %d characters", i+1, o.Partition, len(p))
		}
	}
}

// A rollout has clients for these calls and no others, so that it can make no other.
func TestDeployerMayRollOut(t *testing.T) {
	services := map[string]string{"Groups": "autoscaling", "Targets": "elasticloadbalancing", "Compute": "ec2", "Alarms": "cloudwatch", "Objects": "s3", "Table": "dynamodb"}
	var calls []string
	clients := reflect.TypeFor[rollout.Clients]()
	for i := range clients.NumField() {
		f := clients.Field(i)
		for m := range f.Type.NumMethod() {
			call := services[f.Name] + ":" + f.Type.Method(m).Name
			calls = append(calls, strings.Replace(call, "s3:HeadObject", "s3:GetObject", 1)) // IAM has no right to a HEAD
		}
	}
	allowed := slices.Concat(rolloutNeeds, rolloutItem.Action)
	slices.Sort(calls)
	slices.Sort(allowed)
	if !slices.Equal(calls, allowed) {
		t.Errorf("a rollout calls %v, a deployer may %v", calls, allowed)
	}
}

// rehearsed is what the provider was seen to call in rehearsals of eight stacks and two destroys.
func TestDeployerMayCallWhatRehearsalsCalled(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("testdata", "deployer-calls.txt"))
	if err != nil {
		t.Fatal(err)
	}
	allowed := wantedActions()
	calls := strings.Fields(string(b))
	if len(calls) < 100 {
		t.Errorf("only %d calls were seen", len(calls))
	}
	for _, call := range calls {
		if !slices.Contains(allowed, call) {
			t.Errorf("a deployer may not %s, and did", call)
		}
	}
}
