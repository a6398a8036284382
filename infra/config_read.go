package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"

	"imagery/infra/network"
)

// reader parses a value into a field, which it gets as a pointer. The caller puts key and value before its error.
type reader func(field any, v string) error

// text reads into a field of kind string.
func text(field any, v string) error {
	reflect.ValueOf(field).Elem().SetString(v)
	return nil
}

func choice[S ~string](options ...S) reader {
	return func(field any, v string) error {
		if !slices.Contains(options, S(v)) {
			names := strings.Trim(fmt.Sprint(options), "[]")
			return fmt.Errorf("is not one of %s", strings.ReplaceAll(names, " ", ", "))
		}
		return text(field, v)
	}
}

// boolean reads into a *bool, or a **bool that is nil if the key is not set.
func boolean(field any, v string) error {
	b, err := strconv.ParseBool(v)
	if err != nil {
		return fmt.Errorf("is not true or false")
	}
	switch field := field.(type) {
	case *bool:
		*field = b
	case **bool:
		*field = &b
	}
	return nil
}

// integer returns a reader of a whole number from least to most. Every number has an upper bound, since a typing error
// in a count of instances costs money.
func integer(least, most int) reader {
	return func(field any, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < least || n > most {
			return fmt.Errorf("is not a whole number from %d to %d", least, most)
		}
		*field.(*int) = n
		return nil
	}
}

// list reads "a,b" or the JSON list that `pulumi config set --path` writes.
func list(field any, v string) error {
	items := strings.Split(v, ",")
	if strings.HasPrefix(v, "[") {
		items = nil
		if err := object(&items, v); err != nil {
			return err
		}
	}
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	*field.(*[]string) = items
	return nil
}

// object reads the JSON that `pulumi config set --path` writes. A member that the field does not have is an error, not
// ignored. Numbers and booleans become strings, because YAML writes an account id without quotes.
func object(field any, v string) error {
	var value any
	numbers := json.NewDecoder(strings.NewReader(v))
	numbers.UseNumber()
	if err := numbers.Decode(&value); err != nil {
		return fmt.Errorf("is not JSON, as `pulumi config set --path` writes it")
	}
	b, err := json.Marshal(scalarsToStrings(value))
	if err != nil {
		return err
	}
	strict := json.NewDecoder(bytes.NewReader(b))
	strict.DisallowUnknownFields()
	if err := strict.Decode(field); err != nil {
		return fmt.Errorf("cannot be decoded: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// scalarsToStrings replaces the numbers and booleans within a JSON value by strings.
func scalarsToStrings(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = scalarsToStrings(v[k])
		}
	case []any:
		for i := range v {
			v[i] = scalarsToStrings(v[i])
		}
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	return v
}

func readVPC(field any, v string) error {
	p, err := netip.ParsePrefix(v)
	if err != nil {
		return fmt.Errorf("is not an address range such as 10.42.0.0/16")
	}
	*field.(*netip.Prefix) = p
	return network.CheckCIDR(p)
}

// readTags reads "a=b,c=d" or an object.
func readTags(field any, v string) error {
	if strings.HasPrefix(v, "{") {
		return object(field, v)
	}
	tags := map[string]string{}
	for _, item := range strings.Split(v, ",") {
		name, value, found := strings.Cut(item, "=")
		name = strings.TrimSpace(name)
		if _, twice := tags[name]; twice || !found {
			return fmt.Errorf("is not a list such as team=photos,cost-centre=4711 with different names")
		}
		tags[name] = strings.TrimSpace(value)
	}
	*field.(*map[string]string) = tags
	return nil
}

// readAWSKey reads an aws: key as its field needs it.
func readAWSKey(key string, field any, v string) error {
	switch key {
	case "retryMode":
		return choice("standard", "adaptive")(field, v)
	case "ec2MetadataServiceEndpointMode":
		return choice("IPv4", "IPv6")(field, v)
	}
	switch field := field.(type) {
	case *string:
		return text(field, v)
	case **bool:
		return boolean(field, v)
	case *int:
		return integer(1, 1_000_000)(field, v)
	case *aws.ProviderAssumeRole:
		if err := readRole(field, v); err != nil {
			return err
		}
		return checkRole(field.RoleArn, field.Duration)
	case *aws.ProviderAssumeRoleWithWebIdentity:
		if err := readRole(field, v); err != nil {
			return err
		}
		if (field.WebIdentityToken == nil) == (field.WebIdentityTokenFile == nil) {
			return fmt.Errorf("needs either webIdentityToken or webIdentityTokenFile")
		}
		return checkRole(field.RoleArn, field.Duration)
	case *map[string]string:
		return readEndpoints(field, v)
	}
	return object(field, v)
}

// readRole reads an object whose empty texts are unset.
func readRole(role any, v string) error {
	err := object(role, v)
	for _, field := range reflect.ValueOf(role).Elem().Fields() {
		if text, ok := field.Interface().(*string); ok && text != nil && *text == "" {
			field.SetZero()
		}
	}
	return err
}

// checkRole checks the fields that both ways to assume a role have.
func checkRole(arn, duration *string) error {
	if arn == nil {
		return fmt.Errorf("has no roleArn")
	}
	if duration == nil {
		return nil
	}
	if d, err := time.ParseDuration(*duration); err != nil || d < 15*time.Minute || d > 12*time.Hour {
		return fmt.Errorf("has a duration that is not between 15m and 12h")
	}
	return nil
}

// readEndpoints reads a list of objects, each from services to URLs, or one such object.
func readEndpoints(into *map[string]string, v string) error {
	var all []map[string]string
	if strings.HasPrefix(v, "{") {
		v = "[" + v + "]"
	}
	if err := object(&all, v); err != nil {
		return err
	}
	*into = map[string]string{}
	for _, endpoints := range all {
		for name, url := range endpoints {
			if endpointField(name) < 0 {
				return fmt.Errorf("names %q, which is not a service of the provider", name)
			}
			if !strings.HasPrefix(url, "http://") && !strings.HasPrefix(url, "https://") {
				return fmt.Errorf("has no http:// or https:// URL for %s", name)
			}
			(*into)[name] = url
		}
	}
	return nil
}
