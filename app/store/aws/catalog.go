package aws

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"imagery/app/imagery"
)

// catalog implements imagery.Catalog on a table with the hash key id and the index pendingIndex on pending and updated.
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
	const condition = "attribute_not_exists(#id) OR #expires <= :now"
	_, err := call(ctx, callBound, c.db.PutItem, &dynamodb.PutItemInput{
		TableName: &c.table, Item: encode(img), ConditionExpression: aws.String(condition),
		ExpressionAttributeNames: namesIn(condition), ExpressionAttributeValues: item{":now": number(now.Unix())},
	})
	return mapCondition(err, imagery.ErrExists)
}

// Get implements imagery.Catalog with a consistent read. A stale item would only cause a conflict, but a stale "not
// found" for an image that was just created would be wrong.
func (c *catalog) Get(ctx context.Context, id string) (imagery.Image, error) {
	it, err := c.get(ctx, id)
	if err == nil && len(it) == 0 {
		err = imagery.ErrNotFound
	}
	if err != nil {
		return imagery.Image{}, err
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
	values := item{":oldVersion": number(from.Version), ":oldState": text(string(from.State))}
	var set, remove []string
	it := encode(to)
	for _, name := range imagery.MovedAttributes {
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
	return c.update(ctx, from.ID, update, condition, values)
}

// Touch implements imagery.Catalog. It compares only the version, which every transition changes.
func (c *catalog) Touch(ctx context.Context, img imagery.Image, hinted time.Time) error {
	return c.update(ctx, img.ID, "SET #hinted = :hinted", "attribute_exists(#id) AND #version = :oldVersion",
		item{":hinted": number(hinted.UnixMilli()), ":oldVersion": number(img.Version)})
}

// leasePrefix starts the id of an item that is a lease, with the attributes holder and until (in milliseconds).
const leasePrefix = "lease-"

// Lease implements imagery.Catalog with one conditional write.
func (c *catalog) Lease(ctx context.Context, name, holder string, now, until time.Time) (bool, error) {
	err := c.update(ctx, leasePrefix+name, "SET #holder = :holder, #until = :until",
		"attribute_not_exists(#holder) OR #holder = :holder OR #until < :now",
		item{":holder": text(holder), ":until": number(until.UnixMilli()), ":now": number(now.UnixMilli())})
	if errors.Is(err, imagery.ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

func (c *catalog) update(ctx context.Context, id, update, condition string, values item) error {
	_, err := call(ctx, callBound, c.db.UpdateItem, &dynamodb.UpdateItemInput{
		TableName: &c.table, Key: item{"id": text(id)},
		UpdateExpression: &update, ConditionExpression: &condition,
		ExpressionAttributeNames: namesIn(update, condition), ExpressionAttributeValues: values,
	})
	return mapCondition(err, imagery.ErrConflict)
}

// Pending implements imagery.Catalog with one page of the index, which lags about a second behind the table. The index
// contains keys only, so that writes to other attributes do not cost index writes.
func (c *catalog) Pending(ctx context.Context, shard string, from, to time.Time, after string, limit int) (
	[]imagery.Pending, string, error) {
	const condition = "#pending = :shard AND #updated BETWEEN :from AND :to"
	in := &dynamodb.QueryInput{
		TableName: &c.table, IndexName: aws.String(pendingIndex), Limit: aws.Int32(int32(limit)),
		KeyConditionExpression: aws.String(condition), ExpressionAttributeNames: namesIn(condition),
		ExpressionAttributeValues: item{
			":shard": text(shard), ":from": number(imagery.Millis(from)), ":to": number(to.UnixMilli()),
		},
	}
	if after != "" { // the cursor is the time in milliseconds, a slash and the id
		updated, id, ok := strings.Cut(after, "/")
		ms, err := strconv.ParseInt(updated, 10, 64)
		if !ok || err != nil {
			return nil, "", fmt.Errorf("%q is not a cursor of the pending images", after)
		}
		in.ExclusiveStartKey = item{"pending": text(shard), "updated": number(ms), "id": text(id)}
	}
	out, err := call(ctx, callBound, c.db.Query, in)
	if err != nil {
		return nil, "", err
	}
	list := make([]imagery.Pending, len(out.Items)) // may be empty, since a full page always has a next one
	for i, it := range out.Items {
		img, err := decode(it)
		if err != nil {
			return nil, "", err
		}
		list[i] = imagery.Pending{ID: img.ID, Updated: img.Updated}
	}
	if len(out.LastEvaluatedKey) == 0 {
		return list, "", nil
	}
	last, err := decode(out.LastEvaluatedKey)
	return list, fmt.Sprintf("%d/%s", last.Updated.UnixMilli(), last.ID), err
}

// mapCondition returns failed if the condition of a write was not met, else err.
func mapCondition(err, failed error) error {
	if _, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		return failed
	}
	return err
}

// item contains the attributes of a DynamoDB item by name.
type item = map[string]types.AttributeValue

// encode returns the attributes of an image. Times in its history are numbers, in milliseconds.
func encode(img imagery.Image) item {
	it, err := attributevalue.MarshalMapWithOptions(img.Item(), func(o *attributevalue.EncoderOptions) {
		o.TagKey = "json"
		o.EncodeTime = func(t time.Time) (types.AttributeValue, error) { return number(imagery.Millis(t)), nil }
	})
	if err != nil {
		panic(err) // strings, numbers and times always marshal
	}
	return it
}

// decode returns the image of an item. A version that is not a number is an error, because with 0 every later write
// would be a conflict.
func decode(it item) (imagery.Image, error) {
	var stored imagery.Item
	err := attributevalue.UnmarshalMapWithOptions(it, &stored, func(o *attributevalue.DecoderOptions) {
		o.TagKey = "json"
		o.DecodeTime.N = func(n string) (time.Time, error) {
			ms, err := strconv.ParseInt(n, 10, 64)
			return time.UnixMilli(ms).UTC(), err
		}
	})
	if err != nil {
		return imagery.Image{}, fmt.Errorf("read item %q: %w", idOf(it), err)
	}
	return stored.Image(), nil
}

// idOf returns the id of an item.
func idOf(it item) (id string) {
	_ = attributevalue.Unmarshal(it["id"], &id) // the key of the table is always a string
	return id
}

func text(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }

func number(v int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(v, 10)}
}

var namePlaceholder = regexp.MustCompile(`#\w+`)

// namesIn returns the attribute names of expressions, in which #name stands for the attribute name. All names are
// replaced like this, because "state" is a reserved word in DynamoDB, and AWS may reserve more.
func namesIn(expressions ...string) map[string]string {
	names := map[string]string{}
	for _, p := range namePlaceholder.FindAllString(strings.Join(expressions, " "), -1) {
		names[p] = p[1:]
	}
	return names
}
