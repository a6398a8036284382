// Package policy renders IAM policy documents.
package policy

import (
	"encoding/json"
	"slices"

	"imagery/infra/must"
)

// Document is a policy.
type Document struct {
	Version   string
	Statement []Statement
}

// Statement grants or denies actions on resources.
type Statement struct {
	Sid       string `json:",omitempty"`
	Effect    string
	Principal any        `json:",omitempty"` // "*" or Principals; absent in the policy of a role
	Action    []string   `json:",omitempty"`
	Resource  []string   `json:",omitempty"`
	Condition Conditions `json:",omitempty"`
}

// Principals maps a kind of principal, Service or AWS, to names.
type Principals map[string][]string

// Conditions maps operators to keys to values.
type Conditions map[string]map[string][]string

// Effects.
const (
	Allow = "Allow"
	Deny  = "Deny"
)

// JSON renders statements as a policy document. The order of actions within a statement does not change the result.
func JSON(statements ...Statement) string {
	for i := range statements {
		s := &statements[i]
		s.Action, s.Resource = slices.Clone(s.Action), slices.Clone(s.Resource)
		slices.Sort(s.Action)
		s.Action = slices.Compact(s.Action)
	}
	return string(must.Get(json.Marshal(Document{"2012-10-17", statements})))
}
