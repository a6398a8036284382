package fsck

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"imagery/app/deploy/iam"
)

// These are the ids of rows that are no images: leases begin with the one, the record of releases has the other.
const (
	leasePrefix   = "lease-"
	releaseRecord = "rollout"
)

// AWS reads a table and a bucket, in full: dynamodb:Scan, s3:ListBucket and, with hashes, s3:GetObject of all
// objects are an operator's rights, of no role. A queue cannot be listed, so the snapshot has no messages.
// What a selftest left is passed over, and so are leases and the record of releases.
func AWS(ctx context.Context, tables *dynamodb.Client, objects *s3.Client, table, bucket string, hashes bool) (Snapshot, error) {
	s := Snapshot{Objects: map[string]string{}, Stored: map[string]time.Time{}, NoMessages: true}
	// The items first: an object is put before an item names it, so what an item names must be listed later.
	if err := s.scan(ctx, tables, table); err != nil {
		return s, err
	}
	// A paginator of the SDK would link every operation of the service into each instance's binary.
	in := &s3.ListObjectsV2Input{Bucket: &bucket}
	for more := true; more; more = in.ContinuationToken != nil {
		page, err := objects.ListObjectsV2(ctx, in)
		if err != nil {
			return s, fmt.Errorf("list bucket %s: %w", bucket, err)
		}
		in.ContinuationToken = page.NextContinuationToken
		for _, o := range page.Contents {
			if strings.HasPrefix(*o.Key, "selftest/") {
				continue
			}
			if o.LastModified != nil {
				s.Stored[*o.Key] = *o.LastModified
			}
			if s.Objects[*o.Key] = ""; hashes {
				if s.Objects[*o.Key], err = hashObject(ctx, objects, bucket, *o.Key); err != nil {
					return s, err
				}
			}
		}
	}
	return s, nil
}

// scan reads the items of a table.
func (s *Snapshot) scan(ctx context.Context, tables *dynamodb.Client, table string) error {
	in := &dynamodb.ScanInput{TableName: &table, ConsistentRead: new(true)}
	for more := true; more; more = len(in.ExclusiveStartKey) > 0 {
		page, err := tables.Scan(ctx, in)
		if err != nil {
			return fmt.Errorf("scan table %s: %w", table, err)
		}
		in.ExclusiveStartKey = page.LastEvaluatedKey
		for _, attributes := range page.Items {
			var i Item
			data, err := json.Marshal(plain(&types.AttributeValueMemberM{Value: attributes}))
			if err = errors.Join(err, json.Unmarshal(data, &i)); err != nil {
				return fmt.Errorf("item %s: %w", data, err)
			}
			if !strings.HasPrefix(i.ID, iam.SelftestIDPrefix) && !strings.HasPrefix(i.ID, leasePrefix) && i.ID != releaseRecord {
				s.Items = append(s.Items, i)
			}
		}
	}
	return nil
}

func hashObject(ctx context.Context, objects *s3.Client, bucket, key string) (sum string, err error) {
	out, err := objects.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return "", fmt.Errorf("read %s: %w", key, err)
	}
	defer func() { err = errors.Join(err, out.Body.Close()) }()
	data, err := io.ReadAll(out.Body)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", key, err)
	}
	return HashOf(data), nil
}

// plain turns an attribute into what json.Marshal understands.
func plain(v types.AttributeValue) any {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return json.Number(v.Value)
	case *types.AttributeValueMemberBOOL:
		return v.Value
	case *types.AttributeValueMemberL:
		list := []any{}
		for _, e := range v.Value {
			list = append(list, plain(e))
		}
		return list
	case *types.AttributeValueMemberM:
		m := map[string]any{}
		for k, e := range v.Value {
			m[k] = plain(e)
		}
		return m
	default:
		return nil // attributes of others
	}
}
