package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"imagery/app/deploy/iam"
	"imagery/infra/policy"
	"imagery/infra/testing/pulumitest"
)

// inPolicy is the damage that replaces a text in the policy of an endpoint.
func inPolicy(endpoint, old, with string) func(*pulumitest.Graph) {
	return func(g *pulumitest.Graph) {
		e := g.One("VpcEndpoint", endpoint)
		if !strings.Contains(e.Text("policy"), old) {
			panic("nothing to damage in " + e.Text("policy"))
		}
		e.Set("policy", strings.Replace(e.Text("policy"), old, with, 1))
	}
}

// endpointsAdmitOnlyOurs compares the policy of every endpoint with the tables of calls.
func endpointsAdmitOnlyOurs(g *pulumitest.Graph) error {
	for _, e := range g.Of("VpcEndpoint") {
		var doc policy.Document
		if err := json.Unmarshal([]byte(e.Text("policy")), &doc); err != nil {
			return fmt.Errorf("%s: policy %q: %w", e.Name, e.Text("policy"), err)
		}
		var got []string
		for _, s := range doc.Statement {
			if s.Effect != policy.Allow || s.Principal != "*" || s.Sid == "" {
				return fmt.Errorf("%s: %+v", e.Name, s)
			}
			for _, action := range s.Action {
				for _, resource := range s.Resource {
					got = append(got, strings.TrimSpace(fmt.Sprint(action, " ", resource, " ",
						strings.Join(s.Condition["StringEquals"]["aws:PrincipalAccount"], ","))))
				}
			}
		}
		service := e.Text("serviceName")[strings.LastIndex(e.Text("serviceName"), ".")+1:]
		want := []string{}
		if service == "s3" {
			want = append(want, "s3:GetObject arn:aws:s3:::al2023-repos-eu-central-1-de612dc2/*")
		}
		for role, calls := range map[string][]iam.Action{
			"server": slices.Concat(iam.Server, iam.Retired.Server),
			"worker": slices.Concat(iam.Worker, iam.Retired.Worker),
		} {
			for _, c := range slices.Concat(calls, iam.Selftest, iam.Boot, iam.Retired.Boot, iam.Sessions) {
				if c.Service == service {
					want = append(want, c.Name()+" "+strings.ReplaceAll(arns[c.Resource], "ROLE", role)+" 111122223333")
				}
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if want = slices.Compact(want); !slices.Equal(got, want) {
			return fmt.Errorf("%s:\n%s", e.Name, lineDiff(strings.Join(want, "\n"), strings.Join(got, "\n")))
		}
	}
	return nil
}
