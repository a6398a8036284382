package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

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

func blocksAll(b *types.PublicAccessBlockConfiguration) bool {
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
		if rule.Status != types.ExpirationStatusEnabled || rule.Expiration == nil || rule.Expiration.Days == nil {
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
func prefixOf(rule types.LifecycleRule) string {
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
