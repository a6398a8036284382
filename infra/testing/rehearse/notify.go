package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"imagery/infra/policy"
	"imagery/infra/testing/asgsim"
	"imagery/infra/testing/authz"
	"imagery/infra/testing/cloudwatch"
	topics "imagery/infra/testing/sns"
)

// newTopics returns the subscriptions of the topics that moto stores.
func (f *front) newTopics(mail string) *topics.Service {
	return topics.New(topics.Options{Mail: mail, URL: "http://" + endpoint, Factor: factor, Log: logf,
		Exists: func(ctx context.Context, topic string) error {
			_, err := f.topicAttributes(ctx, topic)
			return err
		},
		Queue: func(ctx context.Context, arn, text string) error {
			c := sqs.NewFromConfig(f.moto.config)
			out, err := c.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(lastPart(arn))})
			if err == nil {
				_, err = c.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: out.QueueUrl, MessageBody: &text})
			}
			return err
		}})
}

func (f *front) topicAttributes(ctx context.Context, topic string) (map[string]string, error) {
	out, err := sns.NewFromConfig(f.moto.config).GetTopicAttributes(ctx, &sns.GetTopicAttributesInput{TopicArn: &topic})
	if err != nil {
		return nil, err
	}
	return out.Attributes, nil
}

// publish publishes the message of an alarm, if the policy of the topic allows it to CloudWatch.
func (f *front) publish(topic string, m cloudwatch.Message) error {
	attributes, err := f.topicAttributes(context.Background(), topic)
	if err != nil {
		return err
	}
	if err := mayPublish(attributes["Policy"], topic, m.AlarmArn); err != nil {
		return err
	}
	_, err = f.topics.Publish(context.Background(), &sns.PublishInput{TopicArn: &topic, Subject: aws.String(m.Subject()),
		Message: aws.String(m.Structure()), MessageStructure: aws.String("json")})
	return err
}

// mayPublish evaluates the policy of a topic for CloudWatch. The conditions are on the keys that AWS sends for alarms,
// the error is the one that AWS writes into the history of an alarm.
func mayPublish(text, topic, alarm string) error {
	// "By default, only the topic owner can publish or subscribe to the topic", which includes the owner's alarms.
	if strings.Contains(text, "__default_policy_ID") {
		return nil
	}
	d, err := authz.Parse(text)
	if err != nil {
		return fmt.Errorf("read the policy of %s: %w", topic, err)
	}
	d.Statement = slices.DeleteFunc(d.Statement, func(s policy.Statement) bool {
		return !strings.Contains(fmt.Sprint(s.Principal), "cloudwatch.amazonaws.com")
	})
	request := authz.Request{Action: "sns:Publish", Resource: topic,
		Context: map[string][]string{"aws:SourceArn": {alarm}, "aws:SourceAccount": {account}}}
	if authz.Evaluate(authz.Policies{Identity: []policy.Document{d}}, request) != nil {
		//lint:ignore ST1005 the text is AWS's
		return fmt.Errorf("Resource: %s is not authorized to perform: SNS:Publish on resource: %s", alarm, topic)
	}
	return nil
}

// subscriptions lets the subscriptions answer an operation.
func subscriptions[I, O any](do func(*topics.Service, context.Context, *I) (*O, error)) operation {
	return func(f *front, w http.ResponseWriter, r *http.Request, form url.Values) {
		in, out := new(I), new(O)
		err := asgsim.Decode(form, in)
		if err == nil {
			out, err = do(f.topics, r.Context(), in)
		}
		asgsim.WriteResponse(w, form.Get("Action"), out, err)
	}
}

// topicDeleted removes the subscriptions of a topic.
func (f *front) topicDeleted(_ context.Context, in *sns.DeleteTopicInput) error {
	f.topics.Deleted(aws.ToString(in.TopicArn))
	return nil
}
