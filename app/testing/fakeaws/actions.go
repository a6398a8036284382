package fakeaws

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"

	"imagery/app/deploy/iam"
)

// Recorder is an SDK middleware that records the calls of the clients in this process. Unlike the proxy it sees
// presigning, as the call that the link will make; the proxy sees a link when it is followed. All attempts of one call
// are one record.
type Recorder struct {
	mu    sync.Mutex
	calls []Call
}

// Attach makes the clients that are built from the configuration record their calls under the caller's name.
func (r *Recorder) Attach(cfg *aws.Config, caller string) {
	cfg.APIOptions = append(cfg.APIOptions, func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("Record", func(ctx context.Context,
			in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata,
			error) {
			input, err := json.Marshal(in.Parameters)
			if err != nil {
				return middleware.InitializeOutput{}, middleware.Metadata{}, fmt.Errorf("record the input of a call: %w", err)
			}
			call := Call{Caller: caller, Service: strings.ToLower(awsmiddleware.GetServiceID(ctx)),
				Operation: awsmiddleware.GetOperationName(ctx)}
			r.mu.Lock()
			r.calls = append(r.calls, call.withInput(input))
			r.mu.Unlock()
			return next.HandleInitialize(ctx, in)
		}), middleware.After)
	})
}

// Calls returns the records so far.
func (r *Recorder) Calls() []Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

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
// allows, actions that no call needs, and reads of items that are not consistent.
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
		if c.Operation == "GetItem" && !c.Consistent {
			problems = append(problems, fmt.Sprintf("not consistent: GetItem of %s", c.ID))
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
