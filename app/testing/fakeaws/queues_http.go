package fakeaws

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// queueRequest has the members of the requests of all operations. An optional number whose default is not 0 is a
// pointer.
type queueRequest struct {
	QueueName, QueueUrl                         string
	Attributes                                  map[string]string
	AttributeNames, MessageSystemAttributeNames []string
	MessageAttributeNames                       []string
	MessageBody                                 string
	MessageAttributes, MessageSystemAttributes  map[string]attribute
	DelaySeconds                                int
	MaxNumberOfMessages                         int
	WaitTimeSeconds                             int
	VisibilityTimeout                           *int
	Entries                                     []struct {
		Id, ReceiptHandle string
		VisibilityTimeout int
	}
}

// queueOperations are the supported operations by name. They are called with the lock held.
var queueOperations = map[string]func(q *Queues, ctx context.Context, in queueRequest) (any, error){
	"CreateQueue":                  (*Queues).doCreate,
	"GetQueueAttributes":           (*Queues).doDescribe,
	"SendMessage":                  (*Queues).doSend,
	"ReceiveMessage":               (*Queues).doReceive,
	"DeleteMessageBatch":           (*Queues).doDelete,
	"ChangeMessageVisibilityBatch": (*Queues).doExtend,
}

// ServeHTTP implements the JSON protocol of AWS. Error codes need the prefix, which SDKs remove.
func (q *Queues) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in queueRequest
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		failJSON(w, http.StatusBadRequest, "SerializationException", err.Error())
		return
	}
	operation, ok := queueOperations[operationOf(r)]
	if !ok {
		failJSON(w, http.StatusBadRequest, "com.amazonaws.sqs#UnsupportedOperation",
			"the emulator does not support "+operationOf(r))
		return
	}
	q.mu.Lock()
	answer, err := operation(q, r.Context(), in)
	q.mu.Unlock()
	switch {
	case err == nil:
		replyJSON(w, answer)
	case errors.Is(err, errNoSuchQueue):
		failJSON(w, http.StatusBadRequest, "com.amazonaws.sqs#QueueDoesNotExist", err.Error())
	default:
		failJSON(w, http.StatusBadRequest, "com.amazonaws.sqs#InvalidParameterValue", err.Error())
	}
}

// doCreate replaces an existing queue of that name. The defaults are those of SQS.
func (q *Queues) doCreate(_ context.Context, in queueRequest) (any, error) {
	mq := &msgQueue{name: in.QueueName, attributes: in.Attributes, visibility: 30 * time.Second}
	if v := in.Attributes["VisibilityTimeout"]; v != "" {
		seconds, err := strconv.Atoi(v)
		if err != nil {
			return nil, err
		}
		mq.visibility = time.Duration(seconds) * time.Second
	}
	if v := in.Attributes["RedrivePolicy"]; v != "" {
		var policy struct {
			DeadLetterTargetARN string `json:"deadLetterTargetArn"`
			MaxReceiveCount     int    `json:"maxReceiveCount"`
		}
		if err := json.Unmarshal([]byte(v), &policy); err != nil {
			return nil, err
		}
		mq.maxReceives = policy.MaxReceiveCount
		mq.deadLetters = policy.DeadLetterTargetARN[strings.LastIndexByte(policy.DeadLetterTargetARN, ':')+1:]
	}
	q.queues[in.QueueName] = mq
	return map[string]string{"QueueUrl": q.endpoint + "/" + account + "/" + in.QueueName}, nil
}

