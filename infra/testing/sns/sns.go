// Package sns simulates the subscriptions of SNS topics and the delivery of messages as documented: over HTTP with
// confirmation, by mail into a file, and into queues. Topics themselves are stored elsewhere.
//
// Comments quote the sentence of AWS's documentation from which a rule comes, or say "not documented".
package sns

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/smithy-go"
)

// Options of a service.
type Options struct {
	// Exists returns nil if a topic exists.
	Exists func(ctx context.Context, topic string) error
	// Queue sends a text to a queue, given by ARN.
	Queue func(ctx context.Context, queue, text string) error
	// Mail is the file to which mails are appended, as RFC 822 messages in the mbox format.
	Mail string
	// URL is that of this service, for the links in messages.
	URL string
	// Factor divides the time between two attempts to deliver; 0 is 1.
	Factor int
	Log    func(format string, args ...any)
}

// Service has the subscriptions of all topics.
type Service struct {
	Options
	all  sync.WaitGroup
	mail sync.Mutex // of the file

	mu            sync.Mutex
	subscriptions []*subscription
}

type subscription struct {
	arn, topic, protocol, endpoint string
	token                          string // that confirms it
	confirmed                      bool
}

// New returns a service without subscriptions.
func New(o Options) *Service {
	o.Factor = max(o.Factor, 1)
	return &Service{Options: o}
}

// Wait returns when all messages were delivered or given up.
func (s *Service) Wait() { s.all.Wait() }

func invalid(format string, args ...any) error {
	return &smithy.GenericAPIError{Code: "InvalidParameter", Message: "Invalid parameter: " + fmt.Sprintf(format, args...)}
}

func notFound(what string) error {
	return &smithy.GenericAPIError{Code: "NotFound", Message: what + " does not exist"}
}

// id returns a random UUID.
func id() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)                         // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // version 4, variant 1
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// pending takes the place of the ARN in lists of subscriptions that are not confirmed.
const pending = "PendingConfirmation"

// Subscribe implements the operation: "If the endpoint type is HTTP/S or email ... the endpoint owner must run the
// ConfirmSubscription action to confirm the subscription." Since nobody opens the link in a mail here, a subscription
// by mail counts as confirmed after it.
func (s *Service) Subscribe(ctx context.Context, in *sns.SubscribeInput) (*sns.SubscribeOutput, error) {
	topic, protocol, endpoint := aws.ToString(in.TopicArn), aws.ToString(in.Protocol), aws.ToString(in.Endpoint)
	if err := s.Exists(ctx, topic); err != nil {
		return nil, err
	}
	for name, value := range in.Attributes {
		if value != "" && value != "false" {
			return nil, invalid("the simulator implements no attribute of subscriptions, such as %s", name)
		}
	}
	switch {
	case !slices.Contains([]string{"http", "https", "email", "sqs"}, protocol):
		return nil, invalid("the simulator does not implement the protocol %q", protocol)
	case strings.HasPrefix(protocol, "http") && !strings.HasPrefix(endpoint, protocol+"://"):
		return nil, invalid("Endpoint must match the specified protocol")
	}
	s.mu.Lock()
	i := slices.IndexFunc(s.subscriptions, func(o *subscription) bool {
		return o.topic == topic && o.protocol == protocol && o.endpoint == endpoint
	})
	if i < 0 {
		i = len(s.subscriptions)
		s.subscriptions = append(s.subscriptions, &subscription{arn: topic + ":" + id(), topic: topic, protocol: protocol,
			endpoint: endpoint, token: strings.ReplaceAll(id()+id(), "-", ""), confirmed: protocol == "sqs"})
	}
	sub := s.subscriptions[i]
	ask := !sub.confirmed // also once more, if the first message was lost
	if protocol == "email" {
		sub.confirmed = true
	}
	out := &sns.SubscribeOutput{SubscriptionArn: &sub.arn}
	// "If the API request parameter ReturnSubscriptionArn is true, then the value is always the subscription ARN, even if
	// the subscription requires confirmation." Otherwise it is "pending confirmation".
	if ask && !in.ReturnSubscriptionArn {
		out.SubscriptionArn = aws.String("pending confirmation")
	}
	s.mu.Unlock()
	if ask {
		s.deliver(sub, s.confirmation(sub))
	}
	return out, nil
}

// ConfirmSubscription implements the operation: "Verifies an endpoint owner's intent to receive messages by validating
// the token sent to the endpoint by an earlier Subscribe action."
func (s *Service) ConfirmSubscription(_ context.Context, in *sns.ConfirmSubscriptionInput) (
	*sns.ConfirmSubscriptionOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range s.subscriptions {
		if sub.topic == aws.ToString(in.TopicArn) && sub.token == aws.ToString(in.Token) {
			sub.confirmed = true
			s.Log("subscription of %s is confirmed", sub.endpoint)
			return &sns.ConfirmSubscriptionOutput{SubscriptionArn: &sub.arn}, nil
		}
	}
	return nil, invalid("Token")
}

