package fakeaws

import (
	"fmt"
	"slices"
	"strings"

	"imagery/app/deploy/iam"
)

// Action returns the IAM action of a call on the stack. The Resource of a call outside of the stack is in no list.
func (s Stack) Action(c Call) iam.Action {
	r := iam.Action{Service: c.Service, Operation: c.Operation}
	prefix, _, _ := strings.Cut(c.Object, "/")
	switch {
	case c.Service == "dynamodb" && c.Table == s.Table && c.Index == "":
		r.Resource = iam.Table
	case c.Service == "dynamodb" && c.Table == s.Table:
		r.Resource = iam.Resource("table/index/" + c.Index)
	case c.Service == "s3" && c.Bucket == s.Bucket && c.Object == "":
		r.Resource = iam.Bucket
	case c.Service == "s3" && c.Bucket == s.Bucket:
		r.Resource = iam.Resource("bucket/" + prefix + "/*")
	case c.Service == "sqs" && c.QueueURL == s.QueueURL:
		r.Resource = iam.Queue
	case c.Service == "sqs" && c.QueueURL == s.DLQURL:
		r.Resource = iam.DeadLetters
	default:
		r.Resource = iam.Resource(fmt.Sprintf("unknown %+v", c))
	}
	return r
}

// Compare compares the calls of one role with its IAM actions. It returns every difference: calls that no action
// allows, and actions that no call needs.
func (s Stack) Compare(allowed []iam.Action, seen []Call) []string {
	var problems []string
	used := make([]bool, len(allowed))
	for _, c := range seen {
		want, found := s.Action(c), false
		for i, row := range allowed {
			if row.Service == want.Service && row.Operation == want.Operation && row.Resource == want.Resource &&
				strings.HasPrefix(c.ID, row.LeadingKey) {
				found, used[i] = true, true
			}
		}
		if !found {
			problems = append(problems, fmt.Sprintf("not allowed: %s:%s on %s %s%s", c.Service, c.Operation, want.Resource, c.ID,
				c.Object))
		}
	}
	for i, row := range allowed {
		if !used[i] {
			problems = append(problems, fmt.Sprintf("allowed and not called: %s:%s on %s %s", row.Service, row.Operation,
				row.Resource, row.LeadingKey))
		}
	}
	slices.Sort(problems)
	return slices.Compact(problems)
}
