package data

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/s3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/infra/must"
	"imagery/infra/policy"
)

// BucketArgs describes a private bucket.
type BucketArgs struct {
	// Emptied lets a destroy delete what is inside. It is read from the state, so an update must come first.
	Emptied bool
	// Protect refuses every deletion of the bucket.
	Protect bool
	// ExpireDays removes objects by key prefix ("" is all of them) after so many days.
	ExpireDays map[string]int
	// Grants is appended to the policy, which else only denies; it gets the ARN of the bucket.
	Grants func(arn string) []policy.Statement
}

// Bucket is a private bucket: no public access, whatever policy is attached, TLS 1.2 only, encrypted, owned by
// the account alone, and without parts of broken uploads.
type Bucket struct {
	pulumi.ResourceState

	Bucket *s3.BucketV2
	// Ready lists what must exist before the bucket is used, so that its access settings are in force.
	Ready []pulumi.Resource
}

// NewBucket creates a private bucket. S3 refuses configuration calls that overlap (409 OperationAborted), so each
// waits for the one before.
func NewBucket(ctx *pulumi.Context, name string, args *BucketArgs, opts ...pulumi.ResourceOption) *Bucket {
	b := &Bucket{}
	must.OK(ctx.RegisterComponentResource("imagery:infra:Bucket", name, b, opts...))
	b.Bucket = must.Get(s3.NewBucketV2(ctx, name, &s3.BucketV2Args{ForceDestroy: pulumi.Bool(args.Emptied)},
		pulumi.Parent(b), pulumi.Protect(args.Protect)))
	id := b.Bucket.ID()
	// ACLs are disabled: the account owns every object, even one that another account wrote.
	owner := must.Get(s3.NewBucketOwnershipControls(ctx, name+"-owner", &s3.BucketOwnershipControlsArgs{
		Bucket: id, Rule: s3.BucketOwnershipControlsRuleArgs{ObjectOwnership: pulumi.String("BucketOwnerEnforced")},
	}, pulumi.Parent(b)))
	private := must.Get(s3.NewBucketPublicAccessBlock(ctx, name+"-private", &s3.BucketPublicAccessBlockArgs{
		Bucket: id, BlockPublicAcls: pulumi.Bool(true), BlockPublicPolicy: pulumi.Bool(true),
		IgnorePublicAcls: pulumi.Bool(true), RestrictPublicBuckets: pulumi.Bool(true),
	}, pulumi.Parent(b), pulumi.DependsOn([]pulumi.Resource{owner})))
	text := b.Bucket.Arn.ApplyT(func(arn string) string { return document(arn, args.Grants) }).(pulumi.StringOutput)
	tls := must.Get(s3.NewBucketPolicy(ctx, name+"-policy", &s3.BucketPolicyArgs{Bucket: id, Policy: text},
		pulumi.Parent(b), pulumi.DependsOn([]pulumi.Resource{private})))
	encrypted := must.Get(s3.NewBucketServerSideEncryptionConfigurationV2(ctx, name+"-encryption",
		&s3.BucketServerSideEncryptionConfigurationV2Args{
			Bucket: id,
			Rules: s3.BucketServerSideEncryptionConfigurationV2RuleArray{s3.BucketServerSideEncryptionConfigurationV2RuleArgs{
				ApplyServerSideEncryptionByDefault: encryptionArgs{
					SseAlgorithm: pulumi.String("AES256"), // a KMS key would cost per request, and load balancers cannot log with one
				},
			}},
		}, pulumi.Parent(b), pulumi.DependsOn([]pulumi.Resource{tls})))
	swept := must.Get(s3.NewBucketLifecycleConfigurationV2(ctx, name+"-lifecycle", &s3.BucketLifecycleConfigurationV2Args{
		Bucket: id, Rules: lifecycle(args.ExpireDays),
	}, pulumi.Parent(b), pulumi.DependsOn([]pulumi.Resource{encrypted})))
	b.Ready = []pulumi.Resource{owner, private, tls, encrypted, swept}
	must.OK(ctx.RegisterResourceOutputs(b, pulumi.Map{"bucket": id}))
	return b
}

// document denies plain HTTP and old TLS, and grants what is asked for. It does not ask where a request comes from:
// that would break presigned links and the deployer.
func document(arn string, grants func(arn string) []policy.Statement) string {
	deny := policy.Statement{Sid: "TLSOnly", Effect: policy.Deny, Principal: "*", Action: []string{"s3:*"},
		Resource: []string{arn, arn + "/*"}, Condition: policy.Conditions{"Bool": {"aws:SecureTransport": {"false"}}}}
	old := deny
	old.Sid, old.Condition = "TLS12", policy.Conditions{"NumericLessThan": {"s3:TlsVersion": {"1.2"}}}
	statements := []policy.Statement{deny, old}
	if grants != nil {
		statements = append(statements, grants(arn)...)
	}
	return policy.JSON(statements...)
}

// lifecycle always removes the parts of incomplete multipart uploads. Every rule has a filter, an empty one for the
// whole bucket: without it each preview shows a change.
func lifecycle(expire map[string]int) s3.BucketLifecycleConfigurationV2RuleArray {
	rules := s3.BucketLifecycleConfigurationV2RuleArray{s3.BucketLifecycleConfigurationV2RuleArgs{
		Id: pulumi.String("unfinished"), Status: pulumi.String("Enabled"),
		Filter: &s3.BucketLifecycleConfigurationV2RuleFilterArgs{},
		AbortIncompleteMultipartUpload: s3.BucketLifecycleConfigurationV2RuleAbortIncompleteMultipartUploadArgs{
			DaysAfterInitiation: pulumi.Int(2),
		},
	}}
	for _, prefix := range slices.Sorted(maps.Keys(expire)) {
		filter := &s3.BucketLifecycleConfigurationV2RuleFilterArgs{}
		if prefix != "" {
			filter.Prefix = pulumi.String(prefix)
		}
		rules = append(rules, s3.BucketLifecycleConfigurationV2RuleArgs{
			Id: pulumi.String("expire-" + cmp.Or(strings.Trim(prefix, "/"), "all")), Status: pulumi.String("Enabled"),
			Filter: filter, Expiration: s3.BucketLifecycleConfigurationV2RuleExpirationArgs{Days: pulumi.Int(expire[prefix])},
		})
	}
	return rules
}

type encryptionArgs = s3.BucketServerSideEncryptionConfigurationV2RuleApplyServerSideEncryptionByDefaultArgs
