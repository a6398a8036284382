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

// Alarm is one alarm of a stack.
type Alarm struct {
	Name      string           `json:"name"`  // one of settings.Alarms
	OnAWS     string           `json:"onAws"` // its name in CloudWatch
	State     types.StateValue `json:"state"`
	Since     time.Time        `json:"since"`   // time of the last change of the state
	Reason    string           `json:"reason"`  // of the state, from CloudWatch
	Actions   []string         `json:"actions"` // ARNs of the actions on ALARM
	OKActions []string         `json:"over"`    // ARNs of the actions on OK
	Disabled  bool             `json:"muted"`   // its actions are disabled
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
				Name: name, OnAWS: onAWS, State: a.StateValue, Since: aws.ToTime(since).UTC(),
				Reason: aws.ToString(a.StateReason), Actions: append([]string{}, a.AlarmActions...),
				OKActions: append([]string{}, a.OKActions...), Disabled: !aws.ToBool(a.ActionsEnabled),
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
		for _, arn := range slices.Concat(a.Actions, a.OKActions) {
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

// Gap is the reason for which an alarm notifies nobody, or for which that is unknown.
type Gap struct {
	Reason string
	Remedy string // the next step
	// Unknown is set if the subscribers could not be read.
	Unknown bool
	Text    string // the names of the alarms and the reason, from Unreceived
}

// Recipients returns the subscribers that are notified of the alarm or, if there are none, the gap. An action that is
// not a topic counts as a subscriber, by its ARN.
func (a Alarm) Recipients(topics []Topic) (by []string, gap Gap) {
	if len(a.Actions) == 0 {
		return nil, Gap{Reason: "it has no action", Remedy: "pulumi up --refresh"}
	}
	if a.Disabled {
		return nil, Gap{Reason: "its actions are switched off", Remedy: "aws cloudwatch enable-alarm-actions " +
			"--alarm-names, with the names that aws cloudwatch describe-alarms shows"}
	}
	gap = Gap{Reason: "nobody has subscribed", Remedy: "pulumi config set imagery:alarmEmail you@example.com, " +
		"then pulumi up, then click the link in the mail"}
	for _, arn := range a.Actions {
		if !isTopic(arn) {
			by = append(by, arn)
			continue
		}
		t := topics[slices.IndexFunc(topics, func(t Topic) bool { return t.ARN == arn })]
		if t.Problem != "" {
			gap = Gap{"cannot tell: " + t.Problem, "grant your user the permissions in docs/operating.md", true, ""}
		}
		for _, s := range t.Subscribers {
			if s.Confirmed {
				by = append(by, s.String())
			} else {
				gap = Gap{Reason: s.String() + " has not confirmed",
					Remedy: "click the link in the mail that AWS sent to that address, then: pulumi up --refresh"}
			}
		}
	}
	if len(by) > 0 {
		gap = Gap{}
	}
	return by, gap
}

// Unreceived returns the gaps of the alarms, each once.
func Unreceived(list []Alarm, topics []Topic) (gaps []Gap) {
	names := map[Gap][]string{}
	for _, a := range list {
		if _, gap := a.Recipients(topics); gap.Reason != "" {
			if names[gap] == nil {
				gaps = append(gaps, gap)
			}
			names[gap] = append(names[gap], a.Name)
		}
	}
	for i, gap := range gaps {
		which := strings.Join(names[gap], ", ")
		if len(names[gap]) == len(list) {
			which = "any alarm"
		}
		gaps[i].Text = "nobody will receive " + which + ": " + gap.Reason
		if gap.Unknown {
			gaps[i].Text = "who receives " + which + " is not known: " + gap.Reason
		}
	}
	return gaps
}
