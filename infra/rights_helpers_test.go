package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"imagery/infra/deployer"
	"imagery/infra/policy"
)

// policyLimit is IAM's limit of a managed policy, in characters without white space.
const policyLimit = 6144

// longestBoundary has the longest name and path that IAM gives to a policy of this partition.
var longestBoundary = "arn:aws:iam::111122223333:policy/" + strings.Repeat("p", 128)

// statements parses policies.
func statements(t *testing.T, policies ...string) []policy.Statement {
	t.Helper()
	var all []policy.Statement
	for _, p := range policies {
		var doc policy.Document
		if err := json.Unmarshal([]byte(p), &doc); err != nil {
			t.Fatal(err)
		}
		all = append(all, doc.Statement...)
	}
	return all
}

// deployerStatements are those of both policies.
func deployerStatements(t *testing.T, boundary string) []policy.Statement {
	t.Helper()
	unscoped, scoped := deployer.Policies(boundary)
	return statements(t, unscoped, scoped)
}

// instanceStatements are those of the roles of instances, in the variant with most of them.
func instanceStatements(t *testing.T) []policy.Statement {
	t.Helper()
	var texts []string
	for _, p := range graphOf(t, "prod").Of("RolePolicy") {
		texts = append(texts, p.Text("policy"))
	}
	return statements(t, texts...)
}

// allowed lists the statements that grant an action.
func allowed(all []policy.Statement, action string) []policy.Statement {
	return slices.DeleteFunc(slices.Clone(all), func(s policy.Statement) bool {
		return !slices.Contains(s.Action, action)
	})
}

// condition returns the values of a condition, of whatever operator.
func condition(s policy.Statement, key string) []string {
	var out []string
	for _, keys := range s.Condition {
		out = append(out, keys[key]...)
	}
	return out
}
