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

// queue implements imagery.Queue on a standard SQS queue.
type queue struct {
	api         *sqs.Client
	transport   http.RoundTripper                     // of api, for long polls with their longer idle timeout
	url         func(context.Context) (string, error) // returns "" if there is no such queue
	visibility  time.Duration                         // 0: the queue's own, as for maxReceives
	maxReceives int

	mu      sync.Mutex
	deadURL *string // cached URL of the dead-letter queue, "" for none; nil: not known yet
}

// batchSize is the largest batch that SQS accepts.
const batchSize = 10

// traceAttribute is the message attribute that contains the trace context.
const traceAttribute = "traceparent"

// xrayTrace matches the values that SQS accepts for its own trace attribute; it rejects messages with other values.
var xrayTrace = regexp.MustCompile(`^Root=1-[0-9a-f]{8}-[0-9a-f]{24}(;[A-Za-z0-9=;:._-]*)?$`)

// Send implements imagery.Queue. A retry after a lost response queues the message twice, which the port allows.
func (q *queue) Send(ctx context.Context, body []byte, trace string) error {
	url, err := q.url(ctx)
	if err != nil {
		return err
	}
	if url == "" {
		return errNoDeadLetterQueue
	}
	in := &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String(string(body))}
	if trace != "" {
		in.MessageAttributes = map[string]types.MessageAttributeValue{
			traceAttribute: {DataType: aws.String("String"), StringValue: &trace}}
	}
	if xrayTrace.MatchString(trace) {
		in.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
			string(types.MessageSystemAttributeNameForSendsAWSTraceHeader): {
				DataType: aws.String("String"), StringValue: &trace}}
	}
	_, err = call(ctx, callBound, q.api.SendMessage, in)
	return err
}

var errNoDeadLetterQueue = errors.New("the queue has no dead-letter queue")

// pollDrain is the time that a poll gets to complete after ctx has ended. It is long enough for a machine whose cores
// are busy, and short for the stop of an idle worker.
const pollDrain = time.Second

// Receive implements imagery.Queue with one long poll and no retries, because its caller polls in a loop.
//
// Aborting a poll whose response is in transit would cost its messages a delivery and a visibility timeout. A queue
// with messages responds at once, so when ctx ends the poll may run for another pollDrain, and the caller releases the
// messages that it returns. A poll without a response by then is waiting on an empty queue; closing its connection
// ends it in SQS, too.
func (q *queue) Receive(ctx context.Context, max int, wait time.Duration) ([]imagery.Message, error) {
	if ctx.Err() != nil {
		return nil, nil
	}
	ms, err := q.poll(ctx, max, wait)
	if ctx.Err() != nil {
		err = nil
	}
	return ms, err
}

func (q *queue) poll(ctx context.Context, max int, wait time.Duration) ([]imagery.Message, error) {
	url, err := q.url(ctx)
	if err != nil || url == "" {
		return nil, err
	}
	poll, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(pollDrain, cancel) })()

	in := &sqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: int32(max),
		WaitTimeSeconds: pollSeconds(wait), VisibilityTimeout: wholeSeconds(q.visibility),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{
			types.MessageSystemAttributeNameApproximateReceiveCount, types.MessageSystemAttributeNameSentTimestamp},
		MessageAttributeNames: []string{traceAttribute},
	}
	bound := time.Duration(in.WaitTimeSeconds)*time.Second + pollGrace
	out, err := call(poll, bound, q.api.ReceiveMessage, in, func(o *sqs.Options) {
		o.HTTPClient, o.Retryer = idleTimeoutClient(q.transport, bound), aws.NopRetryer{}
	})
	if err != nil {
		return nil, err
	}
	ms := make([]imagery.Message, len(out.Messages))
	for i, m := range out.Messages {
		ms[i] = message(m)
	}
	return ms, nil
}

// pollSeconds returns the wait time of a poll, 1 to 20 seconds. With 0, SQS would query only some of its servers and
// miss messages of a short queue.
func pollSeconds(wait time.Duration) int32 { return min(max(wholeSeconds(wait), 1), 20) }

// wholeSeconds rounds up to seconds, the unit of SQS, because 0 has a special meaning.
func wholeSeconds(d time.Duration) int32 { return int32((d + time.Second - 1) / time.Second) }

// message converts a delivery. If its timestamp cannot be parsed, Sent stays zero, which means unknown.
func message(m types.Message) imagery.Message {
	receives, _ := strconv.Atoi(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
	got := imagery.Message{
		ID: aws.ToString(m.MessageId), Receipt: aws.ToString(m.ReceiptHandle), Body: []byte(aws.ToString(m.Body)),
		Receives: max(receives, 1), // the count is approximate, but this delivery did happen
		Trace:    aws.ToString(m.MessageAttributes[traceAttribute].StringValue),
	}
	sent := m.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)]
	if ms, err := strconv.ParseInt(sent, 10, 64); err == nil {
		got.Sent = time.UnixMilli(ms)
	}
	return got
}

// Extend implements imagery.Queue.
func (q *queue) Extend(ctx context.Context, d time.Duration, ms ...imagery.Message) (
	lost []imagery.Message, err error) {
	return q.inBatches(ctx, ms, func(url *string, batch []imagery.Message) ([]types.BatchResultErrorEntry, error) {
		in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: url}
		for i, m := range batch {
			in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), ReceiptHandle: aws.String(m.Receipt), VisibilityTimeout: wholeSeconds(d)})
		}
		out, err := call(ctx, callBound, q.api.ChangeMessageVisibilityBatch, in)
		if err != nil {
			return nil, err
		}
		return out.Failed, nil
	})
}

// Delete implements imagery.Queue. A message that could not be deleted is delivered again, which only costs one read of
// its image.
func (q *queue) Delete(ctx context.Context, ms ...imagery.Message) error {
	_, err := q.inBatches(ctx, ms, func(url *string, batch []imagery.Message) ([]types.BatchResultErrorEntry, error) {
		in := &sqs.DeleteMessageBatchInput{QueueUrl: url}
		for i, m := range batch {
			in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), ReceiptHandle: aws.String(m.Receipt)})
		}
		out, err := call(ctx, callBound, q.api.DeleteMessageBatch, in)
		if err != nil {
			return nil, err
		}
		return out.Failed, nil
	})
	return err
}

// invalidReceipt lists the error codes of an entry whose receipt is no longer valid. Which one SQS returns depends on
// what it still knows about the message.
var invalidReceipt = []string{"ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue"}

// inBatches calls act with batches of the messages, in which the id of an entry is its index. A failed batch does not
// stop the others. inBatches returns as lost the messages whose receipt is no longer valid.
func (q *queue) inBatches(ctx context.Context, ms []imagery.Message,
	act func(url *string, batch []imagery.Message) (failed []types.BatchResultErrorEntry, err error)) (
	lost []imagery.Message, err error) {
	url, err := q.url(ctx)
	if err != nil {
		return nil, err
	}
	var errs []error
	for batch := range slices.Chunk(ms, batchSize) {
		failed, err := act(&url, batch)
		errs = append(errs, err)
		for _, f := range failed {
			id, code := aws.ToString(f.Id), strings.TrimPrefix(aws.ToString(f.Code), "AWS.SimpleQueueService.")
			i, err := strconv.Atoi(id)
			if err == nil && i >= 0 && i < len(batch) && slices.Contains(invalidReceipt, code) {
				lost = append(lost, batch[i])
				continue
			}
			errs = append(errs, fmt.Errorf("entry %s of the batch: %s: %s", id, code, aws.ToString(f.Message)))
		}
	}
	return lost, errors.Join(errs...)
}
