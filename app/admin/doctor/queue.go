package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"imagery/app/deploy/settings"
)

// attributes of a queue as SQS writes them.
type attributes map[string]string

func (q attributes) seconds(name types.QueueAttributeName) time.Duration {
	n, _ := strconv.Atoi(q[string(name)])
	return time.Duration(n) * time.Second
}

// redrive is where a queue's messages go that were received too often. Some tools write the count as a string.
type redrive struct {
	Target string      `json:"deadLetterTargetArn"`
	Count  json.Number `json:"maxReceiveCount"`
}

// redriveOf reads the policy of a queue, false if it has none.
func redriveOf(q attributes) (r redrive, ok bool) {
	text := q[string(types.QueueAttributeNameRedrivePolicy)]
	return r, text != "" && json.Unmarshal([]byte(text), &r) == nil && r.Target != ""
}

func (r redrive) count() int {
	n, _ := strconv.Atoi(r.Count.String())
	return n
}

// queue holds both queues against what the code assumes.
func (c Cloud) queue(ctx context.Context, a *area) {
	s := c.Settings
	q := c.attributes(ctx, a, "the queue", s.QueueURL)
	if q == nil {
		return
	}
	visibility := q.seconds(types.QueueAttributeNameVisibilityTimeout)
	switch {
	case visibility < settings.JobBound:
		a.wrong(fmt.Sprintf("messages stay hidden for %s", visibility), fmt.Sprintf("a worker may hold one for %s: another one takes it meanwhile, and both work", settings.JobBound), repair)
	case visibility != settings.QueueVisibility:
		a.warn(fmt.Sprintf("messages stay hidden for %s, the program says %s", visibility, settings.QueueVisibility), "somebody changed it by hand", repair)
	default:
		a.ok("messages stay hidden for %s", visibility)
	}
	encrypted(a, "the queue", q)
	r, ok := redriveOf(q)
	if !ok {
		a.wrong("the queue has no dead-letter queue", "a message that kills its worker comes back until it expires, and nobody hears of it", repair)
		return
	}
	switch span := visibility * time.Duration(r.count()); {
	case visibility < settings.JobBound: // said above
	case span < s.Outage:
		a.wrong(fmt.Sprintf("%d receives, %s apart, last %s", r.count(), visibility, span), fmt.Sprintf("an outage of %s fails good photos", s.Outage), repair)
	case r.count() != settings.QueueMaxReceives:
		a.warn(fmt.Sprintf("a message is received %d times, the program says %d", r.count(), settings.QueueMaxReceives), "somebody changed it by hand", repair)
	default:
		a.ok("%d receives outlive an outage of %s", r.count(), s.Outage)
	}
	c.deadLetters(ctx, a, q, r)
}

// deadLetters looks at the queue behind the queue.
func (c Cloud) deadLetters(ctx context.Context, a *area, q attributes, r redrive) {
	at := c.Settings.DLQURL
	if at == "" {
		at = sibling(c.Settings.QueueURL, r.Target)
	}
	d := c.attributes(ctx, a, "the dead-letter queue", at)
	if d == nil {
		return
	}
	if arn := d[string(types.QueueAttributeNameQueueArn)]; arn != r.Target {
		a.wrong("dead letters go to "+r.Target, "the verbs and the alarm look at "+arn, "look at -dlq-url, or: "+repair)
	}
	keeps, source := d.seconds(types.QueueAttributeNameMessageRetentionPeriod), q.seconds(types.QueueAttributeNameMessageRetentionPeriod)
	if keeps <= source {
		a.wrong(fmt.Sprintf("dead letters are kept for %s, messages for %s", days(keeps), days(source)),
			"a letter keeps the age of its first send: one that waited long is gone at once", repair)
	} else {
		a.ok("dead letters are kept for %s, messages for %s", days(keeps), days(source))
	}
	encrypted(a, "the dead-letter queue", d)
	var allow struct {
		Permission string   `json:"redrivePermission"`
		Sources    []string `json:"sourceQueueArns"`
	}
	if text := d[string(types.QueueAttributeNameRedriveAllowPolicy)]; text != "" && json.Unmarshal([]byte(text), &allow) == nil {
		own := q[string(types.QueueAttributeNameQueueArn)]
		if allow.Permission == "denyAll" || allow.Permission == "byQueue" && !slices.Contains(allow.Sources, own) {
			a.wrong("the dead-letter queue takes nothing from the queue", "a message that was received too often comes back for ever", repair)
		}
	}
	if n := d[string(types.QueueAttributeNameApproximateNumberOfMessages)]; n != "" && n != "0" {
		a.warn(n+" dead letters wait for a person", "their photos are late or failed", "imagery dlq ls; docs/runbook.md#dead-letters")
	}
}

// attributes reads all of a queue; nil after a finding.
func (c Cloud) attributes(ctx context.Context, a *area, what, at string) attributes {
	out, err := ask(ctx, c.queues.GetQueueAttributes, &sqs.GetQueueAttributesInput{QueueUrl: &at, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if gone(err) {
		a.wrong("there is no queue "+at, what+" is named wrong, or was deleted", "look at the URL and the region, or: pulumi up")
		return nil
	}
	if err != nil {
		a.failed(what, err)
		return nil
	}
	return out.Attributes
}

// encrypted wants SQS's own key: for one of KMS the roles have no rights.
func encrypted(a *area, what string, q attributes) {
	if key := q[string(types.QueueAttributeNameKmsMasterKeyId)]; key != "" {
		a.warn(what+" is encrypted with a key of KMS", "the roles have no right to use it, unless somebody gave it to them", repair)
	} else if q[string(types.QueueAttributeNameSqsManagedSseEnabled)] != "true" {
		a.warn(what+" is not encrypted", "ids of images lie in the clear", repair)
	}
}

// sibling is the URL of the queue with that ARN; it has the host and the account of the one in front of it.
func sibling(own, arn string) string {
	u, err := url.Parse(own)
	if err != nil {
		return own
	}
	u.Path = path.Join(path.Dir(u.Path), arn[strings.LastIndexByte(arn, ':')+1:])
	return u.String()
}

func days(d time.Duration) string {
	if d%(24*time.Hour) != 0 {
		return d.String()
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}
