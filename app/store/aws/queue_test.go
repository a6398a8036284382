package aws_test

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"imagery/app/imagery"
	awsstore "imagery/app/store/aws"
	"imagery/app/testing/fakeaws"
)

// A trace in the format of X-Ray is also sent as SQS's trace attribute, which accepts no other format.
func TestTraceAttributes(t *testing.T) {
	t.Parallel()
	at, stack, b := started(t)
	const valid = "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1"
	for trace, xray := range map[string]string{
		valid: valid,
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01":         "",
		"Self=1-67891233-abcdef012345678912345678;Root=1-67891233-abcdef": "",
		"": "",
	} {
		must(t, b.Queue().Send(t.Context(), []byte("hint"), trace))
		out, err := at.SQS().ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &stack.QueueURL,
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"}, MessageAttributeNames: []string{"All"}})
		must(t, err)
		if len(out.Messages) != 1 {
			t.Fatalf("received %d messages", len(out.Messages))
		}
		m := out.Messages[0]
		if m.Attributes["AWSTraceHeader"] != xray {
			t.Errorf("trace %q: AWSTraceHeader is %q", trace, m.Attributes["AWSTraceHeader"])
		}
		a, ok := m.MessageAttributes["traceparent"]
		if ok != (trace != "") || ok && *a.StringValue != trace {
			t.Errorf("trace %q is sent as %+v", trace, m.MessageAttributes)
		}
	}
}

func TestInvalidReceipts(t *testing.T) {
	t.Parallel()
	at, stack, b := started(t)
	must(t, b.Queue().Send(t.Context(), []byte("in flight"), ""))
	must(t, b.Queue().Send(t.Context(), []byte("released"), ""))
	must(t, b.Queue().Send(t.Context(), []byte("deleted"), ""))
	byBody := map[string]imagery.Message{}
	ms, err := b.Queue().Receive(t.Context(), 10, 0)
	must(t, err)
	for _, m := range ms {
		byBody[string(m.Body)] = m
	}
	_, err = b.Queue().Extend(t.Context(), 0, byBody["released"]) // visible again
	must(t, err)
	must(t, b.Queue().Delete(t.Context(), byBody["deleted"]))
	ms = append(ms, imagery.Message{Receipt: "not a receipt"})
	lost, err := b.Queue().Extend(t.Context(), time.Minute, ms...)
	must(t, err)
	if len(lost) != 3 || slices.ContainsFunc(lost, func(m imagery.Message) bool { return string(m.Body) == "in flight" }) {
		t.Errorf("lost are %+v", lost)
	}
	must(t, b.Queue().Delete(t.Context(), ms...))
	if left := at.Queues.Messages(stack.QueueURL); len(left) != 0 {
		t.Errorf("left are %+v", left)
	}
}

// When ctx ends, a poll whose response is in transit returns its messages. Otherwise these would be invisible for a
// visibility timeout, and would have lost a delivery.
func TestReceiveReturnsMessagesInTransit(t *testing.T) {
	t.Parallel()
	at, stack, b := started(t)
	must(t, b.Queue().Send(t.Context(), []byte("in transit"), ""))
	ctx, cancel := context.WithCancel(t.Context())
	at.Proxy.Inject(func(fakeaws.Call) fakeaws.Fault {
		cancel() // the request was sent
		return fakeaws.Fault{Kind: fakeaws.Late, Delay: 50 * time.Millisecond}
	})
	ms, err := b.Queue().Receive(ctx, 10, 20*time.Second)
	if err != nil || len(ms) != 1 {
		t.Errorf("received %d messages, %v, of %+v", len(ms), err, at.Queues.Messages(stack.QueueURL))
	}
}

// A poll of an empty queue ends soon after ctx, and does not receive a message that is sent later.
func TestReceiveLeavesLaterMessages(t *testing.T) {
	t.Parallel()
	at, stack, b := started(t)
	ctx, cancel := context.WithCancel(t.Context())
	polling := make(chan struct{})
	at.Proxy.Inject(func(c fakeaws.Call) fakeaws.Fault {
		if c.Operation == "ReceiveMessage" {
			close(polling)
		}
		return fakeaws.Fault{}
	})
	ended := make(chan error, 1)
	go func() {
		ms, err := b.Queue().Receive(ctx, 10, 20*time.Second)
		if len(ms) > 0 {
			t.Errorf("received %+v", ms)
		}
		ended <- err
	}()
	<-polling
	cancel()
	start := time.Now()
	must(t, <-ended)
	if took := time.Since(start); took > 10*time.Second { // half of the poll
		t.Errorf("the poll ended after %s", took)
	}
	at.Proxy.Inject(nil)
	must(t, b.Queue().Send(t.Context(), []byte("later"), ""))
	ms, err := b.Queue().Receive(t.Context(), 10, 5*time.Second)
	if err != nil || len(ms) != 1 || ms[0].Receives != 1 {
		t.Errorf("received %+v, %v, of %+v", ms, err, at.Queues.Messages(stack.QueueURL))
	}
}

