package fakeaws_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"

	"imagery/app/imagery"
	"imagery/app/testing/fakeaws"
	"imagery/app/testing/short"
)

type item = map[string]types.AttributeValue

func text(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func start(t *testing.T) (*fakeaws.Cloud, fakeaws.Stack) {
	return fakeaws.Start(t, imagery.Limits{Visibility: 30 * time.Second, MaxReceives: 3})
}

// TestInconsistentReadIsRefused: the product must ask for consistency whenever it reads an item.
func TestInconsistentReadIsRefused(t *testing.T) {
	at, stack := start(t)
	for _, consistent := range []bool{true, false} {
		_, err := at.DynamoDB().GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &stack.Table,
			Key: item{"id": text("x")}, ConsistentRead: &consistent})
		if (err == nil) != consistent {
			t.Errorf("consistent %t: %v", consistent, err)
		}
	}
}

// An index has keys only, knows no consistent read, and an item leaves it with its key attribute.
func TestIndexIsSparse(t *testing.T) {
	at, stack := start(t)
	db := at.DynamoDB()
	_, err := db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &stack.Table,
		Item: item{"id": text("x"), "pending": text("0"),
			"updated": &types.AttributeValueMemberN{Value: "999"}, "state": text("uploaded")}})
	must(t, err)
	query := &dynamodb.QueryInput{TableName: &stack.Table, IndexName: aws.String("pending-index"),
		KeyConditionExpression:    aws.String("pending = :p AND updated <= :u"),
		ExpressionAttributeValues: item{":p": text("0"), ":u": &types.AttributeValueMemberN{Value: "1000"}}}
	out, err := db.Query(t.Context(), query)
	must(t, err)
	if len(out.Items) != 1 || len(out.Items[0]) != 3 || len(out.LastEvaluatedKey) != 0 {
		t.Errorf("the index has %v, next %v", out.Items, out.LastEvaluatedKey)
	}
	_, err = db.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{TableName: &stack.Table, Key: item{"id": text("x")},
		UpdateExpression: aws.String("REMOVE pending")})
	must(t, err)
	if out, err = db.Query(t.Context(), query); err != nil || len(out.Items) != 0 {
		t.Errorf("the index has %v, %v", out.Items, err)
	}
	query.ConsistentRead = aws.Bool(true)
	if _, err := db.Query(t.Context(), query); err == nil {
		t.Error("an index was read consistently")
	}
}

// Each fault does what its name says, and is counted.
func TestFaults(t *testing.T) {
	for _, kind := range fakeaws.Kinds {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			at, stack := start(t)
			client := sqs.NewFromConfig(*at.Config("test"), func(o *sqs.Options) { o.Retryer = aws.NopRetryer{} })
			at.Proxy.Inject(func(fakeaws.Call) fakeaws.Fault {
				return fakeaws.Fault{Kind: kind, Delay: 900 * time.Millisecond}
			})
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			_, err := client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &stack.QueueURL, MessageBody: aws.String("x")})
			var api smithy.APIError
			answered := errors.As(err, &api)
			stored := len(at.Queues.Messages(stack.QueueURL))
			want := map[fakeaws.Kind]struct {
				ok, answered bool
				stored       int
			}{
				fakeaws.ServerError: {false, true, 0}, fakeaws.Throttled: {false, true, 0}, fakeaws.Denied: {false, true, 0},
				fakeaws.Expired: {false, true, 0}, fakeaws.NoResponse: {false, false, 0}, fakeaws.Reset: {false, false, 0},
				fakeaws.AnswerLost: {false, false, 1}, fakeaws.Twice: {true, false, 2}, fakeaws.Late: {true, false, 1},
			}[kind]
			if (err == nil) != want.ok || answered != want.answered || stored != want.stored {
				t.Errorf("%v, answered %v, %d messages stored", err, answered, stored)
			}
			if (ctx.Err() != nil) != (kind == fakeaws.NoResponse) {
				t.Errorf("the wait: %v", ctx.Err())
			}
			if n := at.Proxy.Injected(kind); n != 1 {
				t.Errorf("%d faults counted", n)
			}
			if kind == fakeaws.Late {
				at.Proxy.Inject(nil)
				out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &stack.QueueURL})
				if err != nil || len(out.Messages) != 0 {
					t.Errorf("a late message came at once: %v, %v", out, err)
				}
			}
		})
	}
}

// A hook can pick one call out of all: who made it, what it is about, the how-manieth it is.
func TestCallsAreTold(t *testing.T) {
	at, stack := start(t)
	at.Proxy.Clear()
	for _, caller := range []string{"server", "worker"} {
		client := sqs.NewFromConfig(*at.Config(caller))
		for range 2 {
			_, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &stack.QueueURL,
				MessageBody: aws.String("x")})
			must(t, err)
		}
	}
	for i, c := range at.Proxy.Calls() {
		want := fakeaws.Call{Caller: []string{"server", "worker"}[i/2], Service: "sqs", Operation: "SendMessage",
			QueueURL: stack.QueueURL, Ordinal: i%2 + 1}
		if c != want {
			t.Errorf("call %d is %+v, want %+v", i, c, want)
		}
	}
}

// Closing ends what is in flight, even a poll and a fault without end.
func TestCloseIsQuick(t *testing.T) {
	short.Skip(t, "closing with open requests")
	at := fakeaws.New()
	stack, err := at.NewStack(t.Context(), "closing", imagery.Limits{Visibility: time.Minute, MaxReceives: 1})
	must(t, err)
	arrived := make(chan struct{}, 2)
	at.Proxy.Inject(func(c fakeaws.Call) fakeaws.Fault {
		arrived <- struct{}{}
		if c.Service == "sqs" {
			return fakeaws.Fault{}
		}
		return fakeaws.Fault{Kind: fakeaws.NoResponse}
	})
	ended := make(chan error, 2)
	go func() {
		_, err := at.SQS().ReceiveMessage(context.Background(),
			&sqs.ReceiveMessageInput{QueueUrl: &stack.QueueURL, WaitTimeSeconds: 20})
		ended <- err
	}()
	go func() {
		_, err := at.DynamoDB().GetItem(context.Background(), &dynamodb.GetItemInput{TableName: &stack.Table,
			Key: item{"id": text("x")}})
		ended <- err
	}()
	<-arrived
	<-arrived
	begun := time.Now()
	at.Close()
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("closing took %s", took)
	}
	for range 2 {
		if err := <-ended; err == nil {
			t.Error("a call was answered")
		}
	}
}
