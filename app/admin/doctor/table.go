package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

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