// Unsubscribe implements the operation.
func (s *Service) Unsubscribe(_ context.Context, in *sns.UnsubscribeInput) (*sns.UnsubscribeOutput, error) {
	s.remove(func(sub *subscription) bool { return sub.arn == aws.ToString(in.SubscriptionArn) })
	return &sns.UnsubscribeOutput{}, nil
}

// Deleted removes the subscriptions of a topic: DeleteTopic "deletes a topic and all its subscriptions."
func (s *Service) Deleted(topic string) {
	s.remove(func(sub *subscription) bool { return sub.topic == topic })
}

func (s *Service) remove(which func(*subscription) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscriptions = slices.DeleteFunc(s.subscriptions, which)
}

// GetSubscriptionAttributes implements the operation.
func (s *Service) GetSubscriptionAttributes(_ context.Context, in *sns.GetSubscriptionAttributesInput) (
	*sns.GetSubscriptionAttributesOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range s.subscriptions {
		if sub.arn == aws.ToString(in.SubscriptionArn) {
			return &sns.GetSubscriptionAttributesOutput{Attributes: map[string]string{"SubscriptionArn": sub.arn,
				"TopicArn": sub.topic, "Protocol": sub.protocol, "Endpoint": sub.endpoint, "Owner": account(sub.topic),
				"RawMessageDelivery": "false", "PendingConfirmation": strconv.FormatBool(!sub.confirmed),
				"ConfirmationWasAuthenticated": "false"}}, nil
		}
	}
	return nil, notFound("Subscription")
}

// account returns the account of an ARN.
func account(of string) string {
	a, _ := arn.Parse(of) // one that cannot be parsed has no account
	return a.AccountID
}

// ListSubscriptionsByTopic implements the operation.
func (s *Service) ListSubscriptionsByTopic(ctx context.Context, in *sns.ListSubscriptionsByTopicInput) (
	*sns.ListSubscriptionsByTopicOutput, error) {
	if err := s.Exists(ctx, aws.ToString(in.TopicArn)); err != nil {
		return nil, err
	}
	return &sns.ListSubscriptionsByTopicOutput{Subscriptions: s.list(aws.ToString(in.TopicArn))}, nil
}

// ListSubscriptions implements the operation.
func (s *Service) ListSubscriptions(context.Context, *sns.ListSubscriptionsInput) (
	*sns.ListSubscriptionsOutput, error) {
	return &sns.ListSubscriptionsOutput{Subscriptions: s.list("")}, nil
}

// list returns the subscriptions of a topic, or of all.
func (s *Service) list(topic string) []types.Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []types.Subscription{}
	for _, sub := range s.subscriptions {
		if topic != "" && sub.topic != topic {
			continue
		}
		shown := sub.arn
		if !sub.confirmed {
			shown = pending
		}
		out = append(out, types.Subscription{SubscriptionArn: &shown, TopicArn: &sub.topic, Protocol: &sub.protocol,
			Endpoint: &sub.endpoint, Owner: aws.String(account(sub.topic))})
	}
	return out
}

// Publish implements the operation. It returns before the message is delivered: "When a messageId is returned, the
// message is saved and Amazon SNS immediately delivers it to subscribers."
func (s *Service) Publish(ctx context.Context, in *sns.PublishInput) (*sns.PublishOutput, error) {
	topic := aws.ToString(in.TopicArn) + aws.ToString(in.TargetArn)
	if err := s.Exists(ctx, topic); err != nil {
		return nil, err
	}
	texts := map[string]string{"default": aws.ToString(in.Message)}
	if aws.ToString(in.MessageStructure) == "json" {
		texts = map[string]string{}
		// "... be a syntactically valid JSON object; and contain at least a top-level JSON key of default that is a string."
		if err := json.Unmarshal([]byte(aws.ToString(in.Message)), &texts); err != nil || texts["default"] == "" {
			return nil, invalid("Message Structure - JSON message body failed to parse")
		}
	}
	if len(aws.ToString(in.Subject)) > 100 { // "must be less than 100 characters long"
		return nil, invalid("Subject")
	}
	m := message{Type: "Notification", MessageID: id(), TopicArn: topic, Subject: aws.ToString(in.Subject),
		Timestamp: time.Now().UTC()}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range s.subscriptions {
		if sub.topic != topic || !sub.confirmed {
			continue
		}
		m.Message = cmp.Or(texts[sub.protocol], texts["default"])
		m.UnsubscribeURL = s.link(url.Values{"Action": {"Unsubscribe"}, "SubscriptionArn": {sub.arn}})
		s.deliver(sub, m)
	}
	return &sns.PublishOutput{MessageId: &m.MessageID}, nil
}
