package aws

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"imagery/app/imagery"
)

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

var placeholder = regexp.MustCompile(`#\w+`)

// namesIn returns the attribute names of expressions, in which #name stands for the attribute name. All names are
// replaced like this, because "state" is a reserved word in DynamoDB, and AWS may reserve more.
func namesIn(expressions ...string) map[string]string {
	names := map[string]string{}
	for _, p := range placeholder.FindAllString(strings.Join(expressions, " "), -1) {
		names[p] = p[1:]
	}
	return names
}
