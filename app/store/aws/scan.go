package aws

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"imagery/app/imagery"
)

// What follows is for operators: the roles have the right to none of it, see iam.Operator.

// Clients are the clients of table and bucket, for a checker that reads them with its own code.
func (b *Store) Clients() (*dynamodb.Client, *s3.Client) { return b.catalog.db, b.blobs.api }

// releaseRecord is the id of the item that says which release went out when; see app/deploy/record.
const releaseRecord = "rollout"

// Scan hands every image to each, expired ones too, until each returns an error. It reads the whole table, at
// its cost, page by page; images that are written meanwhile come as they were or as they are.
func (b *Store) Scan(ctx context.Context, each func(imagery.Image) error) error {
	in := &dynamodb.ScanInput{TableName: &b.catalog.table, ConsistentRead: aws.Bool(true)}
	for {
		out, err := call(ctx, callBound, b.catalog.db.Scan, in)
		if err != nil {
			return err
		}
		for _, it := range out.Items {
			r := reader{item: it}
			if id := r.text("id"); strings.HasPrefix(id, leasePrefix) || id == releaseRecord {
				continue
			}
			img, err := decode(it)
			if err != nil {
				return err
			}
			if err := each(img); err != nil {
				return err
			}
		}
		if len(out.LastEvaluatedKey) == 0 {
			return nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// Find implements imagery.Finder. It lists, because an answer to a HEAD does not tell a missing object from a
// missing bucket.
func (b *Store) Find(ctx context.Context, key string) error {
	_, err := b.list(ctx, key)
	return err
}

// list returns the entry of one object.
func (b *Store) list(ctx context.Context, key string) (types.Object, error) {
	out, err := call(ctx, callBound, b.blobs.api.ListObjectsV2, &s3.ListObjectsV2Input{
		Bucket: &b.blobs.bucket, Prefix: &key, MaxKeys: aws.Int32(1)}) // the name itself sorts before longer ones
	if err != nil {
		return types.Object{}, mapObject(err)
	}
	if len(out.Contents) == 0 || aws.ToString(out.Contents[0].Key) != key {
		return types.Object{}, imagery.ErrNotFound
	}
	return out.Contents[0], nil
}

// RemoveObject removes an object that was put before the given time; removed is false if it is gone or newer.
// S3 cannot do both in one step, so the caller must know that no process puts the object at the same time.
func (b *Store) RemoveObject(ctx context.Context, key string, before time.Time) (removed bool, err error) {
	o, err := b.list(ctx, key)
	if err == imagery.ErrNotFound || err == nil && (o.LastModified == nil || !o.LastModified.Before(before)) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", key, err)
	}
	return true, b.blobs.delete(ctx, key)
}
