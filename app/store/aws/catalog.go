package aws

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"imagery/app/imagery"
)

// catalog implements imagery.Catalog on a table with the hash key id and the index pendingIndex on pending and updated.
//
// Expressions use placeholders for all attribute names, because "state" is a reserved word in DynamoDB, and AWS may
// reserve more.
type catalog struct {
	db    *dynamodb.Client
	table string
}

const pendingIndex = "pending-index"

// probeID is the id that Ping reads. It is not a UUID, so no image has it.
const probeID = "readyz"

// Create implements imagery.Catalog. TTL deletes expired items up to days late, so the condition treats them as absent.
// It compares like Image.Expired, in seconds, the unit of TTL.
func (c *catalog) Create(ctx context.Context, img imagery.Image, now time.Time) error {
	_, err := call(ctx, callBound, c.db.PutItem, &dynamodb.PutItemInput{
		TableName:                 &c.table,
		Item:                      encode(img),
		ConditionExpression:       aws.String("attribute_not_exists(#id) OR #expires <= :now"),
		ExpressionAttributeNames:  map[string]string{"#id": "id", "#expires": "expires"},
		ExpressionAttributeValues: item{":now": number(now.Unix())},
	})
	return mapCondition(err, imagery.ErrExists)
}

// Get implements imagery.Catalog with a consistent read. A stale item would only cause a conflict, but a stale "not
// found" for an image that was just created would be wrong.
func (c *catalog) Get(ctx context.Context, id string) (imagery.Image, error) {
	it, err := c.get(ctx, id)
	if err != nil {
		return imagery.Image{}, err
	}
	if len(it) == 0 {
		return imagery.Image{}, imagery.ErrNotFound
	}
	return decode(it)
}

// Ping reads an id that no item has.
func (c *catalog) Ping(ctx context.Context) error {
	_, err := c.get(ctx, probeID)
	return err
}

