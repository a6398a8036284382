package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"imagery/infra/policy"
)

// inbox is a queue that subscribes to the topic of the stack's alarms, as a pager would.
type inbox struct {
	queues       *sqs.Client
	topics       *sns.Client
	url          string
	subscription string
	got          []stateChange
}

// stateChange is the part of a notification that says which alarm has which state. Times can be compared as texts.
type stateChange struct{ AlarmName, NewStateValue, StateChangeTime string }

// subscribe makes an inbox. The caller closes it, also after an error.
func (t *test) subscribe(ctx context.Context) (*inbox, error) {
	b := &inbox{queues: sqs.NewFromConfig(t.aws), topics: sns.NewFromConfig(t.aws)}
	made, err := b.queues.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(newID())})
	if err != nil {
		return b, fmt.Errorf("create a queue for alarms: %w", err)
	}
	b.url = aws.ToString(made.QueueUrl)
	arn, err := b.attribute(ctx, b.url, sqstypes.QueueAttributeNameQueueArn)
	if err != nil {
		return b, err
	}
	allow := policy.JSON(policy.Statement{Sid: "Alarms", Effect: policy.Allow,
		Principal: policy.Principals{"Service": {"sns.amazonaws.com"}}, Action: []string{"sqs:SendMessage"},
		Resource: []string{arn}, Condition: policy.Conditions{"ArnEquals": {"aws:SourceArn": {t.current.AlarmTopic}}}})
	if err := b.set(ctx, b.url, sqstypes.QueueAttributeNamePolicy, allow); err != nil {
		return b, err
	}
	sub, err := b.topics.Subscribe(ctx, &sns.SubscribeInput{TopicArn: &t.current.AlarmTopic, Protocol: aws.String("sqs"),
		Endpoint: &arn, ReturnSubscriptionArn: true})
	if err != nil {
		return b, fmt.Errorf("subscribe to the topic of alarms: %w", err)
	}
	b.subscription = aws.ToString(sub.SubscriptionArn)
	return b, nil
}

func (b *inbox) attribute(ctx context.Context, url string, name sqstypes.QueueAttributeName) (string, error) {
	out, err := b.queues.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url,
		AttributeNames: []sqstypes.QueueAttributeName{name}})
	if err != nil {
		return "", fmt.Errorf("read attribute %s of queue %s: %w", name, url, err)
	}
	return out.Attributes[string(name)], nil
}

func (b *inbox) set(ctx context.Context, url string, name sqstypes.QueueAttributeName, value string) error {
	_, err := b.queues.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{QueueUrl: &url,
		Attributes: map[string]string{string(name): value}})
	if err != nil {
		return fmt.Errorf("set attribute %s of queue %s: %w", name, url, err)
	}
	return nil
}

// has receives what has arrived and reports whether the newest change of an alarm was one to a state. "Standard topics"
// deliver in "best-effort ordering".
func (b *inbox) has(ctx context.Context, alarm string, state types.StateValue) (bool, error) {
	out, err := b.queues.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &b.url, MaxNumberOfMessages: 10,
		WaitTimeSeconds: 1})
	if err != nil {
		return false, fmt.Errorf("receive the messages of alarms: %w", err)
	}
	for _, m := range out.Messages {
		var envelope struct{ Message string }
		var n stateChange
		if err := json.Unmarshal([]byte(aws.ToString(m.Body)), &envelope); err != nil {
			return false, fmt.Errorf("read a message of SNS: %w", err)
		}
		if json.Unmarshal([]byte(envelope.Message), &n) == nil { // others are not about alarms
			b.got = append(b.got, n)
		}
		// One that is received again says the same once more.
		_, _ = b.queues.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &b.url, ReceiptHandle: m.ReceiptHandle})
	}
	var newest stateChange
	for _, n := range b.got {
		if n.AlarmName == alarm && n.StateChangeTime >= newest.StateChangeTime {
			newest = n
		}
	}
	return newest.NewStateValue == string(state), nil
}

// close removes the subscription and the queue.
func (b *inbox) close(ctx context.Context) (err error) {
	if b.subscription != "" {
		_, e := b.topics.Unsubscribe(ctx, &sns.UnsubscribeInput{SubscriptionArn: &b.subscription})
		err = errors.Join(err, e)
	}
	if b.url != "" {
		_, e := b.queues.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: &b.url})
		err = errors.Join(err, e)
	}
	return err
}

// alarm returns the alarm of the stack whose name in the runbook is the given one.
func (t *test) alarm(ctx context.Context, name string) (types.MetricAlarm, error) {
	all, err := pages(ctx, cloudwatch.NewDescribeAlarmsPaginator(cloudwatch.NewFromConfig(t.aws), nil),
		func(o *cloudwatch.DescribeAlarmsOutput) []types.MetricAlarm { return o.MetricAlarms })
	if err != nil {
		return types.MetricAlarm{}, fmt.Errorf("describe alarm %s: %w", name, err)
	}
	for _, a := range all {
		if len(a.AlarmActions) == 1 && a.AlarmActions[0] == t.current.AlarmTopic &&
			strings.HasSuffix(aws.ToString(a.AlarmDescription), "#"+name) {
			return a, nil
		}
	}
	return types.MetricAlarm{}, fmt.Errorf("no alarm with %s as its only action is described by #%s of the runbook",
		t.current.AlarmTopic, name)
}

// hasState returns an error that says which state an alarm has, and why, if it is not the wanted one.
func hasState(a types.MetricAlarm, want types.StateValue) error {
	if a.StateValue == want {
		return nil
	}
	return fmt.Errorf("%s on metric %s is %s: %s", aws.ToString(a.AlarmName), cmp.Or(aws.ToString(a.MetricName), "math"),
		a.StateValue, cmp.Or(aws.ToString(a.StateReason), "no reason"))
}

// reached waits until an alarm has a state and the subscriber of the topic was told so, and returns its full name.
func (t *T) reached(ctx context.Context, b *inbox, name string, state types.StateValue) (
	full string, err error) {
	// "There is a delay of up to 15 minutes in CloudWatch metrics when a queue is activated from an inactive state."
	err = t.until(ctx, fmt.Sprintf("alarm %s is %s", name, state), 20*time.Minute,
		func(ctx context.Context) (bool, error) {
			a, err := t.alarm(ctx, name)
			full = aws.ToString(a.AlarmName)
			if err == nil {
				err = hasState(a, state)
			}
			return err == nil, err
		})
	if err != nil {
		return "", err
	}
	return full, t.until(ctx, fmt.Sprintf("the topic told %s of alarm %s", state, name), 2*time.Minute,
		func(ctx context.Context) (bool, error) { return b.has(ctx, full, state) })
}
