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

// Statements renders actions as policy statements, one for each resource and leading key, sorted. A missing ARN is an
// error, because a permission that is left out silently causes an outage later.
func Statements(actions []iam.Action, arns map[iam.Resource]string) ([]policy.Statement, error) {
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
		arn, err := resolve(s.resource, arns)
		if err != nil {
			return nil, err
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

// resolve replaces the first part of a resource by its ARN: table/index/x becomes an index of the table.
func resolve(r iam.Resource, arns map[iam.Resource]string) (string, error) {
	if r == iam.Any {
		return "*", nil
	}
	base, rest, found := strings.Cut(string(r), "/")
	arn := arns[iam.Resource(base)]
	if arn == "" {
		return "", fmt.Errorf("render policy: no ARN for %q", base)
	}
	if found {
		rest = "/" + rest
	}
	return arn + rest, nil
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

// document renders the policy of a grant once the ARNs of its resources are known.
func (f *Fleet) document(g Grant) (pulumi.StringOutput, error) {
	var names []iam.Resource
	var values []any
	for _, a := range g.Actions {
		base, _, _ := strings.Cut(string(a.Resource), "/")
		name := iam.Resource(base)
		if name == iam.Any || slices.Contains(names, name) {
			continue
		}
		arn, ok := f.args.Resources[name]
		if !ok {
			return pulumi.StringOutput{}, fmt.Errorf("fleet %s: policy %s: the stack has no resource %s", f.name, g.Name, name)
		}
		names, values = append(names, name), append(values, arn)
	}
	return pulumi.All(values...).ApplyT(func(resolved []any) (string, error) {
		arns := map[iam.Resource]string{}
		for i, name := range names {
			arns[name] = resolved[i].(string)
		}
		statements, err := Statements(g.Actions, arns)
		return policy.JSON(statements...), err
	}).(pulumi.StringOutput), nil
}
