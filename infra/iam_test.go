package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"imagery/app/deploy/iam"
	"imagery/infra/policy"
	"imagery/infra/testing/pulumitest"
)

// arns maps each resource of the iam tables to its ARN in the mock cloud, independently of the code under test.
var arns = map[iam.Resource]string{
	iam.Table:       "Table.imagery-test-images.arn",
	iam.Pending:     "Table.imagery-test-images.arn/index/pending-index",
	iam.Originals:   "BucketV2.imagery-test-images.arn/upload/*",
	iam.Results:     "BucketV2.imagery-test-images.arn/processed/*",
	iam.SelfObjects: "BucketV2.imagery-test-images.arn/selftest/*",
	iam.Queue:       "Queue.imagery-test-queue.arn",
	iam.DeadLetters: "Queue.imagery-test-dead-letters.arn",
	iam.Releases:    "BucketV2.imagery-test-releases.arn/releases/*",
	iam.Group: "arn:aws:autoscaling:eu-central-1:111122223333:autoScalingGroup:*:" +
		"autoScalingGroupName/imagery-test-ROLE",
	iam.Logs: "arn:aws:logs:eu-central-1:111122223333:log-group:/imagery/test/ROLE:*",
	iam.Any:  "*",
}

// granted lists "action resource [limit]" for all policies of a role.
func granted(t *testing.T, g *pulumitest.Graph, role string) []string {
	t.Helper()
	var out []string
	for _, p := range g.Of("RolePolicy") {
		if !strings.Contains(p.Name, "-"+role+"-") {
			continue
		}
		for _, s := range statements(t, p.Text("policy")) {
			if s.Effect != policy.Allow || len(s.Resource) != 1 {
				t.Errorf("%s: %+v", p.Name, s)
			}
			for _, a := range s.Action {
				out = append(out, strings.TrimSpace(
					fmt.Sprint(a, " ", s.Resource[0], " ",
						strings.Join(s.Condition["ForAllValues:StringLike"]["dynamodb:LeadingKeys"], ","))))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// wanted returns the same list, from the iam tables.
func wanted(role string, calls ...[]iam.Action) []string {
	var out []string
	for _, c := range slices.Concat(calls...) {
		arn := strings.ReplaceAll(arns[c.Resource], "ROLE", role)
		limit := ""
		if c.LeadingKey != "" {
			limit = c.LeadingKey + "*"
		}
		out = append(out, strings.TrimSpace(fmt.Sprint(c.Name(), " ", arn, " ", limit)))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestPoliciesEqualTheActionTables(t *testing.T) {
	calls := map[string][]iam.Action{"server": iam.Server, "worker": iam.Worker}
	retired := map[string][]iam.Action{"server": iam.Retired.Server, "worker": iam.Retired.Worker}
	for variant, config := range variants {
		boot := slices.Concat(iam.Boot, iam.Retired.Boot)
		if config["ssm"] == "true" {
			boot = slices.Concat(boot, iam.Sessions)
		}
		for role := range calls {
			got, want := granted(t, graphOf(t, variant), role), wanted(role, calls[role], iam.Selftest, retired[role], boot)
			if !slices.Equal(got, want) {
				t.Errorf("%s %s:\n%s", variant, role, lineDiff(strings.Join(want, "\n"), strings.Join(got, "\n")))
			}
		}
	}
}

// Only these wildcards are allowed: sessions have no resources, the group's ARN contains an id that is created after
// the policy, and objects are limited by prefix.
func TestWildcards(t *testing.T) {
	for variant := range variants {
		for _, role := range roles {
			for _, line := range granted(t, graphOf(t, variant), role) {
				action, resource, _ := strings.Cut(line, " ")
				resource = strings.ReplaceAll(resource, "autoScalingGroup:*:", "")
				session := strings.HasPrefix(action, "ssm") && variants[variant]["ssm"] == "true"
				if strings.Contains(action, "*") || strings.HasPrefix(resource, "*") && !session {
					t.Errorf("%s %s: %s", variant, role, line)
				}
			}
		}
	}
}

// Of three releases only the first uses an action. The policy changes before the instances do, so the policy of the
// second release must still allow it.
func TestAPermissionIsRemovedOneReleaseAfterItsLastUse(t *testing.T) {
	server, retired := iam.Server, iam.Retired
	t.Cleanup(func() { iam.Server, iam.Retired = server, retired })
	gone := iam.Action{Service: "s3", Operation: "DeleteObject", Resource: iam.Results, Reason: "once"}
	right := wanted("server", []iam.Action{gone})[0]
	has := func() bool {
		return slices.Contains(granted(t, run(t, "test", nil, binary(t, "a release")), "server"), right)
	}
	iam.Server = slices.Concat(server, []iam.Action{gone})
	if !has() {
		t.Error("the first release lacks a permission that it needs")
	}
	iam.Server, iam.Retired.Server = server, []iam.Action{gone}
	if !has() {
		t.Error("the second release removes a permission that the first one needs")
	}
	iam.Retired.Server = nil
	if has() {
		t.Error("the third release keeps a permission that no release uses")
	}
}

func TestPoliciesAreReadable(t *testing.T) {
	var b strings.Builder
	for _, p := range graphOf(t, "prod").Of("RolePolicy") {
		var doc any
		if err := json.Unmarshal([]byte(p.Text("policy")), &doc); err != nil {
			t.Fatal(err)
		}
		text, err := json.MarshalIndent(doc, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n%s\n", p.Name, text)
	}
	for _, e := range graphOf(t, "prod").Of("VpcEndpoint") {
		var text bytes.Buffer
		if err := json.Indent(&text, []byte(e.Text("policy")), "", "  "); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n%s\n", e.Name, &text)
	}
	golden(t, "policies-prod.txt", b.String())
}

func TestEveryResourceOfTheTablesIsKnown(t *testing.T) {
	for _, c := range slices.Concat(iam.Server, iam.Worker, iam.Selftest, iam.Boot, iam.Sessions) {
		if !slices.Contains(slices.Collect(maps.Keys(arns)), c.Resource) {
			t.Errorf("%s on %s: unknown resource", c.Name(), c.Resource)
		}
	}
}
