package aws_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"imagery/app/imagery"
	awsstore "imagery/app/store/aws"
	"imagery/app/testing/conformance"
	"imagery/app/testing/fakeaws"
	"imagery/app/testing/short"
)

// endpointVariable names a running endpoint, such as http://127.0.0.1:5000 for moto, or "aws" for AWS itself.
const endpointVariable = "IMAGERY_TEST_ENDPOINT"

// motoCannot lists the cases that moto does not pass, with the reason.
var motoCannot = map[string]string{
	"Catalog.Create: once, also for 16 at once":                          twoSteps,
	"Catalog.Move: of 16 at once exactly one wins":                       twoSteps,
	"Queue.Extend, Delete: a late receipt changes nothing (handed back)": oldReceipts,
	"Queue.Extend, Delete: a late receipt changes nothing (timed out)":   oldReceipts,
	"Queue.Extend: too late, though no other receiver has the message":   "moto extends messages that are visible",
	"DeadLetters: read and given back without end, deleted for good":     oldReceipts,
}

const (
	twoSteps    = "moto checks a condition and writes in two steps"
	oldReceipts = "moto accepts every receipt that a message ever had"
)

// TestConformance runs the suites of the ports against the emulators, and against a given endpoint, so that the
// emulators are compared with the real service.
func TestConformance(t *testing.T) {
	short.Skip(t, "the conformance suite on the AWS emulators")
	emulators := fakeaws.New()
	t.Cleanup(emulators.Close)
	targets := []conformance.Target{conforming("emulators", emulators)}
	t.Logf("emulators at %s", emulators.Endpoint)
	if endpoint := os.Getenv(endpointVariable); endpoint != "" {
		at, err := fakeaws.At(t.Context(), endpoint)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s at %s", endpointVariable, at.Endpoint)
		other := conforming("endpoint", at)
		if endpoint != fakeaws.RealAWS {
			other.NotRun = motoCannot
		}
		targets = append(targets, other)
	} else {
		t.Logf("%s is not set: no other endpoint", endpointVariable)
	}
	conformance.Run(t, targets...)
}

// conforming returns a target that creates a table, bucket or queue for each case.
func conforming(name string, at *fakeaws.Cloud) conformance.Target {
	return conformance.Target{
		Name:       name,
		Visibility: time.Second, // SQS counts in seconds
		Exact:      at.Endpoint != fakeaws.RealAWS,
		Catalog: func(t *testing.T, handles int) conformance.CatalogStorage {
			s := fakeaws.Stack{Table: unique()}
			setUp(t, at, s, at.NewTable(t.Context(), s.Table))
			storage := conformance.CatalogStorage{
				SetAttribute: func(id, name, value string) error { return setAttribute(at, s.Table, id, name, value) },
				Attribute: func(id, name string) (string, bool, error) {
					return attribute(at, s.Table, id, name)
				},
			}
			for range handles {
				storage.Handles = append(storage.Handles, open(t, at, s).Catalog())
			}
			return storage
		},
		Blobs: func(t *testing.T, handles int) (all []imagery.Blobs) {
			s := fakeaws.Stack{Bucket: unique()}
			setUp(t, at, s, at.NewBucket(t.Context(), s.Bucket))
			for range handles {
				all = append(all, open(t, at, s).Blobs())
			}
			return all
		},
		Queue: func(t *testing.T, handles int, limits imagery.Limits) (storage conformance.QueueStorage) {
			var s fakeaws.Stack
			var err error
			s.QueueURL, s.DLQURL, err = at.NewQueue(t.Context(), unique(), limits)
			setUp(t, at, s, err)
			s.DLQURL = "" // the adapters find it through the redrive policy
			for range handles {
				b := open(t, at, s)
				storage.Handles = append(storage.Handles, b.Queue())
				storage.DeadLetters = append(storage.DeadLetters, b.DeadLetters())
			}
			return storage
		},
	}
}

// unique returns a unique name that is valid for a bucket.
func unique() string { return fmt.Sprintf("imagery-test-%s", imagery.NewID()) }

func setUp(t *testing.T, at *fakeaws.Cloud, s fakeaws.Stack, err error) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := at.Remove(ctx, s); err != nil {
			t.Logf("left behind: %+v: %v", s, err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// open returns a Store with clients of its own, as another process would have.
func open(t *testing.T, at *fakeaws.Cloud, s fakeaws.Stack) *awsstore.Store {
	t.Helper()
	b, err := awsstore.Open(t.Context(), awsstore.Options{
		Table: s.Table, Bucket: s.Bucket, QueueURL: s.QueueURL, DLQURL: s.DLQURL,
		AWS: at.Config("test"), S3PathStyle: at.Endpoint != fakeaws.RealAWS})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func setAttribute(at *fakeaws.Cloud, table, id, name, value string) error {
	update := "SET #name = :value"
	_, err := at.DynamoDB().UpdateItem(context.Background(), &dynamodb.UpdateItemInput{
		TableName: &table, Key: key(id), UpdateExpression: &update,
		ExpressionAttributeNames:  map[string]string{"#name": name},
		ExpressionAttributeValues: map[string]types.AttributeValue{":value": text(value)},
	})
	return err
}

func attribute(at *fakeaws.Cloud, table, id, name string) (value string, ok bool, err error) {
	consistent := true
	out, err := at.DynamoDB().GetItem(context.Background(),
		&dynamodb.GetItemInput{TableName: &table, Key: key(id), ConsistentRead: &consistent})
	if err != nil {
		return "", false, err
	}
	switch v := out.Item[name].(type) {
	case *types.AttributeValueMemberS:
		return v.Value, true, nil
	case *types.AttributeValueMemberN:
		return v.Value, true, nil
	case nil:
		return "", false, nil
	default:
		return fmt.Sprintf("%#v", v), true, nil
	}
}

func key(id string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"id": text(id)}
}
