package aws_test

import (
	"strings"
	"testing"

	"imagery/app/deploy/iam"
	"imagery/app/testing/fakeaws"
)

// The comparison finds an unlisted call, an unused permission and a key outside of its prefix.
func TestCompareFindsDifferences(t *testing.T) {
	stack := fakeaws.Stack{Table: "t", Bucket: "b", QueueURL: "http://sqs/0/q", DLQURL: "http://sqs/0/q-dlq"}
	allowed := []iam.Action{
		{Service: "dynamodb", Operation: "GetItem", Resource: iam.Table},
		{Service: "dynamodb", Operation: "DeleteItem", Resource: iam.Table, LeadingKey: "5e1f"},
		{Service: "dynamodb", Operation: "Query", Resource: iam.Pending},
		{Service: "s3", Operation: "GetObject", Resource: iam.Results},
		{Service: "sqs", Operation: "ReceiveMessage", Resource: iam.DeadLetters},
	}
	right := []fakeaws.Call{
		{Service: "dynamodb", Operation: "GetItem", Table: "t", ID: "x"},
		{Service: "dynamodb", Operation: "DeleteItem", Table: "t", ID: "5e1f0000"},
		{Service: "dynamodb", Operation: "Query", Table: "t", Index: "pending-index"},
		{Service: "s3", Operation: "GetObject", Bucket: "b", Object: "processed/x"},
		{Service: "sqs", Operation: "ReceiveMessage", QueueURL: stack.DLQURL},
	}
	if problems := stack.Compare(allowed, right); len(problems) > 0 {
		t.Errorf("found %q, want no problems", problems)
	}
	for want, calls := range map[string][]fakeaws.Call{
		"allowed and not called: sqs:ReceiveMessage": right[:4],
		"not allowed: dynamodb:DeleteItem": append(right[:5:5],
			fakeaws.Call{Service: "dynamodb", Operation: "DeleteItem", Table: "t", ID: "other"}),
		"not allowed: dynamodb:GetItem on unknown": append(right[:5:5],
			fakeaws.Call{Service: "dynamodb", Operation: "GetItem", Table: "other", ID: "x"}),
		"not allowed: s3:GetObject on bucket/upload": append(right[:5:5],
			fakeaws.Call{Service: "s3", Operation: "GetObject", Bucket: "b", Object: "upload/x"}),
		"not allowed: sqs:ReceiveMessage on queue": append(right[:5:5],
			fakeaws.Call{Service: "sqs", Operation: "ReceiveMessage", QueueURL: stack.QueueURL}),
	} {
		problems := stack.Compare(allowed, calls)
		if len(problems) != 1 || !strings.HasPrefix(problems[0], want) {
			t.Errorf("found %q, want %q", problems, want)
		}
	}
}
