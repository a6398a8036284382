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

// Prefixes of keys, as in the contract.
const (
	originals = "upload/"
	results   = "processed/"
)

// buckets looks at the bucket of images, and at that of releases if it is known.
func (c Cloud) buckets(ctx context.Context, a *area) {
	if c.private(ctx, a, c.Settings.Bucket, "anybody can read the photos") {
		c.lifecycle(ctx, a)
	}
	if c.ReleaseBucket != "" {
		c.private(ctx, a, c.ReleaseBucket, "anybody can read the program")
	}
}

// private looks whether the world is kept out of a bucket; false if there is no such bucket.
func (c Cloud) private(ctx context.Context, a *area, bucket, means string) bool {
	block, err := ask(ctx, c.objects.GetPublicAccessBlock, &s3.GetPublicAccessBlockInput{Bucket: &bucket})
	switch {
	case code(err) == "NoSuchBucket":
		a.wrong("there is no bucket "+bucket, "no photo can be stored", "look at the name and the region, or: pulumi up")
		return false
	case code(err) == "NoSuchPublicAccessBlockConfiguration":
		a.wrong("bucket "+bucket+" has no public access block", "one careless policy, and "+means, repair)
	case err != nil:
		a.failed("the public access block of "+bucket, err)
	default:
		if b := block.PublicAccessBlockConfiguration; b == nil || !aws.ToBool(b.BlockPublicAcls) || !aws.ToBool(b.BlockPublicPolicy) ||
			!aws.ToBool(b.IgnorePublicAcls) || !aws.ToBool(b.RestrictPublicBuckets) {
			a.wrong("bucket "+bucket+" blocks only some public access", "one careless policy, and "+means, repair)
		} else {
			a.ok("bucket %s blocks all public access", bucket)
		}
	}
	policy, err := ask(ctx, c.objects.GetBucketPolicyStatus, &s3.GetBucketPolicyStatusInput{Bucket: &bucket})
	switch {
	case code(err) == "NoSuchBucketPolicy":
		a.warn("bucket "+bucket+" has no policy", "plain HTTP is not refused", repair)
	case err != nil:
		a.failed("the policy of "+bucket, err)
	case policy.PolicyStatus != nil && aws.ToBool(policy.PolicyStatus.IsPublic):
		a.wrong("the policy of bucket "+bucket+" is public", means, "aws s3api get-bucket-policy --bucket "+bucket+", then: "+repair)
	}
	return true
}

// lifecycle looks at what the bucket removes: originals must outlive the dead letters that bring them back, and
// results stay.
func (c Cloud) lifecycle(ctx context.Context, a *area) {
	out, err := ask(ctx, c.objects.GetBucketLifecycleConfiguration, &s3.GetBucketLifecycleConfigurationInput{Bucket: &c.Settings.Bucket})
	if err != nil && code(err) != "NoSuchLifecycleConfiguration" {
		a.failed("the lifecycle of "+c.Settings.Bucket, err)
		return
	}
	var rules []types.LifecycleRule
	if out != nil {
		rules = out.Rules
	}
	var kept time.Duration // of originals; 0 for ever
	for _, r := range rules {
		if r.Status != types.ExpirationStatusEnabled || r.Expiration == nil || r.Expiration.Days == nil {
			continue
		}
		prefix, after := prefixOf(r), time.Duration(*r.Expiration.Days)*24*time.Hour
		if strings.HasPrefix(results, prefix) || strings.HasPrefix(prefix, results) {
			a.wrong(fmt.Sprintf("results are removed after %s", days(after)), "links to photos that were finished break", repair)
		}
		if strings.HasPrefix(originals, prefix) && (kept == 0 || after < kept) {
			kept = after
		}
	}
	if kept == 0 {
		a.warn("originals are never removed", "they cost more every day", repair)
		return
	}
	c.outlives(ctx, a, kept)
}

// outlives compares with the dead letters. What cannot be read there is said by the queue's area.
func (c Cloud) outlives(ctx context.Context, a *area, kept time.Duration) {
	quiet := &area{say: a.say}
	q := c.attributes(ctx, quiet, "", c.Settings.QueueURL)
	at := c.Settings.DLQURL
	if r, ok := redriveOf(q); ok && at == "" {
		at = sibling(c.Settings.QueueURL, r.Target)
	}
	if at == "" {
		return
	}
	if d := c.attributes(ctx, quiet, "", at); d != nil {
		letters := d.seconds(sqstypes.QueueAttributeNameMessageRetentionPeriod)
		if kept <= letters {
			a.wrong(fmt.Sprintf("originals are removed after %s, dead letters after %s", days(kept), days(letters)), "a letter that is sent back finds no photo", "pulumi config set imagery:uploadExpireDays 30, then pulumi up")
			return
		}
		a.ok("originals are kept for %s, longer than dead letters", days(kept))
	}
}

// prefixOf is the prefix of the keys that a rule is about; rules with other filters count as all keys' below it.
func prefixOf(r types.LifecycleRule) string {
	switch f := r.Filter; {
	case f == nil:
		//lint:ignore SA1019 rules that others made long ago have it
		return aws.ToString(r.Prefix)
	case f.And != nil:
		return aws.ToString(f.And.Prefix)
	default:
		return aws.ToString(f.Prefix)
	}
}
