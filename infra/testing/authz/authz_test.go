package authz_test

import (
	"errors"
	"strings"
	"testing"

	"imagery/infra/policy"
	"imagery/infra/testing/authz"
)

// parse returns a policy with these statements.
func parse(t *testing.T, statements string) []policy.Document {
	t.Helper()
	d, err := authz.Parse(`{"Version":"2012-10-17","Statement":[` + statements + `]}`)
	if err != nil {
		t.Fatal(err)
	}
	return []policy.Document{d}
}

const (
	read    = `{"Effect":"Allow","Action":["s3:GetObject"],"Resource":["arn:aws:s3:::photos/upload/*"]}`
	readAll = `{"Effect":"Allow","Action":["s3:Get*"],"Resource":["*"]}`
	noHTTP  = `{"Effect":"Deny","Principal":"*","Action":["s3:*"],"Resource":["arn:aws:s3:::photos/*"],
		"Condition":{"Bool":{"aws:SecureTransport":["false"]}}}`
	noOldTLS = `{"Effect":"Deny","Principal":"*","Action":["s3:*"],"Resource":["*"],
		"Condition":{"NumericLessThan":{"s3:TlsVersion":["1.2"]}}}`
	ownItems = `{"Effect":"Allow","Action":["dynamodb:DeleteItem"],"Resource":["*"],
		"Condition":{"ForAllValues:StringLike":{"dynamodb:LeadingKeys":["5e1f7e57-*"]}}}`
	someOwnItems = `{"Effect":"Allow","Action":["dynamodb:DeleteItem"],"Resource":["*"],
		"Condition":{"ForAllValues:StringLike":{"dynamodb:LeadingKeys":["5e1f7e57-*"]},
		"Null":{"dynamodb:LeadingKeys":["false"]}}}`
	toEC2 = `{"Effect":"Allow","Action":["iam:PassRole"],"Resource":["arn:aws:iam::*:role/imagery-*"],
		"Condition":{"StringEquals":{"iam:PassedToService":["ec2.amazonaws.com","ecs.amazonaws.com"]}}}`
)

const (
	photo = "arn:aws:s3:::photos/upload/1/a"
	role  = "arn:aws:iam::111122223333:role/imagery-prod-server"
)

// request returns a request with the values of one condition key; an empty key means none.
func request(action, resource, key string, values ...string) authz.Request {
	r := authz.Request{Action: action, Resource: resource}
	if key != "" {
		r.Context = map[string][]string{key: values}
	}
	return r
}

func TestEvaluate(t *testing.T) {
	get := request("s3:GetObject", photo, "")
	plain := request("s3:GetObject", photo, "aws:SecureTransport", "false")
	secure := request("s3:GetObject", photo, "aws:securetransport", "true")
	tls := func(version string) authz.Request { return request("s3:GetObject", photo, "s3:TlsVersion", version) }
	remove := func(ids ...string) authz.Request {
		return request("dynamodb:DeleteItem", "table", "dynamodb:LeadingKeys", ids...)
	}
	pass := func(to string) authz.Request { return request("iam:PassRole", role, "iam:PassedToService", to) }
	const (
		noIdentity = "because no identity-based policy allows the"
		deny       = "with an explicit deny in a resource-based policy"
	)
	for _, c := range []struct {
		name, identity, boundary, endpoint, resource string
		request                                      authz.Request
		want                                         string // part of the error; empty: allowed
	}{
		{"allowed", read, "", "", "", get, ""},
		{"no policy", "", "", "", "", get, noIdentity + " s3:GetObject action"},
		{"another action", read, "", "", "", request("s3:PutObject", photo, ""), noIdentity},
		{"actions ignore case", read, "", "", "", request("S3:getobject", photo, ""), ""},
		{"another resource", read, "", "", "", request("s3:GetObject", "arn:aws:s3:::photos/x", ""), noIdentity},
		{"resources heed case", read, "", "", "", request("s3:GetObject", "arn:aws:s3:::Photos/upload/1", ""), noIdentity},
		{"pattern of an action", readAll, "", "", "", get, ""},
		{"boundary allows", read, readAll, "", "", get, ""},
		{"boundary does not", read, toEC2, "", "", get, "because no permissions boundary allows the s3:GetObject"},
		{"boundary grants nothing", "", readAll, "", "", get, noIdentity},
		{"endpoint allows", read, "", read, "", get, ""},
		{"endpoint does not", read, "", toEC2, "", get, "because no VPC endpoint policy allows the s3:GetObject"},
		{"resource grants nothing", "", "", "", readAll, get, noIdentity},
		{"denied", read, "", "", noHTTP, plain, deny},
		{"denied before all else", "", "", "", noHTTP, plain, deny},
		{"denial is about others", read, "", "", noHTTP, secure, ""},
		{"denial lacks its key", read, "", "", noHTTP, get, ""},
		{"less", read, "", "", noOldTLS, tls("1.1"), deny},
		{"not less", read, "", "", noOldTLS, tls("1.2"), ""},
		{"no number", read, "", "", noOldTLS, tls("x"), ""},
		{"own item", ownItems, "", "", "", remove("5e1f7e57-1"), ""},
		{"one of two items", ownItems, "", "", "", remove("5e1f7e57-1", "2"), noIdentity},
		{"no items are all own", ownItems, "", "", "", request("dynamodb:DeleteItem", "table", ""), ""},
		{"no items", someOwnItems, "", "", "", request("dynamodb:DeleteItem", "table", ""), noIdentity},
		{"some own items", someOwnItems, "", "", "", remove("5e1f7e57-1"), ""},
		{"second value", toEC2, "", "", "", pass("ecs.amazonaws.com"), ""},
		{"no value", toEC2, "", "", "", pass("lambda.amazonaws.com"), noIdentity},
		{"no key", toEC2, "", "", "", request("iam:PassRole", role, ""), noIdentity},
	} {
		var p authz.Policies
		for _, layer := range []struct {
			text string
			to   *[]policy.Document
		}{{c.identity, &p.Identity}, {c.boundary, &p.Boundary}, {c.endpoint, &p.Endpoint}, {c.resource, &p.Resource}} {
			if layer.text != "" {
				*layer.to = parse(t, layer.text)
			}
		}
		err := authz.Evaluate(p, c.request)
		denied := (*authz.DeniedError)(nil)
		if (err != nil) != (c.want != "") || err != nil && !errors.As(err, &denied) || err != nil &&
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// TestParseRefusesWhatItCannotEvaluate: a policy with an unknown element must not silently allow or deny nothing.
func TestParseRefusesWhatItCannotEvaluate(t *testing.T) {
	for text, want := range map[string]string{
		`{"Effect":"Allow","NotAction":["s3:*"]}`:                                      "NotAction",
		`{"Effect":"Allow","Condition":{"DateLessThan":{"aws:CurrentTime":["2026"]}}}`: "DateLessThan",
		`{"Effect":"Allow","Condition":{"ForAnyValue:StringEquals":{"a":["b"]}}}`:      "ForAnyValue",
		`{"Effect":"Maybe"}`: "Maybe",
		`{`:                  "parse a policy",
	} {
		if _, err := authz.Parse(`{"Statement":[` + text + `]}`); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", text, err, want)
		}
	}
}
