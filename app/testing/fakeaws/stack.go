package fakeaws

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"imagery/app/imagery"
)

// DynamoDB returns a client for the test itself, as do S3 and SQS.
func (c *Cloud) DynamoDB() *dynamodb.Client { return dynamodb.NewFromConfig(*c.Config("test")) }

// S3 returns a client; see DynamoDB.
func (c *Cloud) S3() *s3.Client {
	return s3.NewFromConfig(*c.Config("test"), func(o *s3.Options) { o.UsePathStyle = c.Endpoint != RealAWS })
}

// SQS returns a client; see DynamoDB.
func (c *Cloud) SQS() *sqs.Client { return sqs.NewFromConfig(*c.Config("test")) }

// NewStack makes the resources of a deployment, with names that begin with the given one.
func (c *Cloud) NewStack(ctx context.Context, name string, limits imagery.Limits) (s Stack, err error) {
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	s.Table, s.Bucket = name, name
	if s.QueueURL, s.DLQURL, err = c.NewQueue(ctx, name, limits); err != nil {
		return s, err
	}
	return s, errors.Join(c.NewTable(ctx, s.Table), c.NewBucket(ctx, s.Bucket))
}

// NewTable makes the table with its index and waits for it.
func (c *Cloud) NewTable(ctx context.Context, name string) error {
	key := func(attribute string, typ ddb.KeyType) ddb.KeySchemaElement {
		return ddb.KeySchemaElement{AttributeName: &attribute, KeyType: typ}
	}
	attribute := func(name string, typ ddb.ScalarAttributeType) ddb.AttributeDefinition {
		return ddb.AttributeDefinition{AttributeName: &name, AttributeType: typ}
	}
	_, err := c.DynamoDB().CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: ddb.BillingModePayPerRequest,
		AttributeDefinitions: []ddb.AttributeDefinition{attribute("id", "S"), attribute("pending", "S"),
			attribute("updated", "N")},
		KeySchema: []ddb.KeySchemaElement{key("id", ddb.KeyTypeHash)},
		GlobalSecondaryIndexes: []ddb.GlobalSecondaryIndex{{
			IndexName:  aws.String("pending-index"),
			KeySchema:  []ddb.KeySchemaElement{key("pending", ddb.KeyTypeHash), key("updated", ddb.KeyTypeRange)},
			Projection: &ddb.Projection{ProjectionType: ddb.ProjectionTypeKeysOnly},
		}},
	})
	if err != nil {
		return fmt.Errorf("create table %s: %w", name, err)
	}
	if c.Endpoint != RealAWS {
		return nil // emulators have it at once, and minidyn does not say so
	}
	if err := dynamodb.NewTableExistsWaiter(c.DynamoDB()).Wait(ctx, &dynamodb.DescribeTableInput{TableName: &name},
		setupTimeout); err != nil {
		return fmt.Errorf("wait for table %s: %w", name, err)
	}
	return nil
}

// NewBucket makes a bucket without the policies and lifecycle rules of a deployed one.
func (c *Cloud) NewBucket(ctx context.Context, name string) error {
	in := &s3.CreateBucketInput{Bucket: &name}
	if c.base.Region != Region { // the one region that may not be named
		in.CreateBucketConfiguration = &s3types.CreateBucketConfiguration{
			LocationConstraint: s3types.BucketLocationConstraint(c.base.Region)}
	}
	if _, err := c.S3().CreateBucket(ctx, in); err != nil {
		return fmt.Errorf("create bucket %s: %w", name, err)
	}
	return nil
}

// NewQueue makes a queue with those limits and its dead-letter queue, which has the same visibility timeout. Without
// MaxReceives there is no dead-letter queue, and its URL is empty.
func (c *Cloud) NewQueue(ctx context.Context, name string, limits imagery.Limits) (queueURL, dlqURL string, err error) {
	client := c.SQS()
	attributes := map[string]string{"VisibilityTimeout": strconv.Itoa(int(limits.Visibility.Seconds()))}
	create := func(name string) (string, error) {
		out, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
		if err != nil {
			return "", fmt.Errorf("create queue %s: %w", name, err)
		}
		return *out.QueueUrl, nil
	}
	if limits.MaxReceives > 0 {
		if dlqURL, err = create(name + "-dlq"); err != nil {
			return "", "", err
		}
		out, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
			QueueUrl: &dlqURL, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameQueueArn}})
		if err != nil {
			return "", "", fmt.Errorf("find the ARN of %s: %w", dlqURL, err)
		}
		attributes["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`,
			out.Attributes["QueueArn"], limits.MaxReceives)
	}
	queueURL, err = create(name)
	return queueURL, dlqURL, err
}

// Remove deletes the stack with everything in it, as far as it exists. Emulators of this process end with it.
func (c *Cloud) Remove(ctx context.Context, s Stack) error {
	if c.Proxy != nil {
		return nil
	}
	var errs []error
	note := func(_ any, err error) { errs = append(errs, err) }
	if s.Table != "" {
		note(c.DynamoDB().DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &s.Table}))
	}
	for _, url := range []string{s.QueueURL, s.DLQURL} {
		if url != "" {
			note(c.SQS().DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: &url}))
		}
	}
	if s.Bucket != "" {
		errs = append(errs, c.removeBucket(ctx, s.Bucket))
	}
	return errors.Join(errs...)
}

func (c *Cloud) removeBucket(ctx context.Context, name string) error {
	client := c.S3()
	for pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &name}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("list bucket %s: %w", name, err)
		}
		for _, o := range page.Contents {
			if _, err := client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &name, Key: o.Key}); err != nil {
				return fmt.Errorf("delete object %s: %w", *o.Key, err)
			}
		}
	}
	_, err := client.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &name})
	return err
}
