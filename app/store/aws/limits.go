package aws

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"imagery/app/imagery"
)

// Limits implements imagery.Queue. It reads the queue's attributes at every call, which also proves that the queue is
// reachable. Options override them.
func (q *queue) Limits(ctx context.Context) (imagery.Limits, error) {
	visibility, redrive, err := q.attributes(ctx)
	if err != nil {
		return imagery.Limits{}, err
	}
	limits := imagery.Limits{Visibility: q.visibility, MaxReceives: q.maxReceives}
	if limits.Visibility == 0 {
		limits.Visibility = visibility
	}
	if limits.MaxReceives == 0 {
		limits.MaxReceives = redrive.maxReceives
	}
	return limits, nil
}

// redrive is a redrive policy: after maxReceives deliveries a message moves to the dead-letter queue.
type redrive struct {
	deadLetterARN string
	maxReceives   int
}

// attributes reads the queue's visibility timeout and redrive policy; the policy is zero if there is none. SQS takes up
// to a minute to apply changes, so callers may cache the result for a minute.
func (q *queue) attributes(ctx context.Context) (time.Duration, redrive, error) {
	url, err := q.url(ctx)
	if err != nil {
		return 0, redrive{}, err
	}
	if url == "" {
		return 0, redrive{}, errNoQueue
	}
	out, err := call(ctx, callBound, q.api.GetQueueAttributes, &sqs.GetQueueAttributesInput{
		QueueUrl: &url,
		AttributeNames: []types.QueueAttributeName{
			types.QueueAttributeNameVisibilityTimeout, types.QueueAttributeNameRedrivePolicy,
		},
	})
	if err != nil {
		return 0, redrive{}, err
	}
	seconds, err := strconv.Atoi(out.Attributes[string(types.QueueAttributeNameVisibilityTimeout)])
	if err != nil {
		return 0, redrive{}, fmt.Errorf("visibility timeout of %s: %w", url, err)
	}
	r, err := parseRedrive(out.Attributes[string(types.QueueAttributeNameRedrivePolicy)])
	if err != nil {
		return 0, redrive{}, fmt.Errorf("redrive policy of %s: %w", url, err)
	}
	return time.Duration(seconds) * time.Second, r, nil
}

// parseRedrive decodes a redrive policy. Some tools write the count as a string, which AWS keeps.
func parseRedrive(policy string) (redrive, error) {
	if policy == "" {
		return redrive{}, nil
	}
	var p struct {
		DeadLetterTargetARN string          `json:"deadLetterTargetArn"`
		MaxReceiveCount     json.RawMessage `json:"maxReceiveCount"`
	}
	if err := json.Unmarshal([]byte(policy), &p); err != nil {
		return redrive{}, err
	}
	n, err := strconv.Atoi(strings.Trim(string(p.MaxReceiveCount), `"`))
	return redrive{p.DeadLetterTargetARN, n}, err
}

// deadLetterURL returns the URL of the dead-letter queue in the redrive policy, or the empty string if there is none.
// It caches the result, but not errors: another dead-letter queue needs a restart. Only the reconciler calls it, so the
// lock delays no other work.
func (q *queue) deadLetterURL(ctx context.Context) (string, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.dead != nil {
		return *q.dead, nil
	}
	_, r, err := q.attributes(ctx)
	if err != nil {
		return "", fmt.Errorf("find the dead-letter queue: %w", err)
	}
	found := ""
	if r.deadLetterARN != "" {
		own, err := q.url(ctx)
		if err != nil {
			return "", err
		}
		if found, err = siblingURL(own, r.deadLetterARN); err != nil {
			return "", fmt.Errorf("find the dead-letter queue: %w", err)
		}
	}
	q.dead = &found
	return found, nil
}

// siblingURL returns the URL of the queue with that ARN, derived from the URL own of another queue. A dead-letter queue
// is always in the region and account of its source queue. Asking SQS (GetQueueUrl) would need one more permission.
func siblingURL(own, arn string) (string, error) {
	parts := strings.Split(arn, ":") // arn:aws:sqs:region:account:name
	if len(parts) != 6 {
		return "", fmt.Errorf("%q is not the ARN of a queue", arn)
	}
	u, err := url.Parse(own)
	if err != nil {
		return "", err
	}
	u.Path = path.Join(path.Dir(path.Dir(u.Path)), parts[4], parts[5])
	return u.String(), nil
}
