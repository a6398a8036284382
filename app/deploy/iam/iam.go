// Package iam lists the AWS operations that each role of the binary uses. The IAM policies are generated from it, and a
// test compares it with the calls that the roles make, so that each role has exactly the permissions that it uses.
// It imports the standard library only.
package iam

import "cmp"

// Resource is the resource of an action in symbolic form; infra translates it into an ARN of the stack.
type Resource string

// The resources of a stack.
const (
	Table         Resource = "table"
	Pending       Resource = "table/index/pending-index"
	Bucket        Resource = "bucket" // as a whole, for listing it
	Originals     Resource = "bucket/upload/*"
	Results       Resource = "bucket/processed/*"
	SelfObjects   Resource = "bucket/selftest/*"
	Queue         Resource = "queue"
	DeadLetters   Resource = "dead-letters"
	ReleaseBucket Resource = "releases"
	Releases      Resource = "releases/releases/*" // bucket/prefix
	Group         Resource = "group"
	Logs          Resource = "logs"
	Alarms        Resource = "alarms"
	AlarmTopic    Resource = "alarm-topic"
	Any           Resource = "*" // actions that AWS grants on nothing smaller
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

// Boot lists the actions of an instance outside of the binary: its boot script and its log agent, in either role.
var Boot = []Action{
	// The whole prefix: an instance of an older launch template version fetches an older release.
	{"s3", "GetObject", Releases, "", "fetch the release"},
	{"autoscaling", "CompleteLifecycleAction", Group, "", "enter service, abandon the launch, or terminate"},
	{"logs", "CreateLogStream", Logs, "", "log agent"},
	{"logs", "PutLogEvents", Logs, "", "log agent; metrics are part of the log lines"},
	{"logs", "DescribeLogStreams", Logs, "", "log agent"},
}

// Sessions lists the actions of the Session Manager agent. AWS's managed policy would also allow reading parameters.
var Sessions = []Action{
	{"ssm", "UpdateInstanceInformation", Any, "", "register the instance"},
	{"ssmmessages", "CreateControlChannel", Any, "", "wait for sessions"},
	{"ssmmessages", "OpenControlChannel", Any, "", "wait for sessions"},
	{"ssmmessages", "CreateDataChannel", Any, "", "a session"},
	{"ssmmessages", "OpenDataChannel", Any, "", "a session"},
}

// Retired lists the actions that the previous release uses and this one does not. Both releases run side by side during
// a rollout, after the policy has changed, so a permission is removed one release after its last use. When you remove
// an action from a list above, move it here; when you cut the next release, empty this list.
var Retired = struct{ Server, Worker, Boot []Action }{}

// Operator lists the actions of the commands dlq, requeue, why and fsck. It is attached to no role: an operator needs
// these permissions to run the commands.
var Operator = []Action{
	{"dynamodb", "GetItem", Table, "", "read an image; status: the release record"},
	{"dynamodb", "UpdateItem", Table, "", "dlq redrive, requeue: move a failed image back; fsck --adopt"},
	{"dynamodb", "Scan", Table, "", "requeue --failed, fsck: read every image"},
	{"s3", "ListObjectsV2", Bucket, "", "find originals and results; fsck: list them all"},
	{"s3", "GetObject", Originals, "", "fsck --hashes"},
	{"s3", "GetObject", Results, "", "fsck --hashes"},
	{"s3", "DeleteObject", Originals, "", "fsck --repair: originals that no image refers to"},
	{"s3", "DeleteObject", Results, "", "fsck --repair: results that no image refers to"},
	{"sqs", "GetQueueAttributes", Queue, "", "find the dead-letter queue; status: count messages"},
	{"sqs", "SendMessage", Queue, "", "dlq redrive, requeue, fsck --repair and --adopt: send a hint again"},
	{"sqs", "GetQueueAttributes", DeadLetters, "", "dlq: visibility timeout of dead letters; status: count them"},
	{"sqs", "ReceiveMessage", DeadLetters, "", "dlq: read dead letters"},
	{"sqs", "ChangeMessageVisibilityBatch", DeadLetters, "", "dlq: return dead letters"},
	{"sqs", "DeleteMessageBatch", DeadLetters, "", "dlq redrive: delete dead letters that were requeued"},
}

// Status lists the actions of the command status beyond Operator.
var Status = []Action{
	{"dynamodb", "Query", Pending, "", "status: the oldest unfinished image"},
	{"autoscaling", "DescribeAutoScalingGroups", Any, "", "status: instances, and which release they run"},
	{"elasticloadbalancing", "DescribeTargetHealth", Any, "",
		"status: health of the servers as the load balancer sees it"},
	{"cloudwatch", "DescribeAlarms", Any, "", "status: which alarms are in alarm state"},
}

// OnCall lists the actions of the commands doctor and alarms beyond Operator. Actions that list resources are allowed
// on all resources.
var OnCall = []Action{
	{"dynamodb", "DescribeTable", Table, "", "doctor: keys and index"},
	{"dynamodb", "DescribeTimeToLive", Table, "", "doctor"},
	{"dynamodb", "DescribeContinuousBackups", Table, "", "doctor: point-in-time recovery"},
	{"s3", "GetPublicAccessBlock", Bucket, "", "doctor: photos are not public"},
	{"s3", "GetBucketPolicyStatus", Bucket, "", "doctor: photos are not public"},
	{"s3", "GetBucketLifecycleConfiguration", Bucket, "", "doctor: originals outlive dead letters"},
	{"s3", "GetPublicAccessBlock", ReleaseBucket, "", "doctor"},
	{"s3", "GetBucketPolicyStatus", ReleaseBucket, "", "doctor"},
	{"cloudwatch", "DescribeAlarms", Any, "", "doctor, alarms: find those of the stack"},
	{"cloudwatch", "DescribeAlarmHistory", Alarms, "", "alarms test: results of the alarm actions"},
	{"cloudwatch", "SetAlarmState", Alarms, "", "alarms test: set the alarm state, and reset it"},
	{"sns", "ListSubscriptionsByTopic", AlarmTopic, "", "doctor, alarms: recipients of notifications"},
	{"sns", "GetTopicAttributes", AlarmTopic, "", "doctor: CloudWatch may use the topic's key"},
	{"tag", "GetResources", Any, "", "doctor: resources left over from a removed stack"},
	{"autoscaling", "DescribeAutoScalingInstances", Any, "", "doctor: which instances belong to a group"},
}
