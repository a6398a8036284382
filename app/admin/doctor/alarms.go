package doctor

import (
	"context"
	"slices"
	"strings"

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
	if err != nil {
		r.failed("the alarms", err)
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
		if list[i].State == alarms.Ringing {
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
	if subscribers := r.subscribers(list, topics); subscribers != "" && len(missing)+len(wrongTopic) == 0 {
		r.ok("%d alarms notify %s", len(list), subscribers)
	}
	for _, t := range topics {
		c.topicKey(ctx, r, t.ARN)
	}
}

// subscribers reports the alarms of which nobody is notified, grouped by reason, and returns the subscribers of the
// others.
func (r *report) subscribers(list []alarms.Alarm, topics []alarms.Topic) string {
	var reasons, subscribers []string
	names := map[string][]string{} // of alarms, by reason
	for _, al := range list {
		by, reason := al.Heard(topics)
		if reason == "" {
			subscribers = append(subscribers, by...)
			continue
		}
		if names[reason] == nil {
			reasons = append(reasons, reason)
		}
		names[reason] = append(names[reason], al.Name)
	}
	for _, reason := range reasons {
		which := strings.Join(names[reason], ", ")
		if len(names[reason]) == len(list) {
			which = "any alarm"
		}
		if alarms.Unknown(reason) {
			r.wrong("it is unknown who is notified of "+which+": "+reason, "possibly nobody",
				"grant your user the permissions in docs/operating.md")
			continue
		}
		r.wrong("nobody will receive "+which+": "+reason, "an outage may go unnoticed", alarms.Remedy(reason))
	}
	slices.Sort(subscribers)
	return strings.Join(slices.Compact(subscribers), ", ")
}

// topicKey checks that CloudWatch can use the encryption key of a topic; otherwise notifications are lost.
func (c Cloud) topicKey(ctx context.Context, r *report, topic string) {
	out, err := call(ctx, sns.NewFromConfig(c.AWS).GetTopicAttributes, &sns.GetTopicAttributesInput{TopicArn: &topic})
	if err != nil {
		r.failed("the topic "+topic, err)
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
