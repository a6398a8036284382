package aws

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
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

// attributes reads attributes of the queue. SQS takes up to a minute to apply changes, so callers may cache the result
// for a minute.
func (q *queue) attributes(ctx context.Context, names ...types.QueueAttributeName) (map[string]string, error) {
	url, err := q.url(ctx)
	if err != nil {
		return nil, err
	}
	if url == "" {
		return nil, errNoDeadLetterQueue
	}
	out, err := call(ctx, callBound, q.api.GetQueueAttributes,
		&sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: names})
	if err != nil {
		return nil, err
	}
	return out.Attributes, nil
}

// Limits implements imagery.Queue. It reads the queue's attributes at every call, which also proves that the queue is
// reachable. Options override them.
func (q *queue) Limits(ctx context.Context) (imagery.Limits, error) {
	const visibility = types.QueueAttributeNameVisibilityTimeout
	values, err := q.attributes(ctx, visibility, types.QueueAttributeNameRedrivePolicy)
	if err != nil {
		return imagery.Limits{}, err
	}
	seconds, err := strconv.Atoi(values[string(visibility)])
	if err != nil {
		return imagery.Limits{}, fmt.Errorf("visibility timeout of the queue: %w", err)
	}
	_, maxReceives, err := parseRedrive(values)
	if err != nil {
		return imagery.Limits{}, err
	}
	return imagery.Limits{Visibility: cmp.Or(q.visibility, time.Duration(seconds)*time.Second),
		MaxReceives: cmp.Or(q.maxReceives, maxReceives)}, nil
}

// parseRedrive decodes the redrive policy: after maxReceives deliveries a message moves to the dead-letter queue. Both
// are zero if there is none. Some tools write the count as a string, which AWS keeps.
func parseRedrive(values map[string]string) (deadLetterARN string, maxReceives int, err error) {
	policy := values[string(types.QueueAttributeNameRedrivePolicy)]
	if policy == "" {
		return "", 0, nil
	}
	var p struct {
		DeadLetterTargetARN string          `json:"deadLetterTargetArn"`
		MaxReceiveCount     json.RawMessage `json:"maxReceiveCount"`
	}
	if err = json.Unmarshal([]byte(policy), &p); err == nil {
		maxReceives, err = strconv.Atoi(strings.Trim(string(p.MaxReceiveCount), `"`))
	}
	if err != nil {
		return "", 0, fmt.Errorf("redrive policy of the queue: %w", err)
	}
	return p.DeadLetterTargetARN, maxReceives, nil
}

// deadLetterURL returns the URL of the dead-letter queue in the redrive policy, or the empty string if there is none.
// It caches the result until the process restarts, but not errors. Only the reconciler and commands of operators call
// it, so the lock delays no other work.
func (q *queue) deadLetterURL(ctx context.Context) (string, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.deadURL != nil {
		return *q.deadURL, nil
	}
	found, err := q.findDeadLetterURL(ctx)
	if err != nil {
		return "", fmt.Errorf("find the dead-letter queue: %w", err)
	}
	q.deadURL = &found
	return found, nil
}

// findDeadLetterURL derives the URL from the queue's own: both queues are always in the same region and account. Asking
// SQS (GetQueueUrl) would need one more permission.
func (q *queue) findDeadLetterURL(ctx context.Context) (string, error) {
	values, err := q.attributes(ctx, types.QueueAttributeNameRedrivePolicy)
	if err != nil {
		return "", err
	}
	arn, _, err := parseRedrive(values)
	if err != nil || arn == "" {
		return "", err
	}
	own, err := q.url(ctx)
	if err != nil {
		return "", err
	}
	return siblingURL(own, arn)
}

// siblingURL returns the URL of the queue with the given ARN, which has the same host as the queue URL own.
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

// Depth returns the approximate numbers of visible, in-flight and delayed messages, and of dead letters in any state.
// The numbers of SQS lag by about a minute. It is for operators, like the functions in scan.go.
func (s *Store) Depth(ctx context.Context) (visible, inFlight, delayed, dead int, err error) {
	counts, err := s.queue.depth(ctx)
	if err != nil {
		return 0, 0, 0, 0, fmt.Errorf("count messages: %w", err)
	}
	deadCounts, err := s.dead.depth(ctx)
	if err != nil && !errors.Is(err, errNoDeadLetterQueue) {
		return 0, 0, 0, 0, fmt.Errorf("count dead letters: %w", err)
	}
	return counts[0], counts[1], counts[2], deadCounts[0] + deadCounts[1], nil
}

var depthNames = [3]types.QueueAttributeName{types.QueueAttributeNameApproximateNumberOfMessages,
	types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
	types.QueueAttributeNameApproximateNumberOfMessagesDelayed}

// depth returns the numbers of visible, in-flight and delayed messages.
func (q *queue) depth(ctx context.Context) (counts [3]int, err error) {
	values, err := q.attributes(ctx, depthNames[:]...)
	if err != nil {
		return counts, err
	}
	for i, name := range depthNames {
		value, ok := values[string(name)]
		if !ok {
			continue // an emulator may not support delays
		}
		if counts[i], err = strconv.Atoi(value); err != nil {
			return counts, fmt.Errorf("%s of the queue: %w", name, err)
		}
	}
	return counts, nil
}
