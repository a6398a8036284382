// Package iam lists the AWS operations that each role of the binary uses. The IAM policies are generated from it, and a
// test compares it with the calls that the roles make, so that each role has exactly the permissions that it uses.
// It imports the standard library only.
package iam

import "cmp"

// Resource is the resource of an action in symbolic form; infra translates it into an ARN of the stack.
type Resource string

// The resources of a stack.
const (
	Table       Resource = "table"
	Pending     Resource = "table/index/pending-index"
	Originals   Resource = "bucket/upload/*"
	Results     Resource = "bucket/processed/*"
	SelfObjects Resource = "bucket/selftest/*"
	Queue       Resource = "queue"
	DeadLetters Resource = "dead-letters"
)

// SelftestIDPrefix is the id prefix of every image that a selftest creates. The permission to delete items is limited
// to this prefix (condition dynamodb:LeadingKeys).
const SelftestIDPrefix = "5e1f7e57-"

// Action is one SDK operation that a role may perform on a resource.
type Action struct {
	Service   string // endpoint prefix, as in an IAM action: dynamodb, s3, sqs
	Operation string // SDK operation, for example DeleteMessageBatch
	Resource  Resource
	// LeadingKey limits a table action to ids with this prefix; empty for no limit.
	LeadingKey string
	// Reason is the purpose of the action, for readers of a policy.
	Reason string
}

// actions maps SDK operations to their IAM actions where the names differ.
var actions = map[string]string{
	"s3:HeadObject":                      "s3:GetObject",
	"s3:ListObjectsV2":                   "s3:ListBucket",
	"s3:GetPublicAccessBlock":            "s3:GetBucketPublicAccessBlock",
	"s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
	"sqs:SendMessageBatch":               "sqs:SendMessage",
	"sqs:DeleteMessageBatch":             "sqs:DeleteMessage",
	"sqs:ChangeMessageVisibilityBatch":   "sqs:ChangeMessageVisibility",
}

// Name returns the IAM name of the action, for example s3:GetObject.
func (a Action) Name() string {
	name := a.Service + ":" + a.Operation
	return cmp.Or(actions[name], name)
}

// Server lists the actions of the server role.
var Server = []Action{
	{"dynamodb", "GetItem", Table, "", "read an image; readiness"},
	{"dynamodb", "PutItem", Table, "", "create an image"},
	{"dynamodb", "UpdateItem", Table, "", "accept an upload"},
	{"s3", "PutObject", Originals, "", "store an upload"},
	{"s3", "GetObject", Results, "", "presigned links to results are checked against their signer"},
	{"s3", "HeadObject", Results, "", "readiness"},
	{"sqs", "SendMessage", Queue, "", "hint after an upload"},
	{"sqs", "GetQueueAttributes", Queue, "", "readiness"},
}

// Worker lists the actions of the worker role.
var Worker = []Action{
	{"dynamodb", "GetItem", Table, "", "read an image; readiness"},
	{"dynamodb", "UpdateItem", Table, "", "record a result, a failure, a hint sent again"},
	{"dynamodb", "Query", Pending, "", "find overdue images"},
	{"s3", "GetObject", Originals, "", "read an original"},
	{"s3", "HeadObject", Originals, "", "readiness"},
	{"s3", "PutObject", Results, "", "store a result"},
	{"sqs", "ReceiveMessage", Queue, "", "receive hints"},
	{"sqs", "ChangeMessageVisibilityBatch", Queue, "", "heartbeat, release"},
	{"sqs", "DeleteMessageBatch", Queue, "", "acknowledge"},
	{"sqs", "SendMessage", Queue, "", "send the hint of an overdue image again"},
	{"sqs", "GetQueueAttributes", Queue, "", "visibility, receives, dead-letter queue; readiness"},
	{"sqs", "ReceiveMessage", DeadLetters, "", "record dead letters on their images"},
	{"sqs", "ChangeMessageVisibilityBatch", DeadLetters, "", "release dead letters"},
}

// Selftest lists what `imagery selftest` does beyond its role, in either role.
var Selftest = []Action{
	{"s3", "PutObject", SelfObjects, "", "store built-in pictures"},
	{"s3", "GetObject", SelfObjects, "", "compare"},
	{"s3", "DeleteObject", SelfObjects, "", "clean up"},
	{"dynamodb", "PutItem", Table, SelftestIDPrefix, "its own image"},
	{"dynamodb", "UpdateItem", Table, SelftestIDPrefix, "its own image"},
	{"dynamodb", "GetItem", Table, SelftestIDPrefix, "its own image"},
	{"dynamodb", "DeleteItem", Table, SelftestIDPrefix, "clean up"},
	{"sqs", "SendMessage", Queue, "", "a hint for its own image"},
}
