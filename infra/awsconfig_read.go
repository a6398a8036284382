package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Readers turn the text of an aws: key into its setting. Their errors finish the sentence that begins with the key.

func awsText(at func(*AWSSettings) *string) func(*AWSSettings, string) error {
	return func(a *AWSSettings, v string) error { *at(a) = v; return nil }
}

func awsChoice(at func(*AWSSettings) *string, options ...string) func(*AWSSettings, string) error {
	return func(a *AWSSettings, v string) error {
		if !slices.Contains(options, v) {
			return fmt.Errorf("is not one of %s", strings.Join(options, ", "))
		}
		*at(a) = v
		return nil
	}
}

func awsBool(at func(*AWSSettings) **bool) func(*AWSSettings, string) error {
	return func(a *AWSSettings, v string) error {
		b, err := strconv.ParseBool(v)
		if err != nil {
			return fmt.Errorf("is not true or false")
		}
		*at(a) = &b
		return nil
	}
}

func awsCount(at func(*AWSSettings) *int) func(*AWSSettings, string) error {
	return func(a *AWSSettings, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			return fmt.Errorf("is not a whole number from 1")
		}
		*at(a) = n
		return nil
	}
}

// awsJSON reads the JSON that `pulumi config set --path` writes.
func awsJSON(at func(*AWSSettings) any) func(*AWSSettings, string) error {
	return func(a *AWSSettings, v string) error { return object(v, at(a)) }
}

// object reads a JSON value into out. A field that out does not have is an error: it would be ignored silently.
// Numbers and truth values become texts, since YAML writes an account id without quotes.
func object(v string, out any) error {
	var any any
	numbers := json.NewDecoder(strings.NewReader(v))
	numbers.UseNumber()
	if err := numbers.Decode(&any); err != nil {
		return fmt.Errorf("is not JSON, as `pulumi config set --path` writes it")
	}
	b, err := json.Marshal(scalarsToTexts(any))
	if err != nil {
		return err
	}
	strict := json.NewDecoder(bytes.NewReader(b))
	strict.DisallowUnknownFields()
	if err := strict.Decode(out); err != nil {
		return fmt.Errorf("cannot be read: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// scalarsToTexts writes numbers and truth values within a JSON value as texts.
func scalarsToTexts(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = scalarsToTexts(v[k])
		}
	case []any:
		for i := range v {
			v[i] = scalarsToTexts(v[i])
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
	return roleProblem(a.AssumeRole.RoleArn, a.AssumeRole.Duration)
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
	return roleProblem(r.RoleArn, r.Duration)
}

// roleProblem checks what both ways to a role have.
func roleProblem(arn, duration string) error {
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
