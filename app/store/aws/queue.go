package aws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"imagery/app/imagery"
)

// queue is imagery.Queue on a standard queue.
type queue struct {
	api         *sqs.Client
	transport   http.RoundTripper                     // of api, for calls that may be silent for longer
	url         func(context.Context) (string, error) // "" when there is no such queue
	visibility  time.Duration
	maxReceives int

	mu   sync.Mutex
	dead *string // URL of the dead letters once it is known, "" for none
}

// batchSize is the largest that SQS takes. Single messages go as batches of one, for which the role's rights are.
const batchSize = 10

// traceAttribute carries the trace of a message.
const traceAttribute = "traceparent"

// xrayTrace is the form that SQS demands of its own trace attribute; with another value it refuses the message.
var xrayTrace = regexp.MustCompile(`^Root=1-[0-9a-f]{8}-[0-9a-f]{24}(;[A-Za-z0-9=;:._-]*)?$`)

// Send queues a message. A repetition after a lost answer queues it twice, as the port allows.
func (q *queue) Send(ctx context.Context, body []byte, trace string) error {
	url, err := q.url(ctx)
	if err != nil {
		return err
	}
	if url == "" {
		return errNoQueue
	}
	in := &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String(string(body))}
	if trace != "" {
		in.MessageAttributes = map[string]types.MessageAttributeValue{
			traceAttribute: {DataType: aws.String("String"), StringValue: &trace}}
	}
	if xrayTrace.MatchString(trace) {
		in.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
			string(types.MessageSystemAttributeNameForSendsAWSTraceHeader): {DataType: aws.String("String"), StringValue: &trace}}
	}
	_, err = call(ctx, callBound, q.api.SendMessage, in)
	return err
}

var errNoQueue = errors.New("the queue has no dead letters")

// lastMoment is the time in which a poll may still complete after ctx has ended.
const lastMoment = 300 * time.Millisecond

// Receive polls once: the caller's loop is what repeats it.
//
// A poll that is cut while its answer is on the way costs its messages a delivery and a visibility timeout. A
// busy queue answers at once, so when ctx ends the poll gets a last moment, and what it brings is returned, for
// the caller to hand back. A poll that is still silent then is waiting for a message that is not there; SQS
// forgets it with its connection.
func (q *queue) Receive(ctx context.Context, max int, wait time.Duration) ([]imagery.Message, error) {
	if ctx.Err() != nil {
		return nil, nil
	}
	url, err := q.url(ctx)
	if err != nil || url == "" {
		if ctx.Err() != nil {
			err = nil
		}
		return nil, err
	}
	poll, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastMoment, cancel) })()

	in := &sqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: int32(max), WaitTimeSeconds: pollSeconds(wait), VisibilityTimeout: wholeSeconds(q.visibility),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{
			types.MessageSystemAttributeNameApproximateReceiveCount, types.MessageSystemAttributeNameSentTimestamp},
		MessageAttributeNames: []string{traceAttribute},
	}
	bound := time.Duration(in.WaitTimeSeconds)*time.Second + pollGrace
	out, err := call(poll, bound, q.api.ReceiveMessage, in, func(o *sqs.Options) {
		o.HTTPClient, o.Retryer = idleTimeoutClient(q.transport, bound), aws.NopRetryer{}
	})
	if err != nil {
		if ctx.Err() != nil {
			err = nil
		}
		return nil, err
	}
	ms := make([]imagery.Message, len(out.Messages))
	for i, m := range out.Messages {
		ms[i] = message(m)
	}
	return ms, nil
}

// pollSeconds is at least 1: with 0 SQS asks only some of its hosts and misses messages of a small queue.
func pollSeconds(wait time.Duration) int32 { return min(max(wholeSeconds(wait), 1), 20) }

// wholeSeconds rounds up, since SQS counts in seconds and 0 has a meaning of its own.
func wholeSeconds(d time.Duration) int32 { return int32((d + time.Second - 1) / time.Second) }

// message is a delivery as the port has it. Without a readable time Sent stays zero, which means "unknown".
func message(m types.Message) imagery.Message {
	receives, _ := strconv.Atoi(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
	got := imagery.Message{
		ID: aws.ToString(m.MessageId), Receipt: aws.ToString(m.ReceiptHandle), Body: []byte(aws.ToString(m.Body)),
		Receives: max(receives, 1), // the count is approximate, but this delivery did happen
		Trace:    aws.ToString(m.MessageAttributes[traceAttribute].StringValue),
	}
	if ms, err := strconv.ParseInt(m.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)], 10, 64); err == nil {
		got.Sent = time.UnixMilli(ms)
	}
	return got
}

// Extend changes the visibility in batches. Batches after a failed one are still tried: they are independent.
func (q *queue) Extend(ctx context.Context, d time.Duration, ms ...imagery.Message) (lost []imagery.Message, err error) {
	url, err := q.url(ctx)
	if err != nil {
		return nil, err
	}
	var errs []error
	for batch := range slices.Chunk(ms, batchSize) {
		in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &url}
		for i, m := range batch {
			in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), ReceiptHandle: aws.String(m.Receipt), VisibilityTimeout: wholeSeconds(d)})
		}
		out, err := call(ctx, callBound, q.api.ChangeMessageVisibilityBatch, in)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		gone, err := refused(batch, out.Failed)
		lost, errs = append(lost, gone...), append(errs, err)
	}
	return lost, errors.Join(errs...)
}

// Delete deletes in batches, like Extend. A message that could not be deleted comes again, which costs a look at
// its image and nothing more.
func (q *queue) Delete(ctx context.Context, ms ...imagery.Message) error {
	url, err := q.url(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for batch := range slices.Chunk(ms, batchSize) {
		in := &sqs.DeleteMessageBatchInput{QueueUrl: &url}
		for i, m := range batch {
			in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), ReceiptHandle: aws.String(m.Receipt)})
		}
		out, err := call(ctx, callBound, q.api.DeleteMessageBatch, in)
		if err == nil {
			_, err = refused(batch, out.Failed)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// invalidReceipt are the codes of an entry whose receipt is no longer valid. SQS chooses among them by what it
// still knows of the message.
var invalidReceipt = []string{"ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue"}

// refused sorts the failed entries of a batch, which are named by their place in it: messages whose receipt is
// no longer valid, and errors.
func refused(batch []imagery.Message, failed []types.BatchResultErrorEntry) (lost []imagery.Message, err error) {
	var errs []error
	for _, f := range failed {
		code := strings.TrimPrefix(aws.ToString(f.Code), "AWS.SimpleQueueService.")
		i, err := strconv.Atoi(aws.ToString(f.Id))
		if err == nil && i >= 0 && i < len(batch) && slices.Contains(invalidReceipt, code) {
			lost = append(lost, batch[i])
			continue
		}
		errs = append(errs, fmt.Errorf("entry %s of the batch: %s: %s", aws.ToString(f.Id), code, aws.ToString(f.Message)))
	}
	return lost, errors.Join(errs...)
}
