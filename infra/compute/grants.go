package compute

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/app/deploy/iam"
	"imagery/infra/policy"
)

// Grant is one inline policy of a role. Each holds the actions of one purpose, so that a reader sees what the binary
// may do apart from what the boot script may do.
type Grant struct {
	Name    string
	Actions []iam.Action
}

// Statements renders actions as []policy.Statement, one for each resource and leading key, sorted. Arns maps the part
// of a resource before its first slash to its ARN; a missing one is an error, because a permission that is left out
// silently causes an outage later.
func Statements(actions []iam.Action, arns map[iam.Resource]pulumi.StringInput) pulumi.Output {
	used := pulumi.StringMap{}
	for _, a := range actions {
		base, _, _ := strings.Cut(string(a.Resource), "/")
		if arn := arns[iam.Resource(base)]; arn != nil {
			used[base] = arn
		}
	}
	return used.ToStringMapOutput().ApplyT(func(known map[string]string) ([]policy.Statement, error) {
		return statements(actions, known)
	})
}

func statements(actions []iam.Action, arns map[string]string) ([]policy.Statement, error) {
	type subject struct {
		resource iam.Resource
		leading  string
	}
	names := map[subject][]string{}
	for _, a := range actions {
		s := subject{a.Resource, a.LeadingKey}
		names[s] = append(names[s], a.Name())
	}
	subjects := slices.SortedFunc(maps.Keys(names), func(a, b subject) int {
		return cmp.Or(cmp.Compare(a.resource, b.resource), cmp.Compare(a.leading, b.leading))
	})
	var out []policy.Statement
	for _, s := range subjects {
		// The first part of a resource is replaced by its ARN: table/index/x is an index of the table.
		base, rest, found := strings.Cut(string(s.resource), "/")
		arn := arns[base]
		switch {
		case s.resource == iam.Any:
			arn = "*"
		case arn == "":
			return nil, fmt.Errorf("render policy: no ARN for %q", base)
		case found:
			arn += "/" + rest
		}
		st := policy.Statement{Sid: sid(string(s.resource)), Effect: policy.Allow, Action: names[s],
			Resource: []string{arn}}
		if s.leading != "" {
			st.Sid += "Limited"
			st.Condition = policy.Conditions{"ForAllValues:StringLike": {"dynamodb:LeadingKeys": {s.leading + "*"}},
				// ForAllValues also matches requests without keys; this condition denies them.
				"Null": {"dynamodb:LeadingKeys": {"false"}}}
		}
		out = append(out, st)
	}
	return out, nil
}

// sid returns a statement id made from the resource. IAM accepts letters and digits only.
func sid(resource string) string {
	if resource == string(iam.Any) {
		return "Any"
	}
	var b strings.Builder
	for _, part := range strings.FieldsFunc(resource, func(r rune) bool { return r == '/' || r == '-' || r == '*' }) {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}
