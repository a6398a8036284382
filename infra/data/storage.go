// Package data creates the stateful resources of a stack: table, buckets and queues. All retention periods and deletion
// protection are set here.
package data

import (
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/dynamodb"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/app/deploy/iam"
	"imagery/infra/must"
	"imagery/infra/policy"
)

// pendingIndex is the index of unfinished images, as the binary queries it.
var pendingIndex = strings.TrimPrefix(string(iam.Pending), string(iam.Table)+"/index/")

const (
	originals    = "upload/"   // as in the keys of the contract
	selftests    = "selftest/" // left behind only by a selftest that was killed
	recoveryDays = 35          // the longest that DynamoDB offers; it costs by size, not by days
	selftestDays = 1
)

// StorageArgs describes a Storage.
type StorageArgs struct {
	Protect          bool           // refuse to delete photos and their table
	UploadExpireDays int            // above DeadLetterDays
	AccessLogs       *AccessLogArgs // nil: no bucket for them
}

// AccessLogArgs says who delivers the load balancer's access logs and how long they are kept.
type AccessLogArgs struct {
	AccountID    string
	DeliveryRoot string // ARN of the region's load balancing account; regions after 2022 use only the service
	Days         int
}

// Storage holds the table of images and the buckets.
type Storage struct {
	pulumi.ResourceState

	Table    *dynamodb.Table
	Images   *Bucket // originals and results
	Releases *Bucket // binaries, which only instances and the deployer read
	Logs     *Bucket // nil without access logs
}

// Ready returns the dependencies of instances.
func (s *Storage) Ready() []pulumi.Resource {
	return slices.Concat([]pulumi.Resource{s.Table}, s.Images.Ready, s.Releases.Ready)
}

// NewStorage creates the table and the buckets.
func NewStorage(ctx *pulumi.Context, name string, args *StorageArgs, opts ...pulumi.ResourceOption) *Storage {
	s := &Storage{}
	must.OK(ctx.RegisterComponentResource("imagery:infra:Storage", name, s, opts...))
	s.Table = newTable(ctx, name+"-images", args.Protect, pulumi.Parent(s))
	s.Images = NewBucket(ctx, name+"-images", &BucketArgs{
		Emptied: !args.Protect, Protect: args.Protect,
		ExpireDays: map[string]int{originals: args.UploadExpireDays, selftests: selftestDays},
	}, pulumi.Parent(s))
	// Releases never expire: a rollback, or a scale-out before a rollout, starts an old one. They hold nothing
	// that cannot be built again, so a destroy may always empty the bucket.
	s.Releases = NewBucket(ctx, name+"-releases", &BucketArgs{Emptied: true}, pulumi.Parent(s))
	if logs := args.AccessLogs; logs != nil {
		s.Logs = NewBucket(ctx, name+"-access-logs", &BucketArgs{
			Emptied: true, ExpireDays: map[string]int{"": logs.Days}, Grants: logs.grants,
		}, pulumi.Parent(s))
	}
	must.OK(ctx.RegisterResourceOutputs(s, pulumi.Map{"table": s.Table.Name, "bucket": s.Images.Bucket.ID()}))
	return s
}

// newTable declares only the keys: DynamoDB refuses attributes that no key uses.
func newTable(ctx *pulumi.Context, name string, protect bool, parent pulumi.ResourceOption) *dynamodb.Table {
	return must.Get(dynamodb.NewTable(ctx, name, &dynamodb.TableArgs{
		// By request: the load of a demo and of a rush differ by more than capacity can be planned.
		BillingMode: pulumi.String("PAY_PER_REQUEST"),
		HashKey:     pulumi.String("id"),
		Attributes: dynamodb.TableAttributeArray{
			dynamodb.TableAttributeArgs{Name: pulumi.String("id"), Type: pulumi.String("S")},
			dynamodb.TableAttributeArgs{Name: pulumi.String("pending"), Type: pulumi.String("S")},
			dynamodb.TableAttributeArgs{Name: pulumi.String("updated"), Type: pulumi.String("N")},
		},
		// Only unfinished images have the attribute, so the index is as small as the backlog.
		GlobalSecondaryIndexes: dynamodb.TableGlobalSecondaryIndexArray{dynamodb.TableGlobalSecondaryIndexArgs{
			Name: pulumi.String(pendingIndex), HashKey: pulumi.String("pending"), RangeKey: pulumi.String("updated"),
			ProjectionType: pulumi.String("KEYS_ONLY"),
		}},
		Ttl: dynamodb.TableTtlArgs{AttributeName: pulumi.String("expires"), Enabled: pulumi.Bool(true)},
		PointInTimeRecovery: dynamodb.TablePointInTimeRecoveryArgs{Enabled: pulumi.Bool(true),
			RecoveryPeriodInDays: pulumi.Int(recoveryDays)},
		DeletionProtectionEnabled: pulumi.Bool(protect),
	}, parent, pulumi.Protect(protect)))
}

// grants lets load balancers write their logs, and nothing else.
func (a *AccessLogArgs) grants(arn string) []policy.Statement {
	s := policy.Statement{Sid: "AccessLogs", Effect: policy.Allow,
		Principal: policy.Principals{"Service": {"logdelivery.elasticloadbalancing.amazonaws.com"}},
		Action:    []string{"s3:PutObject"}, Resource: []string{arn + "/AWSLogs/" + a.AccountID + "/*"}}
	if a.DeliveryRoot == "" {
		return []policy.Statement{s}
	}
	old := s
	old.Sid, old.Principal = "AccessLogsOldRegions", policy.Principals{"AWS": {a.DeliveryRoot}}
	return []policy.Statement{s, old}
}
