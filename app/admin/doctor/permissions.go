package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"imagery/app/deploy/iam"
)

// absent is an id, key and receipt handle that do not exist.
const absent = "doctor"

// probes returns calls without an effect, by the permission that they need. DynamoDB and SQS check permissions before
// keys and receipt handles; S3 answers 404 only to callers who may read. So every error but a denial means that the
// permission is granted, or that its state is reported by the check of the resource.
func (c Cloud) probes(dlqURL string) map[string]func(context.Context) error {
	table, bucket, queueURL := &c.Settings.Table, &c.Settings.Bucket, &c.Settings.QueueURL
	key := map[string]ddb.AttributeValue{"id": &ddb.AttributeValueMemberS{Value: absent}}
	arn := []types.QueueAttributeName{types.QueueAttributeNameQueueArn}
	id := aws.String(absent)
	return map[string]func(context.Context) error{
		"dynamodb:GetItem table": probe(c.dynamodb.GetItem, &dynamodb.GetItemInput{TableName: table, Key: key}),
		"dynamodb:UpdateItem table": probe(c.dynamodb.UpdateItem, &dynamodb.UpdateItemInput{TableName: table, Key: key,
			ConditionExpression: aws.String("attribute_exists(id)"), UpdateExpression: aws.String("REMOVE doctor")}),
		"dynamodb:Scan table": probe(c.dynamodb.Scan, &dynamodb.ScanInput{TableName: table, Limit: aws.Int32(1)}),
		"s3:ListBucket bucket": probe(c.s3.ListObjectsV2,
			&s3.ListObjectsV2Input{Bucket: bucket, MaxKeys: aws.Int32(1)}),
		"s3:GetObject bucket/upload/*":    c.getObject(originals + absent),
		"s3:GetObject bucket/processed/*": c.getObject(results + absent),
		"sqs:GetQueueAttributes queue": probe(c.sqs.GetQueueAttributes,
			&sqs.GetQueueAttributesInput{QueueUrl: queueURL, AttributeNames: arn}),
		"sqs:GetQueueAttributes dead-letters": probe(c.sqs.GetQueueAttributes,
			&sqs.GetQueueAttributesInput{QueueUrl: &dlqURL, AttributeNames: arn}),
		"sqs:ChangeMessageVisibility dead-letters": probe(c.sqs.ChangeMessageVisibilityBatch,
			&sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &dlqURL,
				Entries: []types.ChangeMessageVisibilityBatchRequestEntry{{Id: id, ReceiptHandle: id}}}),
		"sqs:DeleteMessage dead-letters": probe(c.sqs.DeleteMessageBatch, &sqs.DeleteMessageBatchInput{QueueUrl: &dlqURL,
			Entries: []types.DeleteMessageBatchRequestEntry{{Id: id, ReceiptHandle: id}}}),
	}
}

func probe[In, Out, Options any](
	operation func(context.Context, *In, ...func(*Options)) (*Out, error), in *In,
) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := call(ctx, operation, in)
		return err
	}
}

func (c Cloud) getObject(key string) func(context.Context) error {
	return func(ctx context.Context) error {
		out, err := call(ctx, c.s3.GetObject, &s3.GetObjectInput{Bucket: &c.Settings.Bucket, Key: &key})
		if err == nil {
			_ = out.Body.Close()
		}
		return err
	}
}

// unprobed are the permissions that cannot be checked without an effect.
var unprobed = []string{"s3:DeleteObject bucket/upload/*", "s3:DeleteObject bucket/processed/*",
	"sqs:SendMessage queue", "sqs:ReceiveMessage dead-letters"}

// permission returns the name of a permission in probes and unprobed.
func permission(a iam.Action) string { return a.Name() + " " + string(a.Resource) }

// permissions checks the permissions of the caller that the commands about images need.
func (c Cloud) permissions(ctx context.Context, r *report) {
	dlqURL := c.queues().dead.url
	probes := c.probes(dlqURL)
	checked, missing := 0, 0
	for _, action := range iam.Operator {
		probe := probes[permission(action)]
		if probe == nil || action.Resource == iam.DeadLetters && dlqURL == "" {
			continue
		}
		checked++
		if err := probe(ctx); accessDenied(err) {
			missing++
			r.wrong(fmt.Sprintf("no permission for %s on the %s", action.Name(), action.Resource),
				"it is needed to: "+action.Reason, grantPermissions)
		}
	}
	if missing == 0 {
		r.ok("%d permissions of the commands are granted; not checked, since that would change something: %s",
			checked, strings.Join(unprobed, ", "))
	}
}
