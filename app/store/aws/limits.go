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

// Limits asks the queue each time, which also proves that it answers. What the options say goes first.
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

// redrive is where messages go that were received too often.
type redrive struct {
	deadLetterARN string
	maxReceives   int
}

// attributes reads the queue's visibility timeout and redrive policy; the latter is zero if it has none. SQS needs
// up to a minute to make a change of them known, so callers may keep the answer as long as that.
func (q *queue) attributes(ctx context.Context) (time.Duration, redrive, error) {
	url, err := q.url(ctx)
	if err != nil {
		return 0, redrive{}, err
	}
	if url == "" {
		return 0, redrive{}, errNoQueue
	}
	out, err := call(ctx, callBound, q.api.GetQueueAttributes, &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameVisibilityTimeout, types.QueueAttributeNameRedrivePolicy},
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

// parseRedrive reads a policy. Some tools write the count as a string, and AWS keeps it as it was written.
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

// deadLetterURL finds the dead letters through the queue's redrive policy, and keeps them once found: another
// queue in their place is another deployment. Failures are not kept. Only the reconciler calls, so that nobody
// waits for the lock but another one who needs the answer.
func (q *queue) deadLetterURL(ctx context.Context) (string, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.dead != nil {
		return *q.dead, nil
	}
	_, r, err := q.attributes(ctx)
	if err != nil {
		return "", fmt.Errorf("find the dead letters: %w", err)
	}
	found := ""
	if r.deadLetterARN != "" {
		own, err := q.url(ctx)
		if err != nil {
			return "", err
		}
		if found, err = siblingURL(own, r.deadLetterARN); err != nil {
			return "", fmt.Errorf("find the dead letters: %w", err)
		}
	}
	q.dead = &found
	return found, nil
}

// siblingURL is the URL of the queue with that ARN, given the URL of another one. SQS wants dead letters to be
// in the queue's own region and account, so host and path differ in the name only; asking SQS would need
// another right.
func siblingURL(own, arn string) (string, error) {
	parts := strings.Split(arn, ":") // arn:aws:sqs:region:account:name
	if len(parts) != 6 {
		return "", fmt.Errorf("%q is no ARN of a queue", arn)
	}
	u, err := url.Parse(own)
	if err != nil {
		return "", err
	}
	u.Path = path.Join(path.Dir(path.Dir(u.Path)), parts[4], parts[5])
	return u.String(), nil
}
