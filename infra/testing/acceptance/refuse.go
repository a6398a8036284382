package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// refuse returns an error if the stack holds photos that no run of this program has uploaded. Otherwise it reports
// whether the stack exists.
func (t *test) refuse(ctx context.Context) (exists bool, err error) {
	if t.current, exists, err = t.outputs(ctx); err != nil || !exists {
		return exists, err
	}
	t.aws.Region = cmp.Or(t.current.Region, t.aws.Region) // where its photos are, whatever the caller's region
	own, err := t.pictures.own(t.checkout)
	if err != nil {
		return true, err
	}
	keys, err := photoKeys(ctx, t.aws, t.current)
	if err != nil {
		return true, fmt.Errorf("look for photos of others in stack %s: %w", t.stack, err)
	}
	if n, example := foreign(keys, own); n > 0 {
		err = usageError(fmt.Sprintf("stack %s holds %d photos of others, such as %s: choose the name of a stack that does "+
			"not exist, which this program creates and destroys", t.stack, n, example))
	}
	return true, err
}

// foreign counts the photos whose hash is not one of own. The last part of a key is the hash of the photo.
func foreign(keys []string, own map[string]bool) (n int, example string) {
	for _, key := range keys {
		hash, _, _ := strings.Cut(path.Base(key), ".")
		if !own[hash] {
			n, example = n+1, key
		}
	}
	return n, example
}

// photoKeys returns the keys of all originals and results in the bucket, and of all that items of the table name.
func photoKeys(ctx context.Context, c aws.Config, of outputs) (keys []string, err error) {
	for _, prefix := range []string{"upload/", "processed/"} {
		if of.ImagesBucket == "" {
			break // an up that failed early
		}
		found, err := pages(ctx, s3.NewListObjectsV2Paginator(s3Of(c), &s3.ListObjectsV2Input{Bucket: &of.ImagesBucket,
			Prefix: &prefix}), func(o *s3.ListObjectsV2Output) []string {
			return each(o.Contents, func(e s3types.Object) *string { return e.Key })
		})
		if err != nil && !gone(err) {
			return nil, err
		}
		keys = append(keys, found...)
	}
	if of.Table == "" {
		return keys, nil
	}
	found, err := pages(ctx, dynamodb.NewScanPaginator(dynamodb.NewFromConfig(c), &dynamodb.ScanInput{TableName: &of.Table,
		ProjectionExpression: aws.String("rawS3Key")}), func(o *dynamodb.ScanOutput) (names []string) {
		for _, item := range o.Items {
			if key, ok := item["rawS3Key"].(*dynamotypes.AttributeValueMemberS); ok {
				names = append(names, key.Value)
			}
		}
		return names
	})
	if err != nil && !gone(err) {
		return nil, err
	}
	return append(keys, found...), nil
}

// gone reports whether an error says that a bucket or table does not exist.
func gone(err error) bool {
	api := interface{ ErrorCode() string }(nil)
	return errors.As(err, &api) && (api.ErrorCode() == "NoSuchBucket" || api.ErrorCode() == "ResourceNotFoundException")
}

// s3Of returns a client that puts the name of a bucket into the path, which AWS and emulators understand alike.
func s3Of(c aws.Config) *s3.Client {
	return s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = true })
}
