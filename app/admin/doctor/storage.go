package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"imagery/app/deploy/iam"
)

// pendingIndex is the index of unfinished images.
var pendingIndex = strings.TrimPrefix(string(iam.Pending), string(iam.Table)+"/index/")

// table checks the configuration of the table.
func (c Cloud) table(ctx context.Context, r *report) {
	name := c.Settings.Table
	out, err := call(ctx, c.dynamodb.DescribeTable, &dynamodb.DescribeTableInput{TableName: &name})
	if hasCode(err, "ResourceNotFoundException") {
		r.wrong("there is no table "+name, "no image can be read", "check the name and the region, or: pulumi up")
		return
	}
	if r.failed("the table", err) {
		return
	}
	t := out.Table
	if t.TableStatus != types.TableStatusActive && t.TableStatus != "" { // emulators may not set it
		r.warn("the table is "+string(t.TableStatus), "it is being created or changed",
			"aws dynamodb wait table-exists --table-name "+name)
	}
	if keys := keysOf(t.KeySchema, t.AttributeDefinitions); keys != "id HASH S" {
		r.wrong("the table's key is "+keys, "the key must be id HASH S: this is another table",
			"check -table; keys cannot be changed")
	} else {
		r.ok("table %s has the expected key", name)
	}
	r.pendingIndex(t)
	if mode := t.BillingModeSummary; mode != nil && mode.BillingMode != types.BillingModePayPerRequest {
		r.warn("the billing mode of the table is "+string(mode.BillingMode),
			"load above the provisioned capacity is throttled", repair)
	}
	if !aws.ToBool(t.DeletionProtectionEnabled) {
		r.info("the table may be deleted", "fine for a trial, not for photos that matter",
			"pulumi config set imagery:protectData true, then pulumi up")
	}
	c.timeToLive(ctx, r)
	c.backups(ctx, r)
}

// pendingIndex checks the index that the reconciler needs.
func (r *report) pendingIndex(t *types.TableDescription) {
	const means = "the reconciler cannot find unfinished images: a photo whose message was lost is never processed"
	n := slices.IndexFunc(t.GlobalSecondaryIndexes, func(i types.GlobalSecondaryIndexDescription) bool {
		return aws.ToString(i.IndexName) == pendingIndex
	})
	if n < 0 {
		r.wrong("there is no "+pendingIndex, means, repair)
		return
	}
	i := t.GlobalSecondaryIndexes[n]
	keys := keysOf(i.KeySchema, t.AttributeDefinitions)
	switch {
	case keys != "pending HASH S, updated RANGE N":
		r.wrong(pendingIndex+" has the keys "+keys, means, repair)
	case i.IndexStatus != types.IndexStatusActive && i.IndexStatus != "":
		r.warn(pendingIndex+" is "+string(i.IndexStatus), "until it is active, "+means, "wait, then: imagery doctor")
	case i.Projection != nil && i.Projection.ProjectionType != types.ProjectionTypeKeysOnly:
		r.warn(pendingIndex+" projects "+string(i.Projection.ProjectionType), "writes cost more than with KEYS_ONLY", repair)
	default:
		r.ok("%s has its keys", pendingIndex)
	}
}

// timeToLive checks that the table removes expired items.
func (c Cloud) timeToLive(ctx context.Context, r *report) {
	out, err := call(ctx, c.dynamodb.DescribeTimeToLive, &dynamodb.DescribeTimeToLiveInput{TableName: &c.Settings.Table})
	if r.failed("the table's TTL", err) {
		return
	}
	on := []types.TimeToLiveStatus{types.TimeToLiveStatusEnabled, types.TimeToLiveStatusEnabling}
	if d := out.TimeToLiveDescription; d == nil || !slices.Contains(on, d.TimeToLiveStatus) {
		r.wrong("TTL is off", "images without an upload stay for ever and cost money", repair)
	} else if name := aws.ToString(d.AttributeName); name != "expires" {
		r.wrong("TTL is on "+name+", not on expires", "images without an upload stay for ever, others may be deleted", repair)
	} else {
		r.ok("TTL is on expires")
	}
}

// backups checks point-in-time recovery.
func (c Cloud) backups(ctx context.Context, r *report) {
	out, err := call(ctx, c.dynamodb.DescribeContinuousBackups,
		&dynamodb.DescribeContinuousBackupsInput{TableName: &c.Settings.Table})
	if r.failed("the table's backups", err) {
		return
	}
	d := out.ContinuousBackupsDescription
	if d == nil || d.PointInTimeRecoveryDescription == nil ||
		d.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus != types.PointInTimeRecoveryStatusEnabled {
		r.info("point-in-time recovery is off", "items deleted by mistake cannot be restored", repair)
	} else {
		r.ok("point-in-time recovery is on")
	}
}

// keysOf formats a key schema, such as "id HASH S": the name, role and type of each key.
func keysOf(schema []types.KeySchemaElement, attributes []types.AttributeDefinition) string {
	typeOf := map[string]types.ScalarAttributeType{}
	for _, a := range attributes {
		typeOf[aws.ToString(a.AttributeName)] = a.AttributeType
	}
	var parts []string
	for _, k := range schema {
		name := aws.ToString(k.AttributeName)
		parts = append(parts, fmt.Sprintf("%s %s %s", name, k.KeyType, typeOf[name]))
	}
	return strings.Join(parts, ", ")
}

