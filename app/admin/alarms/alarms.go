// Package alarms lists the CloudWatch alarms of a stack and the subscribers of their topics, and triggers alarms for a
// drill.
package alarms

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"imagery/app/deploy/settings"
)

// Clients are clients of the two services that alarms use, with the default retries of the SDK.
type Clients struct {
	CloudWatch *cloudwatch.Client
	SNS        *sns.Client
}

// New returns the clients.
func New(cfg aws.Config) Clients {
	return Clients{cloudwatch.NewFromConfig(cfg), sns.NewFromConfig(cfg)}
}

// States of an alarm in CloudWatch.
const (
	Quiet   = string(types.StateValueOk)
	Ringing = string(types.StateValueAlarm)
)

// Alarm is one alarm of a stack.
type Alarm struct {
	Name    string    `json:"name"`    // one of settings.Alarms
	OnAWS   string    `json:"onAws"`   // its name in CloudWatch
	State   string    `json:"state"`   // OK, ALARM or INSUFFICIENT_DATA
	Since   time.Time `json:"since"`   // time of the last change of the state
	Reason  string    `json:"reason"`  // of the state, from CloudWatch
	Actions []string  `json:"actions"` // ARNs of the actions on ALARM
	Over    []string  `json:"over"`    // ARNs of the actions on OK
	Muted   bool      `json:"muted"`   // its actions are disabled
}

// List returns the alarms of a stack in the order of settings.Alarms.
func (c Clients) List(ctx context.Context, stack string) ([]Alarm, error) {
	list := []Alarm{}
	prefix := settings.AlarmPrefix(stack)
	// A paginator of the SDK would link all operations of the service into the binary.
	in := &cloudwatch.DescribeAlarmsInput{
		AlarmNamePrefix: &prefix, AlarmTypes: []types.AlarmType{types.AlarmTypeMetricAlarm}}
	for more := true; more; more = aws.ToString(in.NextToken) != "" {
		page, err := c.CloudWatch.DescribeAlarms(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("list the alarms %s*: %w", prefix, err)
		}
		in.NextToken = page.NextToken
		for _, a := range page.MetricAlarms {
			onAWS := aws.ToString(a.AlarmName)
			name := settings.AlarmOf(stack, onAWS)
			if name == "" {
				continue // of another stack whose name has this prefix
			}
			since := a.StateTransitionedTimestamp // StateUpdatedTimestamp also changes with the reason
			if since == nil {
				since = a.StateUpdatedTimestamp
			}
			list = append(list, Alarm{
				Name: name, OnAWS: onAWS, State: string(a.StateValue), Since: aws.ToTime(since).UTC(),
				Reason: aws.ToString(a.StateReason), Actions: append([]string{}, a.AlarmActions...),
				Over: append([]string{}, a.OKActions...), Muted: !aws.ToBool(a.ActionsEnabled),
			})
		}
	}
	slices.SortStableFunc(list, func(a, b Alarm) int {
		return slices.Index(settings.Alarms, a.Name) - slices.Index(settings.Alarms, b.Name)
	})
	return list, nil
}

// Topic is an SNS topic in the actions of alarms, with its subscribers.
type Topic struct {
	ARN         string       `json:"arn"`
	Subscribers []Subscriber `json:"subscribers"`
	Problem     string       `json:"problem,omitempty"` // why the subscribers are unknown
}

// Subscriber is one subscription of a topic.
type Subscriber struct {
	Protocol  string `json:"protocol"` // email, https, sms, lambda, ...
	Endpoint  string `json:"endpoint"` // without secrets
	Confirmed bool   `json:"confirmed"`
}

func (s Subscriber) String() string { return s.Protocol + " " + s.Endpoint }

