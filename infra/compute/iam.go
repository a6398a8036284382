package compute

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	rights "imagery/app/deploy/iam"
	"imagery/infra/policy"
)

// Grant is one policy of a role: the calls of one concern.
type Grant struct {
	Name  string
	Calls []rights.Action
}

var trust = policy.AssumedBy("ec2.amazonaws.com")

// Statements renders calls as statements, one for each resource and limit, in the order of the names. An ARN
// that is missing is an error: a right that is dropped in silence is an outage later.
func Statements(calls []rights.Action, arns map[rights.Resource]string) ([]policy.Statement, error) {
	type subject struct {
		resource rights.Resource
		leading  string
	}
	actions := map[subject][]string{}
	for _, c := range calls {
		s := subject{c.Resource, c.LeadingKey}
		actions[s] = append(actions[s], c.Name())
	}
	subjects := make([]subject, 0, len(actions))
	for s := range actions {
		subjects = append(subjects, s)
	}
	slices.SortFunc(subjects, func(a, b subject) int {
		return cmp.Or(cmp.Compare(a.resource, b.resource), cmp.Compare(a.leading, b.leading))
	})
	var out []policy.Statement
	for _, s := range subjects {
		arn, err := resolve(s.resource, arns)
		if err != nil {
			return nil, err
		}
		st := policy.Statement{Sid: sid(string(s.resource)), Effect: policy.Allow, Action: actions[s], Resource: []string{arn}}
		if s.leading != "" {
			st.Sid += "Limited"
			st.Condition = policy.Conditions{"ForAllValues:StringLike": {"dynamodb:LeadingKeys": {s.leading + "*"}},
				// ForAllValues is true of a request without keys; this refuses those.
				"Null": {"dynamodb:LeadingKeys": {"false"}}}
		}
		out = append(out, st)
	}
	return out, nil
}

// resolve puts the ARN in the place of the resource's first part, so that table/index/x is an index of the table.
func resolve(r rights.Resource, arns map[rights.Resource]string) (string, error) {
	if r == rights.Any {
		return "*", nil
	}
	base, rest, found := strings.Cut(string(r), "/")
	arn := arns[rights.Resource(base)]
	if arn == "" {
		return "", fmt.Errorf("render rights: no ARN for %q", base)
	}
	if found {
		rest = "/" + rest
	}
	return arn + rest, nil
}

// sid names a statement after its resource; IAM takes letters and digits.
func sid(resource string) string {
	if resource == string(rights.Any) {
		return "Any"
	}
	var b strings.Builder
	for _, part := range strings.FieldsFunc(resource, func(r rune) bool { return r == '/' || r == '-' || r == '*' }) {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

// document waits for the ARNs that the grant names and renders it.
func (f *Fleet) document(g Grant) (pulumi.StringOutput, error) {
	var names []rights.Resource
	var values []any
	for _, c := range g.Calls {
		base, _, _ := strings.Cut(string(c.Resource), "/")
		name := rights.Resource(base)
		if name == rights.Any || slices.Contains(names, name) {
			continue
		}
		arn, ok := f.args.Resources[name]
		if !ok {
			return pulumi.StringOutput{}, fmt.Errorf("fleet %s: %s needs %s, which the stack does not have", f.name, g.Name, name)
		}
		names, values = append(names, name), append(values, arn)
	}
	return pulumi.All(values...).ApplyT(func(resolved []any) (string, error) {
		arns := map[rights.Resource]string{}
		for i, name := range names {
			arns[name] = resolved[i].(string)
		}
		statements, err := Statements(g.Calls, arns)
		return policy.JSON(statements...), err
	}).(pulumi.StringOutput), nil
}
