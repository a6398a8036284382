// Package aws implements the storage ports on AWS: items in a DynamoDB table, objects in an S3 bucket, hints in an SQS
// queue. It translates the ports to AWS calls and contains no business rules.
//
// Every call has a time limit. An attempt fails when its connection makes no progress for idleTimeout. A call makes up
// to three attempts with full jitter in between, within its bound (timeout.go). Throttling, 5xx responses and network
// errors are retried in this way and then returned as the transient errors of the ports. A retried write may find the
// effect of its own first attempt and return ErrExists or ErrConflict, so callers read the item again after these. The
// retry settings in the environment variables of the SDK are ignored.
package aws
