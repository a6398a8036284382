package doctor

import (
	"cmp"
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

// queues are the queue of hints and its dead-letter queue.
type queues struct {
	source, dead queue
	redrive      redrive
}

// queue is a queue with its attributes, or the error of reading them. The URL is empty if it is not known.
type queue struct {
	url        string
	attributes attributes
	err        error
}

// attributes of a queue by name, in the text form of SQS.
type attributes map[string]string

func (a attributes) get(name types.QueueAttributeName) string { return a[string(name)] }

func (a attributes) seconds(name types.QueueAttributeName) time.Duration {
	n, _ := strconv.Atoi(a.get(name))
	return time.Duration(n) * time.Second
}

// redrive is the redrive policy of a queue. Some tools write the count as a string.
type redrive struct {
	Target string      `json:"deadLetterTargetArn"` // empty if the queue has no policy
	Count  json.Number `json:"maxReceiveCount"`
}

// readQueues reads the attributes of both queues. If the settings do not name the dead-letter queue, its URL is derived
// from the redrive policy.
func (c Cloud) readQueues(ctx context.Context) (q queues) {
	q.source = c.readQueue(ctx, c.Settings.QueueURL)
	if json.Unmarshal([]byte(q.source.attributes.get(types.QueueAttributeNameRedrivePolicy)), &q.redrive) != nil {
		q.redrive = redrive{}
	}
	q.dead = c.readQueue(ctx, cmp.Or(c.Settings.DLQURL, siblingURL(q.source.url, q.redrive.Target)))
	return q
}

func (c Cloud) readQueue(ctx context.Context, url string) queue {
	if url == "" {
		return queue{}
	}
	all := []types.QueueAttributeName{types.QueueAttributeNameAll}
	out, err := call(ctx, c.sqs.GetQueueAttributes, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: all})
	if err != nil {
		return queue{url: url, err: err}
	}
	return queue{url: url, attributes: out.Attributes}
}

// siblingURL returns the URL of the queue with that ARN, in the same account as the queue with that URL. It returns ""
// without an ARN.
func siblingURL(queueURL, arn string) string {
	u, err := url.Parse(queueURL)
	if err != nil || arn == "" {
		return ""
	}
	u.Path = path.Join(path.Dir(u.Path), arn[strings.LastIndexByte(arn, ':')+1:])
	return u.String()
}

// queue checks the configuration of both queues.
func (c Cloud) queue(_ context.Context, r *report) {
	q := c.queues()
	if !r.exists("the queue", q.source) {
		return
	}
	visibility := q.source.attributes.seconds(types.QueueAttributeNameVisibilityTimeout)
	receives, _ := strconv.Atoi(q.redrive.Count.String())
	switch {
	case visibility < settings.JobTimeout:
		r.wrong(fmt.Sprintf("the visibility timeout is %s", visibility), fmt.Sprintf(
			"a job may take %s; meanwhile another worker receives its message, and both process it", settings.JobTimeout),
			repair)
	case visibility != settings.QueueVisibility:
		r.warn(fmt.Sprintf("the visibility timeout is %s, the program sets %s", visibility, settings.QueueVisibility),
			"it was changed by hand", repair)
	default:
		r.ok("the visibility timeout is %s", visibility)
	}
	r.encryption("the queue", q.source.attributes)
	if q.redrive.Target == "" {
		r.wrong("the queue has no dead-letter queue",
			"a message that crashes workers is received until it expires, without an alarm", repair)
		return
	}
	switch span := visibility * time.Duration(receives); {
	case visibility < settings.JobTimeout: // reported above
	case span < c.Settings.Outage:
		r.wrong(fmt.Sprintf("%d receives with a visibility timeout of %s last %s", receives, visibility, span),
			fmt.Sprintf("an outage of %s makes good photos fail", c.Settings.Outage), repair)
	case receives != settings.QueueMaxReceives:
		r.warn(fmt.Sprintf("a message is received %d times, the program sets %d", receives, settings.QueueMaxReceives),
			"it was changed by hand", repair)
	default:
		r.ok("%d receives last longer than an outage of %s", receives, c.Settings.Outage)
	}
	if r.exists("the dead-letter queue", q.dead) {
		r.deadLetters(q.redrive.Target, q.source.attributes, q.dead.attributes)
	}
}

// deadLetters checks the configuration of the dead-letter queue. Target is its ARN in the redrive policy.
func (r *report) deadLetters(target string, source, dead attributes) {
	if arn := dead.get(types.QueueAttributeNameQueueArn); arn != target {
		r.wrong("dead letters go to "+target, "the commands and the alarm use "+arn, "check -dlq-url, or: "+repair)
	}
	deadLetters := dead.seconds(types.QueueAttributeNameMessageRetentionPeriod)
	messages := source.seconds(types.QueueAttributeNameMessageRetentionPeriod)
	text := fmt.Sprintf("dead letters are kept for %s, messages for %s", days(deadLetters), days(messages))
	if deadLetters <= messages {
		r.wrong(text, "retention counts from the first send: a message that waited long is deleted at once", repair)
	} else {
		r.ok("%s", text)
	}
	r.encryption("the dead-letter queue", dead)
	var allow struct {
		Permission string   `json:"redrivePermission"`
		Sources    []string `json:"sourceQueueArns"`
	}
	// Without a policy every queue may send its dead letters.
	_ = json.Unmarshal([]byte(dead.get(types.QueueAttributeNameRedriveAllowPolicy)), &allow)
	own := source.get(types.QueueAttributeNameQueueArn)
	if allow.Permission == "denyAll" || allow.Permission == "byQueue" && !slices.Contains(allow.Sources, own) {
		r.wrong("the dead-letter queue rejects messages of the queue",
			"a message that was received too often is received for ever", repair)
	}
	if n := dead.get(types.QueueAttributeNameApproximateNumberOfMessages); n != "" && n != "0" {
		r.warn(n+" messages are in the dead-letter queue", "their photos are late or failed",
			"imagery dlq ls; docs/runbook.md#dead-letters")
	}
}

// exists reports a queue whose attributes could not be read, and returns whether they could.
func (r *report) exists(name string, q queue) bool {
	if hasCode(q.err, "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue") {
		r.wrong("there is no queue "+q.url, name+" has another name, or was deleted",
			"check the URL and the region, or: pulumi up")
	} else {
		r.failed(name, q.err)
	}
	return q.attributes != nil
}

// encryption checks that a queue is encrypted with a key of SQS, since the roles have no permission for KMS keys.
func (r *report) encryption(name string, a attributes) {
	if a.get(types.QueueAttributeNameKmsMasterKeyId) != "" {
		r.warn(name+" is encrypted with a KMS key", "the roles may not use it, unless that was granted by hand", repair)
	} else if a.get(types.QueueAttributeNameSqsManagedSseEnabled) != "true" {
		r.warn(name+" is not encrypted", "ids of images are stored in plain text", repair)
	}
}

func days(d time.Duration) string {
	if d%(24*time.Hour) != 0 {
		return d.String()
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}
