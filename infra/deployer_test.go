package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
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
	unscoped, scoped := deployerPolicies()
	for _, p := range []string{unscoped, scoped} {
		if len(p) > policyLimit {
			t.Errorf("a policy has %d characters, IAM takes %d", len(p), policyLimit)
		}
		if strings.Contains(p, `:*"`) && strings.Contains(p, `"Action":["*`) {
			t.Error("a policy allows everything")
		}
	}
}

// rehearsed is what the provider was seen to call in rehearsals of eight stacks and two destroys.
func TestDeployerMayCallWhatRehearsalsCalled(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("testdata", "deployer-calls.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var allowed []string
	for _, actions := range deployerNeeds {
		allowed = append(allowed, actions...)
	}
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
