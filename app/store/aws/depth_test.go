package aws_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"imagery/app/imagery"
	"imagery/app/testing/fakeaws"
)

// Every message is counted once; without a dead-letter queue there are no dead letters.
func TestDepth(t *testing.T) {
	t.Parallel()
	at, stack, b := started(t)
	want := func(visible, inFlight, dead int) {
		t.Helper()
		if v, f, d, l, err := b.Depth(t.Context()); err != nil || v != visible || f != inFlight || d != 0 || l != dead {
			t.Errorf("%d visible, %d in flight, %d delayed, %d dead letters, %v; want %d, %d, 0, %d", v, f, d, l, err, visible,
				inFlight, dead)
		}
	}
	want(0, 0, 0)
	for range 3 {
		must(t, b.Queue().Send(t.Context(), []byte("{}"), ""))
	}
	for range 2 {
		must(t, b.DeadLetters().Send(t.Context(), []byte("{}"), ""))
	}
	if ms, err := b.Queue().Receive(t.Context(), 1, 0); err != nil || len(ms) != 1 {
		t.Fatal(ms, err)
	}
	if ms, err := b.DeadLetters().Receive(t.Context(), 1, 0); err != nil || len(ms) != 1 {
		t.Fatal(ms, err)
	}
	want(2, 1, 2)

	url, _, err := at.NewQueue(t.Context(), "alone", imagery.Limits{Visibility: time.Second})
	must(t, err)
	alone := open(t, at, fakeaws.Stack{Table: stack.Table, Bucket: stack.Bucket, QueueURL: url})
	if _, _, _, dead, err := alone.Depth(t.Context()); err != nil || dead != 0 {
		t.Errorf("without a dead-letter queue: %d, %v", dead, err)
	}
	at.Proxy.Inject(always(fakeaws.Denied))
	if _, _, _, _, err := b.Depth(t.Context()); err == nil || !strings.Contains(err.Error(), "count messages") {
		t.Errorf("without permission: %v", err)
	}
}

func TestReleaseRecord(t *testing.T) {
	t.Parallel()
	at, stack, b := started(t)
	if document, err := b.ReleaseRecord(t.Context(), "record"); err != nil || document != "" {
		t.Errorf("before the first: %q, %v", document, err)
	}
	for value, want := range map[types.AttributeValue]string{
		&types.AttributeValueMemberS{Value: "{}"}: "{}",
		&types.AttributeValueMemberN{Value: "7"}:  "read the release record",
	} {
		item := map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: "rollout"}, "record": value}
		_, err := at.DynamoDB().PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(stack.Table), Item: item})
		must(t, err)
		if document, err := b.ReleaseRecord(t.Context(), "record"); document != want &&
			(err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q, %v; want %q", document, err, want)
		}
	}
	at.Proxy.Inject(always(fakeaws.Denied))
	if _, err := b.ReleaseRecord(t.Context(), "record"); err == nil {
		t.Error("it succeeded without permission")
	}
}