func (q *Queues) doDescribe(_ context.Context, in queueRequest) (any, error) {
	mq, err := q.find(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	return map[string]any{"Attributes": requested(mq.describe(), in.AttributeNames)}, nil
}

// requested returns the attributes whose names a request lists.
func requested[V any](all map[string]V, names []string) map[string]V {
	some := map[string]V{}
	for name, v := range all {
		if slices.Contains(names, name) || slices.Contains(names, "All") {
			some[name] = v
		}
	}
	return some
}

func (q *Queues) doSend(_ context.Context, in queueRequest) (any, error) {
	mq, err := q.find(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	for name, a := range in.MessageAttributes {
		if a.StringValue == "" {
			return nil, errors.New("message attribute " + name + " must not be empty")
		}
	}
	m := message{body: in.MessageBody, attributes: in.MessageAttributes, system: in.MessageSystemAttributes}
	id := q.send(mq, m, time.Duration(in.DelaySeconds)*time.Second)
	return map[string]string{"MessageId": id, "MD5OfMessageBody": md5Hex(m.body)}, nil
}

// doReceive releases the lock while it waits. A client that is gone gets no message.
func (q *Queues) doReceive(ctx context.Context, in queueRequest) (any, error) {
	in.MaxNumberOfMessages = cmp.Or(in.MaxNumberOfMessages, 1)
	if in.MaxNumberOfMessages < 1 || in.MaxNumberOfMessages > 10 || in.WaitTimeSeconds < 0 || in.WaitTimeSeconds > 20 {
		return nil, errors.New("MaxNumberOfMessages or WaitTimeSeconds out of range")
	}
	end := time.NewTimer(time.Duration(in.WaitTimeSeconds) * time.Second)
	defer end.Stop()
	for over := in.WaitTimeSeconds == 0; ; {
		mq, err := q.find(in.QueueUrl)
		if err != nil {
			return nil, err
		}
		visibility := mq.visibility
		if in.VisibilityTimeout != nil {
			visibility = time.Duration(*in.VisibilityTimeout) * time.Second
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		got, next := q.receive(mq, in.MaxNumberOfMessages, visibility)
		if len(got) > 0 || over {
			return describeMessages(got, in), nil
		}
		change := q.change
		q.mu.Unlock()
		due := time.NewTimer(next)
		select {
		case <-ctx.Done():
		case <-change:
		case <-due.C:
		case <-end.C:
			over = true // receive once more: a message may be visible now
		}
		due.Stop()
		q.mu.Lock()
	}
}

// describeMessages returns only the requested attributes, as SQS does, so that a client that forgets to request one
// fails here, too.
func describeMessages(got []*message, in queueRequest) any {
	list := []map[string]any{}
	for _, m := range got {
		system := map[string]string{"ApproximateReceiveCount": strconv.Itoa(m.receives),
			"SentTimestamp": strconv.FormatInt(m.sent.UnixMilli(), 10)}
		for name, v := range m.system {
			system[name] = v.StringValue
		}
		system, attributes := requested(system, in.MessageSystemAttributeNames),
			requested(m.attributes, in.MessageAttributeNames)
		list = append(list, map[string]any{"MessageId": m.id, "ReceiptHandle": m.receipt, "Body": m.body,
			"MD5OfBody": md5Hex(m.body), "Attributes": system, "MessageAttributes": attributes})
	}
	return map[string]any{"Messages": list}
}

func (q *Queues) doDelete(_ context.Context, in queueRequest) (any, error) {
	return q.each(in, q.delete)
}

func (q *Queues) doExtend(_ context.Context, in queueRequest) (any, error) {
	return q.each(in, q.extend)
}

// each calls do for every entry of a batch. Error codes are part of the answer.
func (q *Queues) each(
	in queueRequest, do func(mq *msgQueue, receipt string, d time.Duration) (code string),
) (any, error) {
	mq, err := q.find(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	if len(in.Entries) == 0 || len(in.Entries) > 10 {
		return nil, errors.New("a batch has 1 to 10 entries")
	}
	done, failed := []map[string]any{}, []map[string]any{}
	for _, e := range in.Entries {
		code := do(mq, e.ReceiptHandle, time.Duration(e.VisibilityTimeout)*time.Second)
		if code == "" {
			done = append(done, map[string]any{"Id": e.Id})
		} else {
			failed = append(failed, map[string]any{"Id": e.Id, "Code": code, "SenderFault": true})
		}
	}
	return map[string]any{"Successful": done, "Failed": failed}, nil
}