// Topics returns the topics in the alarms' actions with their subscribers. If a topic cannot be read, its Problem is
// the error as formatted by formatError.
func (c Clients) Topics(ctx context.Context, list []Alarm, formatError func(error) string) []Topic {
	topics := []Topic{}
	for _, a := range list {
		for _, arn := range slices.Concat(a.Actions, a.Over) {
			if !isTopic(arn) || slices.ContainsFunc(topics, func(t Topic) bool { return t.ARN == arn }) {
				continue
			}
			t := Topic{ARN: arn}
			var err error
			if t.Subscribers, err = c.subscribers(ctx, arn); err != nil {
				t.Problem = formatError(err)
			}
			topics = append(topics, t)
		}
	}
	return topics
}

func isTopic(arn string) bool {
	return strings.HasPrefix(arn, "arn:") && strings.Contains(arn, ":sns:")
}

// subscribers lists the subscriptions of a topic, without deleted ones, which SNS lists for some days.
func (c Clients) subscribers(ctx context.Context, topic string) ([]Subscriber, error) {
	list := []Subscriber{}
	in := &sns.ListSubscriptionsByTopicInput{TopicArn: &topic}
	for more := true; more; more = aws.ToString(in.NextToken) != "" {
		page, err := c.SNS.ListSubscriptionsByTopic(ctx, in)
		if err != nil {
			return list, fmt.Errorf("list the subscriptions of %s: %w", topic, err)
		}
		in.NextToken = page.NextToken
		for _, s := range page.Subscriptions {
			// Instead of an ARN this is PendingConfirmation or Deleted for other subscriptions.
			arn, protocol := aws.ToString(s.SubscriptionArn), aws.ToString(s.Protocol)
			if arn == "Deleted" {
				continue
			}
			list = append(list, Subscriber{Protocol: protocol, Endpoint: redacted(protocol, aws.ToString(s.Endpoint)),
				Confirmed: strings.HasPrefix(arn, "arn:")})
		}
	}
	return list, nil
}

// redacted removes secrets from an endpoint: the path of a webhook is its password, a phone number is private.
func redacted(protocol, endpoint string) string {
	switch protocol {
	case "http", "https":
		u, err := url.Parse(endpoint)
		if err != nil || u.Host == "" {
			return "(hidden)"
		}
		return u.Scheme + "://" + u.Host + "/..."
	case "sms":
		return "..." + endpoint[max(0, len(endpoint)-3):]
	}
	return endpoint
}

// Heard returns the subscribers that are notified of the alarm or, if there are none, the reason. An action that is not
// a topic counts as a subscriber, by its ARN.
func (a Alarm) Heard(topics []Topic) (by []string, why string) {
	switch {
	case len(a.Actions) == 0:
		return nil, actionless
	case a.Muted:
		return nil, muted
	}
	why = unsubscribed
	for _, arn := range a.Actions {
		if !isTopic(arn) {
			by = append(by, arn)
			continue
		}
		for _, t := range topics {
			if t.ARN != arn {
				continue
			}
			if t.Problem != "" {
				why = unknown + t.Problem
			}
			for _, s := range t.Subscribers {
				if s.Confirmed {
					by = append(by, s.String())
				} else {
					why = s.String() + unconfirmed
				}
			}
		}
	}
	if len(by) > 0 {
		why = ""
	}
	return by, why
}

// Remedy returns the next step for a reason that Heard returned.
func Remedy(why string) string {
	switch {
	case strings.HasSuffix(why, unconfirmed):
		return "click the link in the mail that AWS sent to that address, then: pulumi up --refresh"
	case why == unsubscribed:
		return "pulumi config set imagery:alarmEmail you@example.com, then pulumi up, then click the link in the mail"
	case why == muted:
		return "aws cloudwatch enable-alarm-actions --alarm-names, with the names that aws cloudwatch describe-alarms shows"
	case why == actionless:
		return "pulumi up --refresh"
	}
	return "imagery doctor"
}

// Unknown reports whether a reason that Heard returned is that the subscribers could not be read.
func Unknown(why string) bool { return strings.HasPrefix(why, unknown) }

// Reasons for an alarm without subscribers.
const (
	actionless   = "it has no action"
	muted        = "its actions are switched off"
	unsubscribed = "nobody has subscribed"
	unconfirmed  = " has not confirmed"
	unknown      = "cannot tell: "
)
