package doctor

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sns"

	"imagery/app/admin/alarms"
	"imagery/app/deploy/settings"
)

// alarms looks whether each alarm is there, tells the topic, and is heard.
func (c Cloud) alarms(ctx context.Context, a *area) {
	clients := alarms.New(c.AWS)
	bounded, cancel := context.WithTimeout(ctx, 2*callBound)
	defer cancel()
	list, err := clients.List(bounded, c.Stack)
	if err != nil {
		a.failed("the alarms", err)
		return
	}
	var missing, elsewhere, ringing []string
	for _, name := range settings.Alarms {
		i := slices.IndexFunc(list, func(al alarms.Alarm) bool { return al.Name == name })
		switch {
		case i < 0:
			missing = append(missing, name)
			continue
		case c.Topic != "" && !slices.Contains(list[i].Actions, c.Topic):
			elsewhere = append(elsewhere, name)
		}
		if list[i].State == alarms.Ringing {
			ringing = append(ringing, name)
		}
	}
	if len(missing) > 0 {
		a.wrong("missing: "+strings.Join(missing, ", "), "nobody is told of what they watch", "pulumi up --refresh")
	}
	if len(elsewhere) > 0 {
		a.wrong("these do not tell the stack's topic: "+strings.Join(elsewhere, ", "), "whoever subscribed to it does not hear them", repair)
	}
	for _, name := range ringing {
		a.warn(name+" rings", "the service needs somebody now", "docs/runbook.md#"+name)
	}
	topics := clients.Topics(bounded, list, c.Say)
	if hearing := unheard(a, list, topics); hearing != "" && len(missing)+len(elsewhere) == 0 {
		a.ok("%d alarms are heard by %s", len(list), hearing)
	}
	for _, t := range topics {
		c.topicKey(ctx, a, t.ARN)
	}
}

// unheard says which alarms nobody hears, by the reason, and returns who hears the others.
func unheard(a *area, list []alarms.Alarm, topics []alarms.Topic) string {
	var reasons, hearing []string
	names := map[string][]string{}
	for _, al := range list {
		by, why := al.Heard(topics)
		if why == "" {
			for _, who := range by {
				if !slices.Contains(hearing, who) {
					hearing = append(hearing, who)
				}
			}
			continue
		}
		if names[why] == nil {
			reasons = append(reasons, why)
		}
		names[why] = append(names[why], al.Name)
	}
	for _, why := range reasons {
		which := strings.Join(names[why], ", ")
		if len(names[why]) == len(list) {
			which = "any alarm"
		}
		if alarms.Unknown(why) {
			a.wrong("who receives "+which+" is not known: "+why, "nobody may", "give your user the rights in docs/operating.md")
			continue
		}
		a.wrong("nobody will receive "+which+": "+why, "the service may be down all night", alarms.Remedy(why))
	}
	return strings.Join(hearing, ", ")
}

// topicKey looks for the key that keeps CloudWatch out: the alarms ring, and nothing arrives.
func (c Cloud) topicKey(ctx context.Context, a *area, topic string) {
	out, err := ask(ctx, sns.NewFromConfig(c.AWS).GetTopicAttributes, &sns.GetTopicAttributesInput{TopicArn: &topic})
	if err != nil {
		a.failed("the topic "+topic, err)
		return
	}
	switch key := out.Attributes["KmsMasterKeyId"]; {
	case strings.HasSuffix(key, "alias/aws/sns"):
		a.wrong("the topic is encrypted with AWS's own key", "CloudWatch may not use it: alarms ring and nobody is told", repair)
	case key != "":
		a.warn("the topic is encrypted with a key of KMS", "its policy must let cloudwatch.amazonaws.com use it", "imagery alarms test")
	}
}
