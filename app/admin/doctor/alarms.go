package doctor

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"imagery/app/admin/alarms"
	"imagery/app/deploy/settings"
)

// alarms checks that each alarm exists, notifies the stack's topic, and has subscribers.
func (c Cloud) alarms(ctx context.Context, r *report) {
	clients := alarms.New(c.AWS)
	ctx, cancel := context.WithTimeout(ctx, 3*callTimeout)
	defer cancel()
	list, err := clients.List(ctx, c.Stack)
	if r.failed("the alarms", err) {
		return
	}
	var missing, wrongTopic []string
	for _, name := range settings.Alarms {
		i := slices.IndexFunc(list, func(al alarms.Alarm) bool { return al.Name == name })
		if i < 0 {
			missing = append(missing, name)
			continue
		}
		if c.Topic != "" && !slices.Contains(list[i].Actions, c.Topic) {
			wrongTopic = append(wrongTopic, name)
		}
		if list[i].State == types.StateValueAlarm {
			r.warn(name+" is in state ALARM", "the service needs attention now", "docs/runbook.md#"+name)
		}
	}
	if len(missing) > 0 {
		r.wrong("missing: "+strings.Join(missing, ", "), "nobody is notified of these problems", repair)
	}
	if len(wrongTopic) > 0 {
		r.wrong("alarms without the stack's topic as their action: "+strings.Join(wrongTopic, ", "),
			"subscribers of the topic are not notified", repair)
	}
	topics := clients.Topics(ctx, list, r.formatError)
	for _, gap := range alarms.Unreceived(list, topics) {
		r.wrong(gap.Text, "an outage may go unnoticed", gap.Remedy)
	}
	var subscribers []string
	for _, al := range list {
		by, _ := al.Recipients(topics)
		subscribers = append(subscribers, by...)
	}
	if slices.Sort(subscribers); len(subscribers) > 0 && len(missing)+len(wrongTopic) == 0 {
		r.ok("%d alarms notify %s", len(list), strings.Join(slices.Compact(subscribers), ", "))
	}
	for _, t := range topics {
		c.topicKey(ctx, r, t.ARN)
	}
}

// topicKey checks that CloudWatch can use the encryption key of a topic; otherwise notifications are lost.
func (c Cloud) topicKey(ctx context.Context, r *report, topic string) {
	out, err := call(ctx, sns.NewFromConfig(c.AWS).GetTopicAttributes, &sns.GetTopicAttributesInput{TopicArn: &topic})
	if r.failed("the topic "+topic, err) {
		return
	}
	switch key := out.Attributes["KmsMasterKeyId"]; {
	case strings.HasSuffix(key, "alias/aws/sns"):
		r.wrong("the topic is encrypted with AWS's own key",
			"CloudWatch may not use it: nobody is notified of alarms", repair)
	case key != "":
		r.warn("the topic is encrypted with a KMS key", "the key's policy must allow cloudwatch.amazonaws.com",
			"imagery alarms test")
	}
}
