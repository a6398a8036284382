package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

func awsBool(field func(*AWSSettings) **bool) func(*AWSSettings, string) error {
	return func(a *AWSSettings, v string) error {
		b, err := strconv.ParseBool(v)
		if err != nil {
			return fmt.Errorf("is not true or false")
		}
		*field(a) = &b
		return nil
	}
}

// awsJSON reads the JSON that `pulumi config set --path` writes.
func awsJSON(field func(*AWSSettings) any) func(*AWSSettings, string) error {
	return func(a *AWSSettings, v string) error { return object(v, field(a)) }
}

// object decodes a JSON value into out. A field that out does not have is an error, not ignored. Numbers and booleans
// become strings, because YAML writes an account id without quotes.
func object(v string, out any) error {
	var any any
	numbers := json.NewDecoder(strings.NewReader(v))
	numbers.UseNumber()
	if err := numbers.Decode(&any); err != nil {
		return fmt.Errorf("is not JSON, as `pulumi config set --path` writes it")
	}
	b, err := json.Marshal(scalarsToStrings(any))
	if err != nil {
		return err
	}
	strict := json.NewDecoder(bytes.NewReader(b))
	strict.DisallowUnknownFields()
	if err := strict.Decode(out); err != nil {
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

func readAssumeRole(a *AWSSettings, v string) error {
	a.AssumeRole = new(assumeRole)
	if err := object(v, a.AssumeRole); err != nil {
		return err
	}
	return checkRole(a.AssumeRole.RoleArn, a.AssumeRole.Duration)
}

func readWebIdentity(a *AWSSettings, v string) error {
	r := new(webIdentityRole)
	a.AssumeRoleWithWebIdentity = r
	if err := object(v, r); err != nil {
		return err
	}
	if (r.WebIdentityToken == "") == (r.WebIdentityTokenFile == "") {
		return fmt.Errorf("needs either webIdentityToken or webIdentityTokenFile")
	}
	return checkRole(r.RoleArn, r.Duration)
}

// checkRole checks the fields that both ways to assume a role have.
func checkRole(arn, duration string) error {
	if arn == "" {
		return fmt.Errorf("has no roleArn")
	}
	if d, err := time.ParseDuration(duration); duration != "" && (err != nil || d < 15*time.Minute || d > 12*time.Hour) {
		return fmt.Errorf("has a duration that is not between 15m and 12h")
	}
	return nil
}

func readDefaultTags(a *AWSSettings, v string) error {
	var holder struct{ Tags map[string]string }
	if err := object(v, &holder); err != nil {
		return err
	}
	a.DefaultTags = holder.Tags
	return nil
}

// readEndpoints reads a list of objects, each from services to URLs, or one such object.
func readEndpoints(a *AWSSettings, v string) error {
	var list []map[string]string
	if strings.HasPrefix(v, "{") {
		v = "[" + v + "]"
	}
	if err := object(v, &list); err != nil {
		return err
	}
	a.Endpoints = map[string]string{}
	for _, endpoints := range list {
		for name, url := range endpoints {
			if endpointField(name) < 0 {
				return fmt.Errorf("names %q, which is not a service of the provider", name)
			}
			if !strings.HasPrefix(url, "http://") && !strings.HasPrefix(url, "https://") {
				return fmt.Errorf("has no http:// or https:// URL for %s", name)
			}
			a.Endpoints[name] = url
		}
	}
	return nil
}
