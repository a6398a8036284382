// Package alarms looks at the alarms of a stack as AWS has them, at who hears them, and rings them for a drill. It
// judges nothing about the service: whether an alarm should ring is CloudWatch's business.
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

// Clients are those of the two services that alarms need. They repeat calls as the SDK does by default.
type Clients struct {
	CloudWatch *cloudwatch.Client
	SNS        *sns.Client
}

// New makes the clients.
func New(cfg aws.Config) Clients {
	return Clients{cloudwatch.NewFromConfig(cfg), sns.NewFromConfig(cfg)}
}

// States of an alarm, in CloudWatch's words.
const (
	Quiet   = string(types.StateValueOk)
	Ringing = string(types.StateValueAlarm)
)

// Alarm is one alarm of the stack.
type Alarm struct {
	Name    string    `json:"name"`    // one of settings.Alarms
	OnAWS   string    `json:"onAws"`   // its name on AWS
	State   string    `json:"state"`   // OK, ALARM or INSUFFICIENT_DATA
	Since   time.Time `json:"since"`   // when the state began
	Reason  string    `json:"reason"`  // of the state, in CloudWatch's words
	Actions []string  `json:"actions"` // ARNs of what it tells when it rings
	Over    []string  `json:"over"`    // ARNs of what it tells when that is over
	Muted   bool      `json:"muted"`   // its actions are switched off
}

// List finds the alarms of a stack, in the order of settings.Alarms.
func (c Clients) List(ctx context.Context, stack string) ([]Alarm, error) {
	list := []Alarm{}
	prefix := settings.AlarmPrefix(stack)
	// A paginator of the SDK would link every operation of the service into each instance's binary.
	in := &cloudwatch.DescribeAlarmsInput{AlarmNamePrefix: &prefix, AlarmTypes: []types.AlarmType{types.AlarmTypeMetricAlarm}}
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
				continue // of a stack whose name begins alike
			}
			since := a.StateTransitionedTimestamp // the other one also moves when only the reason changes
			if since == nil {
				since = a.StateUpdatedTimestamp
			}
			list = append(list, Alarm{Name: name, OnAWS: onAWS, State: string(a.StateValue), Since: aws.ToTime(since).UTC(),
				Reason: aws.ToString(a.StateReason), Actions: append([]string{}, a.AlarmActions...), Over: append([]string{}, a.OKActions...),
				Muted: !aws.ToBool(a.ActionsEnabled)})
		}
	}
	slices.SortStableFunc(list, func(a, b Alarm) int {
		return slices.Index(settings.Alarms, a.Name) - slices.Index(settings.Alarms, b.Name)
	})
	return list, nil
}

// Topic is one that alarms tell, and who hears it.
type Topic struct {
	ARN         string       `json:"arn"`
	Subscribers []Subscriber `json:"subscribers"`
	Problem     string       `json:"problem,omitempty"` // why they are not known
}

// Subscriber is one who hears a topic, or would after a click.
type Subscriber struct {
	Protocol  string `json:"protocol"` // email, https, sms, lambda, ...
	Endpoint  string `json:"endpoint"` // without what may be a secret in it
	Confirmed bool   `json:"confirmed"`
}

func (s Subscriber) String() string { return s.Protocol + " " + s.Endpoint }

// Topics reads who hears the topics among the alarms' actions. One that cannot be read has a Problem; say turns its
// error into words.
func (c Clients) Topics(ctx context.Context, list []Alarm, say func(error) string) []Topic {
	topics := []Topic{}
	for _, a := range list {
		for _, arn := range slices.Concat(a.Actions, a.Over) {
			if !isTopic(arn) || slices.ContainsFunc(topics, func(t Topic) bool { return t.ARN == arn }) {
				continue
			}
			t := Topic{ARN: arn}
			var err error
			if t.Subscribers, err = c.subscribers(ctx, arn); err != nil {
				t.Problem = say(err)
			}
			topics = append(topics, t)
		}
	}
	return topics
}

func isTopic(arn string) bool {
	return strings.HasPrefix(arn, "arn:") && strings.Contains(arn, ":sns:")
}

// subscribers lists who is subscribed. What AWS keeps of a deleted subscription for some days hears nothing.
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
			// In the place of its ARN stands what it still waits for.
			arn, protocol := aws.ToString(s.SubscriptionArn), aws.ToString(s.Protocol)
			if arn == "Deleted" {
				continue
			}
			list = append(list, Subscriber{Protocol: protocol, Endpoint: shown(protocol, aws.ToString(s.Endpoint)),
				Confirmed: strings.HasPrefix(arn, "arn:")})
		}
	}
	return list, nil
}

// shown is an endpoint as it may be printed: the path of a web hook is its password, a phone number is private.
func shown(protocol, endpoint string) string {
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

// Heard says who hears the alarm when it rings, and if that is nobody, why. What is no topic is told without
// subscribers, and counts by its ARN.
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

// Remedy is what to type when nobody hears an alarm for that reason.
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

// Unknown reports whether a reason is that the subscribers could not be read.
func Unknown(why string) bool { return strings.HasPrefix(why, unknown) }

// Why nobody hears an alarm.
const (
	actionless   = "it has no action"
	muted        = "its actions are switched off"
	unsubscribed = "nobody has subscribed"
	unconfirmed  = " has not confirmed"
	unknown      = "cannot tell: "
)