// The URL of the dead-letter queue is read from the queue's attributes once, at the first use, and not at all if it is
// configured.
func TestDeadLetterQueueIsFoundOnce(t *testing.T) {
	t.Parallel()
	at, stack, _ := started(t)
	for _, known := range []string{"", stack.DLQURL} {
		at.Proxy.Clear()
		b := open(t, at, fakeaws.Stack{QueueURL: stack.QueueURL, DLQURL: known})
		if calls := at.Proxy.Calls(); len(calls) != 0 {
			t.Errorf("opening made the calls %+v", calls)
		}
		for range 2 {
			must(t, b.DeadLetters().Send(t.Context(), []byte("dead"), ""))
		}
		reads := 0
		for _, c := range at.Proxy.Calls() {
			if c.Operation == "GetQueueAttributes" && c.QueueURL == stack.QueueURL {
				reads++
			} else if c.Operation != "SendMessage" || c.QueueURL != stack.DLQURL {
				t.Errorf("unexpected call %+v", c)
			}
		}
		if want := map[bool]int{true: 1, false: 0}[known == ""]; reads != want {
			t.Errorf("the attributes were read %d times, want %d", reads, want)
		}
	}
}

func TestQueueWithoutDeadLetterQueue(t *testing.T) {
	t.Parallel()
	at, _, _ := started(t)
	url, _, err := at.NewQueue(t.Context(), "alone", imagery.Limits{Visibility: 30 * time.Second})
	must(t, err)
	b := open(t, at, fakeaws.Stack{QueueURL: url})
	if ms, err := b.DeadLetters().Receive(t.Context(), 10, 0); err != nil || len(ms) != 0 {
		t.Errorf("received %d messages, %v", len(ms), err)
	}
	if err := b.DeadLetters().Send(t.Context(), []byte("x"), ""); err == nil {
		t.Error("a message was sent although there is no dead-letter queue")
	}
	if l, err := b.Queue().Limits(t.Context()); err != nil || l != (imagery.Limits{Visibility: 30 * time.Second}) {
		t.Errorf("limits %+v, %v", l, err)
	}
}

// Options override the limits of the queue, also for its receives.
func TestOptionsOverrideLimits(t *testing.T) {
	t.Parallel()
	at, stack, _ := started(t)
	b, err := awsstore.Open(t.Context(),
		awsstore.Options{QueueURL: stack.QueueURL, AWS: at.Config("test"), Visibility: time.Second, MaxReceives: 7})
	must(t, err)
	if l, err := b.Queue().Limits(t.Context()); err != nil ||
		l != (imagery.Limits{Visibility: time.Second, MaxReceives: 7}) {
		t.Errorf("limits %+v, %v", l, err)
	}
	must(t, b.Queue().Send(t.Context(), []byte("x"), ""))
	for i := range 2 {
		ms, err := b.Queue().Receive(t.Context(), 1, 10*time.Second)
		if err != nil || len(ms) != 1 || ms[0].Receives != i+1 {
			t.Fatalf("receive %d: %+v, %v", i+1, ms, err)
		}
	}
}

// A batch entry that fails for another reason than its receipt is a transient error, also in Delete.
func TestFailedEntryIsTransient(t *testing.T) {
	t.Parallel()
	b := storeAt(t, answering(t, `{"Successful":[],"Failed":[`+
		`{"Id":"0","Code":"InternalError","SenderFault":false,"Message":"transient error"}]}`))
	lost, err := b.Queue().Extend(t.Context(), time.Minute, imagery.Message{Receipt: "r"})
	if err == nil || named(err) || len(lost) != 0 {
		t.Errorf("extend: lost %+v, %v", lost, err)
	}
	if err := b.Queue().Delete(t.Context(), imagery.Message{Receipt: "r"}); err == nil || named(err) {
		t.Errorf("delete: %v", err)
	}
}

// Some tools write the numbers of a redrive policy as strings.
func TestRedrivePolicyWithStrings(t *testing.T) {
	t.Parallel()
	policy := strconv.Quote(`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:1:dlq","maxReceiveCount":"4"}`)
	b := storeAt(t, answering(t, `{"Attributes":{"VisibilityTimeout":"120","RedrivePolicy":`+policy+`}}`))
	if l, err := b.Queue().Limits(t.Context()); err != nil ||
		l != (imagery.Limits{Visibility: 2 * time.Minute, MaxReceives: 4}) {
		t.Errorf("limits %+v, %v", l, err)
	}
}
