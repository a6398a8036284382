package iam

// Bucket is the whole bucket, for listing it.
const Bucket Resource = "bucket"

// Operator lists what the verbs dlq, requeue, why and fsck do. It is attached to nothing: whoever types a verb
// uses rights of their own, and this is what they need.
var Operator = []Action{
	{"dynamodb", "GetItem", Table, "", "read an image; status: the release record"},
	{"dynamodb", "UpdateItem", Table, "", "dlq redrive, requeue: move a failed image back"},
	{"dynamodb", "Scan", Table, "", "requeue --failed, fsck: look at every image"},
	{"s3", "ListObjectsV2", Bucket, "", "find originals and results; fsck: list them all"},
	{"s3", "GetObject", Originals, "", "fsck --hashes"},
	{"s3", "GetObject", Results, "", "fsck --hashes"},
	{"s3", "DeleteObject", Originals, "", "fsck --repair: originals that no image names"},
	{"s3", "DeleteObject", Results, "", "fsck --repair: results that no image names"},
	{"sqs", "GetQueueAttributes", Queue, "", "find the dead letters; status: count messages"},
	{"sqs", "SendMessage", Queue, "", "dlq redrive, requeue, fsck --repair: send a hint again"},
	{"sqs", "GetQueueAttributes", DeadLetters, "", "how long a letter stays hidden while it is looked at; status: count them"},
	{"sqs", "ReceiveMessage", DeadLetters, "", "dlq: read letters"},
	{"sqs", "ChangeMessageVisibilityBatch", DeadLetters, "", "dlq: give letters back"},
	{"sqs", "DeleteMessageBatch", DeadLetters, "", "dlq redrive: delete letters that are done"},
}

// Resources that only operators look at.
const (
	ReleaseBucket Resource = "releases"
	Alarms        Resource = "alarms"
	AlarmTopic    Resource = "alarm-topic"
)

// Status lists what the verb status does beyond Operator.
var Status = []Action{
	{"dynamodb", "Query", Pending, "", "status: the oldest unfinished image"},
	{"autoscaling", "DescribeAutoScalingGroups", Any, "", "status: instances, and which release they run"},
	{"elasticloadbalancing", "DescribeTargetHealth", Any, "", "status: what the balancer thinks of the servers"},
	{"cloudwatch", "DescribeAlarms", Any, "", "status: which alarms ring"},
}

// OnCall lists what the verbs doctor and alarms do beyond Operator. Who asks for what has no name yet, or for a list,
// is granted it on everything.
var OnCall = []Action{
	{"dynamodb", "DescribeTable", Table, "", "doctor: keys and index"},
	{"dynamodb", "DescribeTimeToLive", Table, "", "doctor"},
	{"dynamodb", "DescribeContinuousBackups", Table, "", "doctor: point-in-time recovery"},
	{"s3", "GetPublicAccessBlock", Bucket, "", "doctor: nobody else reads photos"},
	{"s3", "GetBucketPolicyStatus", Bucket, "", "doctor: nobody else reads photos"},
	{"s3", "GetBucketLifecycleConfiguration", Bucket, "", "doctor: originals outlive dead letters"},
	{"s3", "GetPublicAccessBlock", ReleaseBucket, "", "doctor"},
	{"s3", "GetBucketPolicyStatus", ReleaseBucket, "", "doctor"},
	{"cloudwatch", "DescribeAlarms", Any, "", "doctor, alarms: find those of the stack"},
	{"cloudwatch", "DescribeAlarmHistory", Alarms, "", "alarms test: how the actions ended"},
	{"cloudwatch", "SetAlarmState", Alarms, "", "alarms test: ring, and put back"},
	{"sns", "ListSubscriptionsByTopic", AlarmTopic, "", "doctor, alarms: who hears them"},
	{"sns", "GetTopicAttributes", AlarmTopic, "", "doctor: no key keeps CloudWatch out"},
	{"tag", "GetResources", Any, "", "doctor: leftovers"},
	{"autoscaling", "DescribeAutoScalingInstances", Any, "", "doctor: which instances belong to a group"},
}