func (c *catalog) get(ctx context.Context, id string) (item, error) {
	out, err := call(ctx, callBound, c.db.GetItem, &dynamodb.GetItemInput{
		TableName: &c.table, Key: item{"id": text(id)}, ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, err
	}
	return out.Item, nil
}

// Move implements imagery.Catalog. UpdateItem creates a missing item, hence the condition attribute_exists. State and
// key are compared as well as the version, because another program may count versions differently.
func (c *catalog) Move(ctx context.Context, from, to imagery.Image) error {
	names := map[string]string{"#id": "id", "#version": "version", "#state": "state", "#rawS3Key": "rawS3Key"}
	values := item{":oldVersion": number(from.Version), ":oldState": text(string(from.State))}
	var set, remove []string
	it := encode(to)
	for _, name := range moved {
		names["#"+name] = name
		if v, ok := it[name]; ok {
			set = append(set, fmt.Sprintf("#%s = :%s", name, name))
			values[":"+name] = v
		} else {
			remove = append(remove, "#"+name)
		}
	}
	update := "SET " + strings.Join(set, ", ")
	if len(remove) > 0 {
		update += " REMOVE " + strings.Join(remove, ", ")
	}
	condition := "attribute_exists(#id) AND #version = :oldVersion AND #state = :oldState AND "
	if from.RawKey == "" {
		condition += "attribute_not_exists(#rawS3Key)"
	} else {
		condition += "#rawS3Key = :oldRawS3Key"
		values[":oldRawS3Key"] = text(from.RawKey)
	}
	return c.update(ctx, from.ID, update, condition, names, values)
}

// Touch implements imagery.Catalog. It compares only the version, which changes with every other attribute.
func (c *catalog) Touch(ctx context.Context, img imagery.Image, hinted time.Time) error {
	return c.update(ctx, img.ID, "SET #hinted = :hinted", "attribute_exists(#id) AND #version = :oldVersion",
		map[string]string{"#id": "id", "#version": "version", "#hinted": "hinted"},
		item{":hinted": number(hinted.UnixMilli()), ":oldVersion": number(img.Version)})
}

// leasePrefix starts the id of an item that is a lease, with the attributes holder and until (in milliseconds).
const leasePrefix = "lease-"

// Lease implements imagery.Catalog with one conditional write.
func (c *catalog) Lease(ctx context.Context, name, holder string, now, until time.Time) (bool, error) {
	err := c.update(ctx, leasePrefix+name, "SET #holder = :holder, #until = :until",
		"attribute_not_exists(#holder) OR #holder = :holder OR #until < :now",
		map[string]string{"#holder": "holder", "#until": "until"},
		item{":holder": text(holder), ":until": number(until.UnixMilli()), ":now": number(now.UnixMilli())})
	if errors.Is(err, imagery.ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

func (c *catalog) update(ctx context.Context, id, update, condition string,
	names map[string]string, values item) error {
	_, err := call(ctx, callBound, c.db.UpdateItem, &dynamodb.UpdateItemInput{
		TableName: &c.table, Key: item{"id": text(id)},
		UpdateExpression: &update, ConditionExpression: &condition,
		ExpressionAttributeNames: names, ExpressionAttributeValues: values,
	})
	return mapCondition(err, imagery.ErrConflict)
}

// Pending implements imagery.Catalog with one page of the index. The index lags about a second behind the table. It
// contains keys only, so that writes to other attributes do not cost index writes.
func (c *catalog) Pending(ctx context.Context, shard string, from, to time.Time, after string, limit int) (
	[]imagery.Pending, string, error) {
	in := &dynamodb.QueryInput{
		TableName: &c.table, IndexName: aws.String(pendingIndex), Limit: aws.Int32(int32(limit)),
		KeyConditionExpression:   aws.String("#pending = :shard AND #updated BETWEEN :from AND :to"),
		ExpressionAttributeNames: map[string]string{"#pending": "pending", "#updated": "updated"},
		ExpressionAttributeValues: item{
			":shard": text(shard), ":from": number(max(0, from.UnixMilli())), ":to": number(to.UnixMilli()),
		},
	}
	if after != "" {
		var err error
		if in.ExclusiveStartKey, err = startKey(shard, after); err != nil {
			return nil, "", err
		}
	}
	out, err := call(ctx, callBound, c.db.Query, in)
	if err != nil {
		return nil, "", err
	}
	list := make([]imagery.Pending, len(out.Items)) // may be empty although there is a next page
	for i, it := range out.Items {
		r := reader{item: it}
		list[i] = imagery.Pending{ID: r.text("id"), Updated: r.milli("updated")}
		if r.err != nil {
			return nil, "", fmt.Errorf("read row %q of %s: %w", list[i].ID, pendingIndex, r.err)
		}
	}
	if len(out.LastEvaluatedKey) == 0 {
		return list, "", nil
	}
	r := reader{item: out.LastEvaluatedKey}
	return list, fmt.Sprintf("%d/%s", r.number("updated"), r.text("id")), r.err
}

// startKey returns the index key in a cursor of Pending: the time in milliseconds, a slash and the id.
func startKey(shard, cursor string) (item, error) {
	updated, id, ok := strings.Cut(cursor, "/")
	ms, err := strconv.ParseInt(updated, 10, 64)
	if !ok || err != nil {
		return nil, fmt.Errorf("%q is not a cursor of the pending images", cursor)
	}
	return item{"pending": text(shard), "updated": number(ms), "id": text(id)}, nil
}

func (c *catalog) delete(ctx context.Context, id string) error {
	in := &dynamodb.DeleteItemInput{TableName: &c.table, Key: item{"id": text(id)}}
	_, err := call(ctx, callBound, c.db.DeleteItem, in)
	return err
}

// mapCondition returns failed if the condition of a write was not met, else err.
func mapCondition(err, failed error) error {
	if _, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		return failed
	}
	return err
}
