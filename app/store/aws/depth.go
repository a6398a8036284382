package aws

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// What follows is for operators, as in scan.go.

// Depth counts the messages that wait, those in flight, those that are delayed, and the dead letters, also those
// that somebody looks at. SQS counts over many hosts: the numbers are of about a minute ago.
func (b *Store) Depth(ctx context.Context) (visible, inFlight, delayed, dead int, err error) {
	if visible, inFlight, delayed, err = b.queue.depth(ctx); err != nil {
		return 0, 0, 0, 0, fmt.Errorf("count messages: %w", err)
	}
	waiting, looked, _, err := b.dead.depth(ctx)
	if err != nil && !errors.Is(err, errNoQueue) {
		return 0, 0, 0, 0, fmt.Errorf("count dead letters: %w", err)
	}
	return visible, inFlight, delayed, waiting + looked, nil
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
		name sqstypes.QueueAttributeName
		at   *int
	}{
		{sqstypes.QueueAttributeNameApproximateNumberOfMessages, &visible},
		{sqstypes.QueueAttributeNameApproximateNumberOfMessagesNotVisible, &inFlight},
		{sqstypes.QueueAttributeNameApproximateNumberOfMessagesDelayed, &delayed},
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
			continue // an emulator may not know delays
		}
		if *c.at, err = strconv.Atoi(text); err != nil {
			return 0, 0, 0, fmt.Errorf("%s of %s: %w", c.name, url, err)
		}
	}
	return visible, inFlight, delayed, nil
}

// ReleaseRecord reads the document with that attribute's name in the item of the release record; empty if nothing
// was ever rolled out.
func (b *Store) ReleaseRecord(ctx context.Context, attribute string) (document string, err error) {
	out, err := call(ctx, callBound, b.catalog.db.GetItem, &dynamodb.GetItemInput{
		TableName: &b.catalog.table, Key: item{"id": &types.AttributeValueMemberS{Value: releaseRecord}}, ConsistentRead: aws.Bool(true)})
	if err != nil {
		return "", fmt.Errorf("read the release record: %w", err)
	}
	r := reader{item: out.Item}
	document = r.text(attribute)
	if r.err != nil {
		return "", fmt.Errorf("read the release record: %w", r.err)
	}
	return document, nil
}
