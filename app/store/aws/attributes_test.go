package aws_test

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// shape returns the names and types of all values, one per line.
func shape(t *testing.T, r released) []string {
	t.Helper()
	seen := map[string]bool{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, x := range v {
				walk(path+" "+name, x)
			}
		case []any:
			for _, x := range v {
				walk(path+" []", x)
			}
		default:
			seen[path] = true
		}
	}
	for _, img := range r.Images {
		item := map[string]any{}
		for name, raw := range img.Item {
			var v any
			must(t, json.Unmarshal(raw, &v))
			item[name] = v
		}
		state := item["state"].(map[string]any)["S"].(string)
		walk(state, item)
		for _, h := range img.Hints {
			var v any
			must(t, json.Unmarshal([]byte(h), &v))
			walk(state+" hint", v)
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// jsonOf and attributeOf convert the types of values that items have.
func jsonOf(t *testing.T, v types.AttributeValue) json.RawMessage {
	t.Helper()
	var plain any
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		plain = map[string]any{"S": v.Value}
	case *types.AttributeValueMemberN:
		plain = map[string]any{"N": v.Value}
	case *types.AttributeValueMemberL:
		list := []json.RawMessage{}
		for _, x := range v.Value {
			list = append(list, jsonOf(t, x))
		}
		plain = map[string]any{"L": list}
	case *types.AttributeValueMemberM:
		m := map[string]json.RawMessage{}
		for name, x := range v.Value {
			m[name] = jsonOf(t, x)
		}
		plain = map[string]any{"M": m}
	default:
		t.Fatalf("no item has a %T yet", v)
	}
	b, err := json.Marshal(plain)
	must(t, err)
	return b
}

func attributeOf(t *testing.T, raw json.RawMessage) types.AttributeValue {
	t.Helper()
	var v struct {
		S *string
		N *string
		L []json.RawMessage
		M map[string]json.RawMessage
	}
	must(t, json.Unmarshal(raw, &v))
	switch {
	case v.S != nil:
		return text(*v.S)
	case v.N != nil:
		return &types.AttributeValueMemberN{Value: *v.N}
	case v.L != nil:
		list := &types.AttributeValueMemberL{}
		for _, x := range v.L {
			list.Value = append(list.Value, attributeOf(t, x))
		}
		return list
	}
	m := &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{}}
	for name, x := range v.M {
		m.Value[name] = attributeOf(t, x)
	}
	return m
}