// Key prefixes.
const (
	originals = "upload/"
	results   = "processed/"
)

// buckets checks the bucket of images, and that of releases if it is known.
func (c Cloud) buckets(ctx context.Context, r *report) {
	if c.publicAccess(ctx, r, c.Settings.Bucket, "anybody can read the photos") {
		c.lifecycle(ctx, r)
	}
	if c.ReleaseBucket != "" {
		c.publicAccess(ctx, r, c.ReleaseBucket, "anybody can read the program")
	}
}

// publicAccess checks that a bucket is not public; it returns false if there is no such bucket.
func (c Cloud) publicAccess(ctx context.Context, r *report, bucket, means string) bool {
	after := "after one careless policy change " + means
	block, err := call(ctx, c.s3.GetPublicAccessBlock, &s3.GetPublicAccessBlockInput{Bucket: &bucket})
	switch {
	case hasCode(err, "NoSuchBucket"):
		r.wrong("there is no bucket "+bucket, "no photo can be stored", "check the name and the region, or: pulumi up")
		return false
	case hasCode(err, "NoSuchPublicAccessBlockConfiguration"):
		r.wrong("bucket "+bucket+" has no public access block", after, repair)
	case r.failed("the public access block of "+bucket, err):
	case !blocksAll(block.PublicAccessBlockConfiguration):
		r.wrong("bucket "+bucket+" blocks only some public access", after, repair)
	default:
		r.ok("bucket %s blocks all public access", bucket)
	}
	policy, err := call(ctx, c.s3.GetBucketPolicyStatus, &s3.GetBucketPolicyStatusInput{Bucket: &bucket})
	switch {
	case hasCode(err, "NoSuchBucketPolicy"):
		r.warn("bucket "+bucket+" has no policy", "unencrypted HTTP is not rejected", repair)
	case r.failed("the policy of "+bucket, err):
	case policy.PolicyStatus != nil && aws.ToBool(policy.PolicyStatus.IsPublic):
		r.wrong("the policy of bucket "+bucket+" is public", means,
			"aws s3api get-bucket-policy --bucket "+bucket+", then: "+repair)
	}
	return true
}

func blocksAll(b *s3types.PublicAccessBlockConfiguration) bool {
	return b != nil && aws.ToBool(b.BlockPublicAcls) && aws.ToBool(b.BlockPublicPolicy) &&
		aws.ToBool(b.IgnorePublicAcls) && aws.ToBool(b.RestrictPublicBuckets)
}

// lifecycle checks that the bucket keeps originals longer than the queue keeps dead letters, which refer to them, and
// never removes results.
func (c Cloud) lifecycle(ctx context.Context, r *report) {
	out, err := call(ctx, c.s3.GetBucketLifecycleConfiguration,
		&s3.GetBucketLifecycleConfigurationInput{Bucket: &c.Settings.Bucket})
	if hasCode(err, "NoSuchLifecycleConfiguration") {
		out = &s3.GetBucketLifecycleConfigurationOutput{}
	} else if r.failed("the lifecycle of "+c.Settings.Bucket, err) {
		return
	}
	var kept time.Duration // of originals; 0 for ever
	for _, rule := range out.Rules {
		if rule.Status != s3types.ExpirationStatusEnabled || rule.Expiration == nil || rule.Expiration.Days == nil {
			continue
		}
		prefix, after := prefixOf(rule), time.Duration(*rule.Expiration.Days)*24*time.Hour
		if strings.HasPrefix(results, prefix) || strings.HasPrefix(prefix, results) {
			r.wrong("results are removed after "+days(after), "links to processed photos break", repair)
		}
		if strings.HasPrefix(originals, prefix) && (kept == 0 || after < kept) {
			kept = after
		}
	}
	dead := c.queues().dead.attributes // if they could not be read, queue reports it
	deadLetters := dead.seconds(sqstypes.QueueAttributeNameMessageRetentionPeriod)
	switch {
	case kept == 0:
		r.warn("originals are never removed", "their cost grows every day", repair)
	case dead == nil:
	case kept <= deadLetters:
		r.wrong(fmt.Sprintf("originals are removed after %s, dead letters after %s", days(kept), days(deadLetters)),
			"a dead letter that is sent back may have no photo any more",
			"pulumi config set imagery:uploadExpireDays 30, then pulumi up")
	default:
		r.ok("originals are kept for %s, longer than dead letters", days(kept))
	}
}

// prefixOf returns the key prefix of a rule, which is the whole bucket if it has another filter only.
func prefixOf(rule s3types.LifecycleRule) string {
	switch f := rule.Filter; {
	case f == nil:
		//lint:ignore SA1019 old rules have no filter
		return aws.ToString(rule.Prefix)
	case f.And != nil:
		return aws.ToString(f.And.Prefix)
	default:
		return aws.ToString(f.Prefix)
	}
}
