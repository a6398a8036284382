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

// Ids of items that are not images.
const (
	leasePrefix   = "lease-"
	releaseRecord = "rollout" // see package record
)

// AWS reads a whole table and bucket. It needs the permissions dynamodb:Scan, s3:ListBucket and, with hashes,
// s3:GetObject for all objects, which operators have and roles do not. Queues cannot be listed, so the snapshot has no
// messages. It ignores data of selftests, leases and the record of releases.
func AWS(
	ctx context.Context, tables *dynamodb.Client, objects *s3.Client, table, bucket string, hashes bool,
) (Snapshot, error) {
	s := Snapshot{Objects: map[string]string{}, Stored: map[string]time.Time{}, NoMessages: true}
	// Items first: an object is put before an item refers to it, so it is listed later.
	if err := s.scan(ctx, tables, table); err != nil {
		return s, err
	}
	// A paginator of the SDK would link all operations of the service into the binary.
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

// scan reads the items of a table into the snapshot.
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
			data, err := json.Marshal(toJSON(&types.AttributeValueMemberM{Value: attributes}))
			if err = errors.Join(err, json.Unmarshal(data, &i)); err != nil {
				return fmt.Errorf("decode item %s: %w", data, err)
			}
			selftest := strings.HasPrefix(i.ID, iam.SelftestIDPrefix)
			if !selftest && !strings.HasPrefix(i.ID, leasePrefix) && i.ID != releaseRecord {
				s.Items = append(s.Items, i)
			}
		}
	}
	return nil
}

func hashObject(ctx context.Context, objects *s3.Client, bucket, key string) (string, error) {
	var data []byte
	out, err := objects.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err == nil {
		defer out.Body.Close()
		data, err = io.ReadAll(out.Body)
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w", key, err)
	}
	return HashOf(data), nil
}

// toJSON converts an attribute into a value for json.Marshal.
func toJSON(v types.AttributeValue) any {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return json.Number(v.Value)
	case *types.AttributeValueMemberL:
		list := []any{}
		for _, e := range v.Value {
			list = append(list, toJSON(e))
		}
		return list
	case *types.AttributeValueMemberM:
		m := map[string]any{}
		for k, e := range v.Value {
			m[k] = toJSON(e)
		}
		return m
	default:
		return nil // of an attribute that Item does not have
	}
}
