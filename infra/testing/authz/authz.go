// Package authz decides whether IAM policies allow a request, by the part of IAM's evaluation logic that the policies
// of this project use. A policy with an element or a condition operator outside of that part is an error, so that no
// policy is evaluated differently from AWS.
//
// The rules are those of the IAM user guide: "Policy evaluation logic", "IAM JSON policy elements: Condition operators"
// and "Multivalued context keys". Not implemented: NotAction, NotResource, NotPrincipal, policy variables, session and
// organization policies, and access across accounts.
package authz

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"imagery/infra/policy"
)

// Request is one call as IAM sees it. A call that needs several permissions is several requests.
type Request struct {
	Action   string // for example s3:GetObject
	Resource string // ARN; "*" for an action that has no resource
	// Context holds the condition keys of the request. Keys are compared without regard to case.
	Context map[string][]string
}

// Policies are the policies that apply to a request. Only Identity grants permissions. An Allow of Resource is ignored,
// because the resource policies of a stack grant access only to AWS services.
type Policies struct {
	Identity []policy.Document
	// Boundary and Endpoint, if not nil, must allow the request as well: the permissions boundary of the role, and the
	// policy of the VPC endpoint through which the request is sent.
	Boundary, Endpoint []policy.Document
	Resource           []policy.Document
}

// values returns the values of a condition key.
func (r Request) values(key string) []string {
	for k, v := range r.Context {
		if strings.EqualFold(k, key) {
			return v
		}
	}
	return nil
}

// DeniedError is returned for a request that the policies do not allow.
type DeniedError struct {
	Request
	// Reason is the last part of AWS's message, for example "because no identity-based policy allows the s3:GetObject
	// action".
	Reason string
}

// Error returns the message of AWS without the principal.
func (e *DeniedError) Error() string {
	return fmt.Sprintf("not authorized to perform: %s on resource: %s %s", e.Action, e.Resource, e.Reason)
}

// Parse reads a policy. It returns an error if the policy has an element that this package cannot evaluate.
func Parse(text string) (policy.Document, error) {
	var d policy.Document
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return d, fmt.Errorf("parse a policy: %w", err)
	}
	for _, s := range d.Statement {
		if s.Effect != policy.Allow && s.Effect != policy.Deny {
			return d, fmt.Errorf("parse a policy: statement %q has the effect %q", s.Sid, s.Effect)
		}
		for op := range s.Condition {
			if _, err := operator(op); err != nil {
				return d, fmt.Errorf("parse a policy: statement %q: %w", s.Sid, err)
			}
		}
	}
	return d, nil
}

// Evaluate returns nil if the policies allow the request, and a *DeniedError otherwise. "An explicit deny in any of
// these policies overrides the allow."
func Evaluate(p Policies, r Request) error {
	layers := []struct {
		name     string
		policies []policy.Document
		allows   bool // the layer must allow the request
	}{
		{"identity-based policy", p.Identity, true},
		{"permissions boundary", p.Boundary, p.Boundary != nil},
		{"VPC endpoint policy", p.Endpoint, p.Endpoint != nil},
		{"resource-based policy", p.Resource, false},
	}
	for _, l := range layers {
		if matches(l.policies, policy.Deny, r) {
			return &DeniedError{r, "with an explicit deny in a " + l.name}
		}
	}
	for _, l := range layers {
		if l.allows && !matches(l.policies, policy.Allow, r) {
			return &DeniedError{r, "because no " + l.name + " allows the " + r.Action + " action"}
		}
	}
	return nil
}

// matches reports whether a statement of the given effect applies to the request.
func matches(policies []policy.Document, effect string, r Request) bool {
	return slices.ContainsFunc(policies, func(d policy.Document) bool {
		return slices.ContainsFunc(d.Statement, func(s policy.Statement) bool {
			return s.Effect == effect &&
				slices.ContainsFunc(s.Action, func(a string) bool { return like(strings.ToLower(a), strings.ToLower(r.Action)) }) &&
				slices.ContainsFunc(s.Resource, func(arn string) bool { return like(arn, r.Resource) }) &&
				meets(s.Condition, r)
		})
	})
}

// like reports whether s matches a pattern in which * stands for any characters and ? for one.
func like(pattern, s string) bool {
	for pattern != "" {
		switch {
		case pattern[0] == '*':
			for i := range len(s) + 1 {
				if like(pattern[1:], s[i:]) {
					return true
				}
			}
			return false
		case s == "" || pattern[0] != '?' && pattern[0] != s[0]:
			return false
		}
		pattern, s = pattern[1:], s[1:]
	}
	return s == ""
}
