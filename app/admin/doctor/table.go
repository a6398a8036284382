package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"imagery/app/deploy/iam"
)

// pendingIndex is the index of unfinished images.
var pendingIndex = strings.TrimPrefix(string(iam.Pending), string(iam.Table)+"/index/")

// repair is what brings a changed resource back to what the program says.
const repair = "pulumi up --refresh"

// table holds the table against what the code reads and writes.
func (c Cloud) table(ctx context.Context, a *area) {
	out, err := ask(ctx, c.tables.DescribeTable, &dynamodb.DescribeTableInput{TableName: &c.Settings.Table})
	if gone(err) {
		a.wrong("there is no table "+c.Settings.Table, "no image can be read", "look at the name and the region, or: pulumi up")
		return
	}
	if err != nil {
		a.failed("the table", err)
		return
	}
	t := out.Table
	if t.TableStatus != types.TableStatusActive && t.TableStatus != "" { // an emulator may not say
		a.warn("the table is "+string(t.TableStatus), "it is being made or changed", "aws dynamodb wait table-exists --table-name "+c.Settings.Table)
	}
	keys := keysOf(t.KeySchema, t.AttributeDefinitions)
	if keys != "id HASH S" {
		a.wrong("the table's key is "+keys, "the code wants id HASH S: it is another table", "look at -table; it cannot be changed")
	} else {
		a.ok("table %s has its key", c.Settings.Table)
	}
	c.index(a, t)
	if mode := t.BillingModeSummary; mode != nil && mode.BillingMode != types.BillingModePayPerRequest {
		a.warn("the table is billed "+string(mode.BillingMode), "a rush is throttled at the capacity that was bought", repair)
	}
	if !aws.ToBool(t.DeletionProtectionEnabled) {
		a.info("the table may be deleted", "right for a trial, not for photos that matter", "pulumi config set imagery:protectData true, then pulumi up")
	}
	c.keeping(ctx, a)
}

// index looks at the index of unfinished images, without which nobody repairs lost hints.
func (c Cloud) index(a *area, t *types.TableDescription) {
	const means = "the reconciler cannot find unfinished images: a lost message is a photo that waits for ever"
	for _, i := range t.GlobalSecondaryIndexes {
		if aws.ToString(i.IndexName) != pendingIndex {
			continue
		}
		keys := keysOf(i.KeySchema, t.AttributeDefinitions)
		switch {
		case keys != "pending HASH S, updated RANGE N":
			a.wrong(pendingIndex+" has the keys "+keys, means, repair)
		case i.IndexStatus != types.IndexStatusActive && i.IndexStatus != "":
			a.warn(pendingIndex+" is "+string(i.IndexStatus), "until it is active, "+means, "wait, then: imagery doctor")
		case i.Projection != nil && i.Projection.ProjectionType != types.ProjectionTypeKeysOnly:
			a.warn(pendingIndex+" projects "+string(i.Projection.ProjectionType), "every write costs more than with KEYS_ONLY", repair)
		default:
			a.ok("%s has its keys", pendingIndex)
		}
		return
	}
	a.wrong("there is no "+pendingIndex, means, repair)
}

// keeping looks at what the table forgets, and what it can bring back.
func (c Cloud) keeping(ctx context.Context, a *area) {
	ttl, err := ask(ctx, c.tables.DescribeTimeToLive, &dynamodb.DescribeTimeToLiveInput{TableName: &c.Settings.Table})
	if err != nil {
		a.failed("its TTL", err)
	} else if d := ttl.TimeToLiveDescription; d == nil || d.TimeToLiveStatus != types.TimeToLiveStatusEnabled && d.TimeToLiveStatus != types.TimeToLiveStatusEnabling {
		a.wrong("TTL is off", "images without an upload stay for ever, and cost", repair)
	} else if name := aws.ToString(d.AttributeName); name != "expires" {
		a.wrong("TTL is on "+name+", not on expires", "images without an upload stay for ever, others may vanish", repair)
	} else {
		a.ok("TTL is on expires")
	}
	backups, err := ask(ctx, c.tables.DescribeContinuousBackups, &dynamodb.DescribeContinuousBackupsInput{TableName: &c.Settings.Table})
	if err != nil {
		a.failed("its backups", err)
		return
	}
	d := backups.ContinuousBackupsDescription
	if d == nil || d.PointInTimeRecoveryDescription == nil || d.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus != types.PointInTimeRecoveryStatusEnabled {
		a.info("point-in-time recovery is off", "what is deleted by mistake is gone", repair)
		return
	}
	a.ok("point-in-time recovery is on")
}

// keysOf writes a key schema with its types.
func keysOf(schema []types.KeySchemaElement, attributes []types.AttributeDefinition) string {
	var parts []string
	for _, k := range schema {
		kind := ""
		for _, d := range attributes {
			if aws.ToString(d.AttributeName) == aws.ToString(k.AttributeName) {
				kind = string(d.AttributeType)
			}
		}
		parts = append(parts, fmt.Sprintf("%s %s %s", aws.ToString(k.AttributeName), k.KeyType, kind))
	}
	return strings.Join(parts, ", ")
}
