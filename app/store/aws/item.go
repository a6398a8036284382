package aws

import (
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"imagery/app/imagery"
)

// item contains the attributes of a DynamoDB item by name.
type item = map[string]types.AttributeValue

// moved lists the attributes that a transition sets or removes: all attributes of Image except id and created. Unknown
// attributes are kept, because a newer release may have written them.
var moved = []string{
	"version", "state", "updated", "hinted", "expires", "rawS3Key", "processedS3Key", "error", "pending", "history",
}

// encode returns the item of an image. Empty fields are omitted: an index key must not be empty or null, and TTL would
// delete an item with an expires attribute.
func encode(img imagery.Image) item {
	it := item{"id": text(img.ID), "version": number(img.Version), "state": text(string(img.State))}
	setText := func(name, v string) {
		if v != "" {
			it[name] = text(v)
		}
	}
	setMilli := func(name string, at time.Time) {
		if !at.IsZero() {
			it[name] = number(at.UnixMilli())
		}
	}
	setMilli("created", img.Created)
	setMilli("updated", img.Updated)
	setMilli("hinted", img.Hinted)
	if !img.Expires.IsZero() {
		it["expires"] = number(img.Expires.Unix()) // seconds: the table's TTL reads it
	}
	setText("rawS3Key", img.RawKey)
	setText("processedS3Key", img.ProcessedKey)
	setText("error", img.Error)
	setText("pending", img.PendingShard())
	if len(img.History) > 0 {
		events := make([]types.AttributeValue, len(img.History))
		for i, e := range img.History {
			events[i] = encodeEvent(e)
		}
		it["history"] = &types.AttributeValueMemberL{Value: events}
	}
	return it
}

// encodeEvent encodes one transition of the history, under the names of its JSON form.
func encodeEvent(e imagery.Event) types.AttributeValue {
	m := item{"at": number(e.At.UnixMilli()), "state": text(string(e.State)), "version": number(e.Version)}
	for name, v := range map[string]string{"release": e.Release, "instance": e.Instance, "cause": e.Cause} {
		if v != "" {
			m[name] = text(v)
		}
	}
	if e.Receives != 0 {
		m["receives"] = number(int64(e.Receives))
	}
	return &types.AttributeValueMemberM{Value: m}
}

// decode reads an item of any release, or of the original application. The latter stores no time of the last
// transition; decode uses the time of creation instead.
func decode(it item) (imagery.Image, error) {
	r := reader{item: it}
	img := imagery.Image{
		ID: r.text("id"), Version: r.number("version"), State: imagery.State(r.text("state")),
		Created: r.milli("created"), Updated: r.milli("updated"), Hinted: r.milli("hinted"),
		RawKey: r.text("rawS3Key"), ProcessedKey: r.text("processedS3Key"), Error: r.text("error"),
	}
	if s := r.number("expires"); s != 0 {
		img.Expires = time.Unix(s, 0)
	}
	if img.Updated.IsZero() {
		img.Updated = img.Created
	}
	if list, ok := it["history"].(*types.AttributeValueMemberL); ok {
		for _, v := range list.Value {
			if m, ok := v.(*types.AttributeValueMemberM); ok {
				img.History = append(img.History, r.event(m.Value))
			}
		}
	}
	if r.err != nil {
		return imagery.Image{}, fmt.Errorf("read item %q: %w", img.ID, r.err)
	}
	return img, nil
}

// reader reads attributes of an item and keeps the first error. A missing attribute reads as the zero value. An
// attribute of another type is an error, because a version that reads as 0 would make every later write a conflict.
type reader struct {
	item item
	err  error
}

func (r *reader) text(name string) string {
	switch v := r.item[name].(type) {
	case nil, *types.AttributeValueMemberNULL:
	case *types.AttributeValueMemberS:
		return v.Value
	default:
		r.fail(fmt.Errorf("attribute %s is a %T, not a string", name, v))
	}
	return ""
}

func (r *reader) number(name string) int64 {
	switch v := r.item[name].(type) {
	case nil, *types.AttributeValueMemberNULL:
	case *types.AttributeValueMemberN:
		n, err := strconv.ParseInt(v.Value, 10, 64)
		if err != nil {
			r.fail(fmt.Errorf("attribute %s: %w", name, err))
		}
		return n
	default:
		r.fail(fmt.Errorf("attribute %s is a %T, not a number", name, v))
	}
	return 0
}

func (r *reader) milli(name string) time.Time {
	if ms := r.number(name); ms != 0 {
		return time.UnixMilli(ms)
	}
	return time.Time{}
}

func (r *reader) event(m item) imagery.Event {
	e := reader{item: m}
	event := imagery.Event{
		At: e.milli("at"), State: imagery.State(e.text("state")), Version: e.number("version"),
		Release: e.text("release"), Instance: e.text("instance"), Receives: int(e.number("receives")), Cause: e.text("cause"),
	}
	r.fail(e.err)
	return event
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func text(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }

func number(v int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(v, 10)}
}
