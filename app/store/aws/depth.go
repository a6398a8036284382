package aws

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Depth and ReleaseRecord are for operators, like the functions in scan.go.

// Depth returns the approximate numbers of visible, in-flight and delayed messages, and of dead letters in any state.
// The numbers of SQS lag by about a minute.
func (s *Store) Depth(ctx context.Context) (visible, inFlight, delayed, dead int, err error) {
	if visible, inFlight, delayed, err = s.queue.depth(ctx); err != nil {
		return 0, 0, 0, 0, fmt.Errorf("count messages: %w", err)
	}
	visibleDead, inFlightDead, _, err := s.dead.depth(ctx)
	if err != nil && !errors.Is(err, errNoQueue) {
		return 0, 0, 0, 0, fmt.Errorf("count dead letters: %w", err)
	}
	return visible, inFlight, delayed, visibleDead + inFlightDead, nil
}

func (q *queue) depth(ctx context.Context) (visible, inFlight, delayed int, err error) {
	url, err := q.url(ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	if url == "" {
		return 0, 0, 0, errNoQueue
	}
	counts := []struct {
		name types.QueueAttributeName
		at   *int
	}{
		{types.QueueAttributeNameApproximateNumberOfMessages, &visible},
		{types.QueueAttributeNameApproximateNumberOfMessagesNotVisible, &inFlight},
		{types.QueueAttributeNameApproximateNumberOfMessagesDelayed, &delayed},
	}
	in := &sqs.GetQueueAttributesInput{QueueUrl: &url}
	for _, c := range counts {
		in.AttributeNames = append(in.AttributeNames, c.name)
	}
	out, err := call(ctx, callBound, q.api.GetQueueAttributes, in)
	if err != nil {
		return 0, 0, 0, err
	}
	for _, c := range counts {
		text, ok := out.Attributes[string(c.name)]
		if !ok {
			continue // an emulator may not support delays
		}
		if *c.at, err = strconv.Atoi(text); err != nil {
			return 0, 0, 0, fmt.Errorf("%s of %s: %w", c.name, url, err)
		}
	}
	return visible, inFlight, delayed, nil
}

// ReleaseRecord returns the given attribute of the release record's item, or the empty string before the first rollout.
func (s *Store) ReleaseRecord(ctx context.Context, attribute string) (document string, err error) {
	it, err := s.catalog.get(ctx, releaseRecord)
	r := reader{item: it, err: err}
	if document = r.text(attribute); r.err != nil {
		return "", fmt.Errorf("read the release record: %w", r.err)
	}
	return document, nil
}
