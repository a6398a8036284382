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

// nobody is an id, a key and a receipt that nothing has.
const nobody = "doctor"

// probe tries a right of the operator's without an effect. An error counts only if it is a refusal: that there is no
// such key is what a harmless call is told.
type probe func(ctx context.Context, c Cloud) error

// probes are the rights that can be tried, by action and resource. DynamoDB and SQS look at rights before they look
// at keys and receipts.
var probes = map[string]probe{
	"dynamodb:GetItem table": func(ctx context.Context, c Cloud) error {
		_, err := ask(ctx, c.tables.GetItem, &dynamodb.GetItemInput{TableName: &c.Settings.Table, Key: noItem()})
		return err
	},
	"dynamodb:UpdateItem table": func(ctx context.Context, c Cloud) error {
		_, err := ask(ctx, c.tables.UpdateItem, &dynamodb.UpdateItemInput{TableName: &c.Settings.Table, Key: noItem(),
			ConditionExpression: aws.String("attribute_exists(id)"), UpdateExpression: aws.String("REMOVE doctor")})
		return err
	},
	"dynamodb:Scan table": func(ctx context.Context, c Cloud) error {
		_, err := ask(ctx, c.tables.Scan, &dynamodb.ScanInput{TableName: &c.Settings.Table, Limit: aws.Int32(1)})
		return err
	},
	"s3:ListBucket bucket": func(ctx context.Context, c Cloud) error {
		_, err := ask(ctx, c.objects.ListObjectsV2, &s3.ListObjectsV2Input{Bucket: &c.Settings.Bucket, MaxKeys: aws.Int32(1)})
		return err
	},
	"s3:GetObject bucket/upload/*":    getObject(originals),
	"s3:GetObject bucket/processed/*": getObject(results),
	"sqs:GetQueueAttributes queue":    queueAttributes(func(c Cloud) string { return c.Settings.QueueURL }),
	"sqs:GetQueueAttributes dead-letters": queueAttributes(func(c Cloud) string {
		return c.Settings.DLQURL
	}),
	"sqs:ChangeMessageVisibility dead-letters": func(ctx context.Context, c Cloud) error {
		_, err := ask(ctx, c.queues.ChangeMessageVisibilityBatch, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &c.Settings.DLQURL,
			Entries: []types.ChangeMessageVisibilityBatchRequestEntry{{Id: aws.String(nobody), ReceiptHandle: aws.String(nobody)}}})
		return err
	},
	"sqs:DeleteMessage dead-letters": func(ctx context.Context, c Cloud) error {
		_, err := ask(ctx, c.queues.DeleteMessageBatch, &sqs.DeleteMessageBatchInput{QueueUrl: &c.Settings.DLQURL,
			Entries: []types.DeleteMessageBatchRequestEntry{{Id: aws.String(nobody), ReceiptHandle: aws.String(nobody)}}})
		return err
	},
}

// untried are those that have an effect when they are there.
var untried = []string{"s3:DeleteObject bucket/upload/*", "s3:DeleteObject bucket/processed/*", "sqs:SendMessage queue", "sqs:ReceiveMessage dead-letters"}

func noItem() map[string]ddb.AttributeValue {
	return map[string]ddb.AttributeValue{"id": &ddb.AttributeValueMemberS{Value: nobody}}
}

func getObject(prefix string) probe {
	return func(ctx context.Context, c Cloud) error {
		out, err := ask(ctx, c.objects.GetObject, &s3.GetObjectInput{Bucket: &c.Settings.Bucket, Key: aws.String(prefix + nobody)})
		if err == nil {
			_ = out.Body.Close() // somebody has put an object of that name: the right is there
		}
		return err
	}
}

func queueAttributes(at func(Cloud) string) probe {
	return func(ctx context.Context, c Cloud) error {
		_, err := ask(ctx, c.queues.GetQueueAttributes, &sqs.GetQueueAttributesInput{QueueUrl: aws.String(at(c)), AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn}})
		return err
	}
}

// right is how probes and lists call a right.
func right(call iam.Action) string { return call.Name() + " " + string(call.Resource) }

// rights tries what the verbs about images need.
func (c Cloud) rights(ctx context.Context, a *area) {
	if c.Settings.DLQURL == "" {
		if r, ok := redriveOf(c.attributes(ctx, &area{say: a.say}, "", c.Settings.QueueURL)); ok {
			c.Settings.DLQURL = sibling(c.Settings.QueueURL, r.Target)
		}
	}
	tried, missing := 0, 0
	for _, call := range iam.Operator {
		try := probes[right(call)]
		if try == nil || strings.HasSuffix(right(call), string(iam.DeadLetters)) && c.Settings.DLQURL == "" {
			continue
		}
		tried++
		// Whatever else goes wrong is said where the thing itself is looked at.
		if err := try(ctx, c); refused(err) {
			missing++
			a.wrong(fmt.Sprintf("no right to %s on the %s", call.Name(), call.Resource), "it is needed to: "+call.Reason, "give your user the rights in docs/operating.md")
		}
	}
	if missing == 0 {
		a.ok("%d rights of the verbs are there; not tried, for that would change something: %s", tried, strings.Join(untried, ", "))
	}
}
