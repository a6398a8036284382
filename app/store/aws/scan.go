package aws

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"imagery/app/imagery"
)

// The functions below are for operators. The roles have no permission for them; see iam.Operator.

// Clients returns the clients of the table and the bucket, for package fsck, which reads both with its own code.
func (s *Store) Clients() (*dynamodb.Client, *s3.Client) { return s.catalog.db, s.blobs.api }

// releaseRecord is the id of the item that contains the release record; see app/deploy/record.
const releaseRecord = "rollout"

// Scan calls visit with every image, expired ones included, until visit returns an error. It reads, and pays for, the
// whole table. An image that is written meanwhile may appear as before or as after the write.
func (s *Store) Scan(ctx context.Context, visit func(imagery.Image) error) error {
	in := &dynamodb.ScanInput{TableName: &s.catalog.table, ConsistentRead: aws.Bool(true)}
	for {
		out, err := call(ctx, callBound, s.catalog.db.Scan, in)
		if err != nil {
			return err
		}
		for _, it := range out.Items {
			if id := idOf(it); strings.HasPrefix(id, leasePrefix) || id == releaseRecord {
				continue
			}
			img, err := decode(it)
			if err != nil {
				return err
			}
			if err := visit(img); err != nil {
				return err
			}
		}
		if len(out.LastEvaluatedKey) == 0 {
			return nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// Find implements imagery.Finder. It uses a list request, because the response to a HEAD request does not distinguish a
// missing object from a missing bucket.
func (s *Store) Find(ctx context.Context, key string) error {
	_, err := s.stat(ctx, key)
	return err
}

// stat returns the list entry of one object.
func (s *Store) stat(ctx context.Context, key string) (types.Object, error) {
	out, err := call(ctx, callBound, s.blobs.api.ListObjectsV2, &s3.ListObjectsV2Input{
		Bucket: &s.blobs.bucket, Prefix: &key, MaxKeys: aws.Int32(1)}) // the key itself sorts before longer ones
	if err != nil {
		return types.Object{}, mapObject(err)
	}
	if len(out.Contents) == 0 || aws.ToString(out.Contents[0].Key) != key {
		return types.Object{}, imagery.ErrNotFound
	}
	return out.Contents[0], nil
}

// RemoveObject deletes an object that was stored before the given time; removed is false if it does not exist or is
// newer. S3 cannot check and delete atomically, so the caller must ensure that no process stores the object meanwhile.
func (s *Store) RemoveObject(ctx context.Context, key string, before time.Time) (removed bool, err error) {
	o, err := s.stat(ctx, key)
	if errors.Is(err, imagery.ErrNotFound) || err == nil && (o.LastModified == nil || !o.LastModified.Before(before)) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("find %s: %w", key, err)
	}
	return true, s.DeleteObject(ctx, key)
}

// ReleaseRecord returns the given attribute of the release record's item, or the empty string before the first rollout.
func (s *Store) ReleaseRecord(ctx context.Context, attribute string) (document string, err error) {
	it, err := s.catalog.get(ctx, releaseRecord)
	if err != nil {
		return "", fmt.Errorf("read the release record: %w", err)
	}
	switch v := it[attribute].(type) {
	case nil:
		return "", nil
	case *dynamotypes.AttributeValueMemberS:
		return v.Value, nil
	default:
		return "", fmt.Errorf("read the release record: attribute %s is a %T, not a string", attribute, v)
	}
}
