package aws_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"imagery/app/admin/fsck"
	"imagery/app/deploy/iam"
	"imagery/app/deploy/record"
	"imagery/app/imagery"
	awsstore "imagery/app/store/aws"
	"imagery/app/testing/fakeaws"
)

// operate opens a stack with the credentials of an operator.
func operate(t *testing.T) (b *awsstore.Store, stack fakeaws.Stack, at *fakeaws.Cloud) {
	t.Helper()
	at, stack = fakeaws.Start(t, someLimits)
	b, err := awsstore.Open(t.Context(),
		awsstore.Options{Table: stack.Table, Bucket: stack.Bucket, QueueURL: stack.QueueURL, AWS: at.Config("operator")})
	must(t, err)
	return b, stack, at
}

func TestScanReturnsImagesOnly(t *testing.T) {
	t.Parallel()
	b, stack, _ := operate(t)
	want := map[string]bool{}
	for range 7 {
		img := newImage()
		must(t, b.Catalog().Create(t.Context(), img, time.Now()))
		want[img.ID] = true
	}
	held, err := b.Catalog().Lease(t.Context(), "lease", "holder", time.Now(), time.Now().Add(time.Hour))
	if err != nil || !held {
		t.Fatal(held, err)
	}
	// The release record is not an image either, for Scan and for the checker, which reads the table with its own code.
	tables, objects := b.Clients()
	_, err = tables.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &stack.Table,
		Item: map[string]types.AttributeValue{
			record.AttributeID:       &types.AttributeValueMemberS{Value: record.ID},
			record.AttributeVersion:  &types.AttributeValueMemberN{Value: "1"},
			record.AttributeDocument: &types.AttributeValueMemberS{Value: "{}"}}})
	must(t, err)
	if seen, err := fsck.AWS(t.Context(), tables, objects, stack.Table, stack.Bucket, false); err != nil ||
		len(seen.Items) != len(want) {
		t.Errorf("the checker sees %d items, %v", len(seen.Items), err)
	}
	must(t, b.Scan(t.Context(), func(img imagery.Image) error {
		if !want[img.ID] || img.State != imagery.Created {
			t.Errorf("%+v", img)
		}
		delete(want, img.ID)
		return nil
	}))
	if len(want) > 0 {
		t.Errorf("not seen: %v", want)
	}
	enough := errors.New("enough")
	if err := b.Scan(t.Context(), func(imagery.Image) error { return enough }); err != enough {
		t.Errorf("a scan that was stopped: %v", err)
	}
}

// A missing object, a missing bucket and a missing permission return different errors.
func TestFind(t *testing.T) {
	t.Parallel()
	b, stack, at := operate(t)
	key := imagery.RawKey(newImage().ID, "hash")
	must(t, put(t, b, key+"-longer", []byte("x")))
	if err := b.Find(t.Context(), key); !errors.Is(err, imagery.ErrNotFound) {
		t.Errorf("a missing object: %v", err)
	}
	must(t, put(t, b, key, []byte("x")))
	must(t, b.Find(t.Context(), key))
	elsewhere, err := awsstore.Open(t.Context(),
		awsstore.Options{Table: stack.Table, Bucket: "elsewhere", QueueURL: stack.QueueURL, AWS: at.Config("operator")})
	must(t, err)
	if err := elsewhere.Find(t.Context(), key); err == nil || errors.Is(err, imagery.ErrNotFound) {
		t.Errorf("a missing bucket: %v", err)
	}
	at.Proxy.Inject(func(fakeaws.Call) fakeaws.Fault { return fakeaws.Fault{Kind: fakeaws.Denied} })
	if err := b.Find(t.Context(), key); !errors.Is(err, imagery.ErrDenied) {
		t.Errorf("a missing permission: %v", err)
	}
}

func TestRemoveObjectKeepsNewObjects(t *testing.T) {
	t.Parallel()
	b, stack, at := operate(t)
	key := imagery.RawKey(newImage().ID, "hash")
	remove := func(before time.Time, want bool) {
		t.Helper()
		if removed, err := b.RemoveObject(context.Background(), key, before); err != nil || removed != want {
			t.Errorf("removed: %t, %v; want %t", removed, err, want)
		}
	}
	remove(time.Now(), false)
	must(t, put(t, b, key, []byte("x")))
	remove(time.Now().Add(-time.Hour), false)
	must(t, b.Find(t.Context(), key))
	remove(time.Now().Add(time.Hour), true)
	if err := b.Find(t.Context(), key); !errors.Is(err, imagery.ErrNotFound) {
		t.Errorf("afterwards: %v", err)
	}
	// This uses two permissions of the operator and no others.
	allowed := slices.DeleteFunc(slices.Clone(iam.Operator), func(c iam.Action) bool {
		return c.Operation != "ListObjectsV2" && (c.Operation != "DeleteObject" || c.Resource != iam.Originals)
	})
	calls := slices.DeleteFunc(at.Proxy.Calls(),
		func(c fakeaws.Call) bool { return strings.HasPrefix(c.Operation, "Put") || c.Caller != "operator" })
	for _, problem := range stack.Compare(allowed, calls) {
		t.Error(problem)
	}
}
