package iam

// Bucket is the whole bucket, for listing it.
const Bucket Resource = "bucket"

// Operator lists the actions of the commands dlq, requeue, why and fsck. It is attached to no role: an operator needs
// these permissions to run the commands.
var Operator = []Action{
	{"dynamodb", "GetItem", Table, "", "read an image; status: the release record"},
	{"dynamodb", "UpdateItem", Table, "", "dlq redrive, requeue: move a failed image back"},
	{"dynamodb", "Scan", Table, "", "requeue --failed, fsck: read every image"},
	{"s3", "ListObjectsV2", Bucket, "", "find originals and results; fsck: list them all"},
	{"s3", "GetObject", Originals, "", "fsck --hashes"},
	{"s3", "GetObject", Results, "", "fsck --hashes"},
	{"s3", "DeleteObject", Originals, "", "fsck --repair: originals that no image refers to"},
	{"s3", "DeleteObject", Results, "", "fsck --repair: results that no image refers to"},
	{"sqs", "GetQueueAttributes", Queue, "", "find the dead-letter queue; status: count messages"},
	{"sqs", "SendMessage", Queue, "", "dlq redrive, requeue, fsck --repair: send a hint again"},
	{"sqs", "GetQueueAttributes", DeadLetters, "", "dlq: visibility timeout of dead letters; status: count them"},
	{"sqs", "ReceiveMessage", DeadLetters, "", "dlq: read dead letters"},
	{"sqs", "ChangeMessageVisibilityBatch", DeadLetters, "", "dlq: return dead letters"},
	{"sqs", "DeleteMessageBatch", DeadLetters, "", "dlq redrive: delete dead letters that were requeued"},
}

// Resources that only operators use.
const (
	ReleaseBucket Resource = "releases"
	Alarms        Resource = "alarms"
	AlarmTopic    Resource = "alarm-topic"
)

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
