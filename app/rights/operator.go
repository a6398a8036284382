package rights

// Bucket is the whole bucket, for listing it.
const Bucket Resource = "bucket"

// Operator lists what the verbs dlq, requeue, why and fsck do. It is attached to nothing: whoever types a verb
// uses rights of their own, and this is what they need.
var Operator = []Call{
	{"dynamodb", "GetItem", Table, "", "read an image"},
	{"dynamodb", "UpdateItem", Table, "", "dlq redrive, requeue: move a failed image back"},
	{"dynamodb", "Scan", Table, "", "requeue --failed, fsck: look at every image"},
	{"s3", "ListObjectsV2", Bucket, "", "find originals and results; fsck: list them all"},
	{"s3", "GetObject", Originals, "", "fsck --hashes"},
	{"s3", "GetObject", Results, "", "fsck --hashes"},
	{"s3", "DeleteObject", Originals, "", "fsck --repair: originals that no image names"},
	{"s3", "DeleteObject", Results, "", "fsck --repair: results that no image names"},
	{"sqs", "GetQueueAttributes", Queue, "", "find the dead letters"},
	{"sqs", "SendMessage", Queue, "", "dlq redrive, requeue, fsck --repair: send a hint again"},
	{"sqs", "GetQueueAttributes", DeadLetters, "", "how long a letter stays hidden while it is looked at"},
	{"sqs", "ReceiveMessage", DeadLetters, "", "dlq: read letters"},
	{"sqs", "ChangeMessageVisibilityBatch", DeadLetters, "", "dlq: give letters back"},
	{"sqs", "DeleteMessageBatch", DeadLetters, "", "dlq redrive: delete letters that are done"},
}
