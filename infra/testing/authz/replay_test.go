package authz_test

import (
	"slices"
	"strings"
	"testing"

	"imagery/infra/testing/authz"
)

// TestReplay: a grant is needed if a recorded request is denied without it, in the policies of its holder as they are
// now, whatever else allows it.
func TestReplay(t *testing.T) {
	both := strings.Replace(read, `"s3:GetObject"`, `"s3:GetObject","s3:PutObject"`, 1)
	get, put := request("s3:GetObject", photo, ""), request("s3:PutObject", photo, "")
	limited := `{"Effect":"Allow","Action":["s3:PutObject"],"Resource":["arn:aws:s3:::photos/upload/*"],
		"Condition":{"Bool":{"aws:SecureTransport":["true"]}}}`
	for _, c := range []struct {
		name, identity, endpoint string
		requests                 []authz.Request
		needed, unneeded         []string
	}{
		{"one of two", both, "", []authz.Request{get, get}, []string{"server s3:GetObject"}, []string{"server s3:PutObject"}},
		{"none", both, "", []authz.Request{request("sqs:SendMessage", "q", "")}, nil,
			[]string{"server s3:GetObject", "server s3:PutObject"}},
		{"granted twice", read + "," + readAll, "", []authz.Request{get}, nil,
			[]string{"server s3:GetObject", "server s3:Get*"}},
		{"granted with and without a condition", limited + "," + both, "", []authz.Request{put},
			[]string{"server s3:PutObject"}, []string{"server s3:GetObject"}},
		{"granted on something else, too", read + "," + strings.Replace(read, "photos", "releases", 1), "",
			[]authz.Request{get}, []string{"server s3:GetObject"}, []string{"server s3:GetObject"}},
		{"pattern", readAll, "", []authz.Request{get}, []string{"server s3:Get*"}, nil},
		{"not granted any more", both, "", []authz.Request{request("s3:GetObject", "arn:aws:s3:::old/1", ""), put},
			[]string{"server s3:PutObject"}, []string{"server s3:GetObject"}},
		{"endpoint", readAll, both, []authz.Request{get}, []string{"VPC endpoint of s3 s3:GetObject", "server s3:Get*"},
			[]string{"VPC endpoint of s3 s3:PutObject"}},
		{"denials are no grants", read + "," + noHTTP, "", []authz.Request{get}, []string{"server s3:GetObject"}, nil},
	} {
		p := authz.Policies{Identity: parse(t, c.identity)}
		if c.endpoint != "" {
			p.Endpoint = parse(t, c.endpoint)
		}
		var r authz.Record
		for _, request := range c.requests {
			r.Add("server", authz.Allowed{Policies: p, Request: request})
		}
		got, err := r.Replay()
		if err != nil || got.Calls != len(c.requests) || !slices.Equal(names(got.Needed), c.needed) ||
			!slices.Equal(names(got.Unneeded), c.unneeded) {
			t.Errorf("%s: %d calls needed %q and not %q, %v", c.name, got.Calls, got.Needed, got.Unneeded, err)
		}
	}
}

func names(grants []authz.Grant) (out []string) {
	for _, g := range grants {
		out = append(out, g.Holder+" "+g.Action)
	}
	return out
}

func TestReplayIsOneLine(t *testing.T) {
	var r authz.Record
	p := authz.Policies{Identity: parse(t, readAll), Endpoint: parse(t, readAll+","+toEC2)}
	get := authz.Allowed{Policies: p, Request: request("s3:GetObject", photo, "")}
	r.Add("server", get, get)
	got, err := r.Replay()
	if err != nil || got.String() != "rights: 1 calls, 2 of 3 actions needed; each denied by name when removed" {
		t.Errorf("%s, %v", got, err)
	}
}
