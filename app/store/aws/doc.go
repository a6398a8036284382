// Package aws keeps images on AWS: items in a DynamoDB table, objects in an S3 bucket, hints in an SQS queue.
// It translates the ports of imagery to calls and back and decides nothing: no state, no policy, no business rule.
//
// Every call is bounded. An attempt is given up when nothing moved on its connection for a while; there are three
// attempts, with full jitter between them, as long as the call as a whole stays within its bound (timeout.go
// has the numbers). Throttling, 5xx and an unreachable service are met so, then returned as the transient errors
// that the ports speak of. A repeated write may find its own first attempt: that is an ErrExists or ErrConflict,
// after which callers read again. Retry settings of the SDK's variables are not used.
package aws
