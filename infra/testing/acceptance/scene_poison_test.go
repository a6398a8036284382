package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestHide: what a bucket's policy said remains, word for word.
func TestHide(t *testing.T) {
	const was = `{"Version":"2012-10-17","Statement":[{"Sid":"TLSOnly","Effect":"Deny","Principal":"*",` +
		`"Action":["s3:*"],"Resource":["arn:aws:s3:::b"],"Condition":{"Bool":{"aws:SecureTransport":["false"]}}}]}`
	got, err := hide(was, "arn:aws:s3:::b/upload/x*")
	if err != nil {
		t.Fatal(err)
	}
	var before, after struct{ Statement []map[string]any }
	if err := json.Unmarshal([]byte(was), &before); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(got), &after); err != nil || len(after.Statement) != 2 {
		t.Fatalf("%v: %s", err, got)
	}
	kept, _ := json.Marshal(after.Statement[0])
	if want, _ := json.Marshal(before.Statement[0]); string(kept) != string(want) {
		t.Errorf("the first statement is %s, want %s", kept, want)
	}
	added, _ := json.Marshal(after.Statement[1])
	for _, want := range []string{`"Effect":"Deny"`, `"Principal":"*"`, `["s3:GetObject"]`,
		`["arn:aws:s3:::b/upload/x*"]`} {
		if !strings.Contains(string(added), want) {
			t.Errorf("the new statement lacks %s: %s", want, added)
		}
	}
	if _, err := hide("no policy", "x"); err == nil {
		t.Error("a policy that is no JSON passes")
	}
}

func TestDeliverOnce(t *testing.T) {
	got, err := deliverOnce(`{"deadLetterTargetArn":"arn:aws:sqs:r:1:dead","maxReceiveCount":5}`)
	if want := `{"deadLetterTargetArn":"arn:aws:sqs:r:1:dead","maxReceiveCount":1}`; got != want || err != nil {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
	if _, err := deliverOnce(`{}`); err == nil {
		t.Error("a queue without dead letters passes")
	}
}
