package aws_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"imagery/app/deploy/iam"
	"imagery/app/imagery"
	awsstore "imagery/app/store/aws"
	"imagery/app/testing/fakeaws"
)

// roles lists what each role does with the ports. This tests the calls of the adapters; the end-to-end tests compare
// the calls of the whole program.
var roles = map[string]struct {
	allowed []iam.Action
	probe   string
	live    func(t *testing.T, b *awsstore.Store, img imagery.Image)
}{
	"server": {iam.Server, "processed/readyz", func(t *testing.T, b *awsstore.Store, img imagery.Image) {
		ready(t, b)
		must(t, b.Catalog().Create(t.Context(), img, time.Now()))
		_, err := b.Catalog().Get(t.Context(), img.ID)
		must(t, err)
		must(t, put(t, b, imagery.RawKey(img.ID, "hash"), []byte("photo")))
		must(t, b.Catalog().Move(t.Context(), img, uploaded(img)))
		must(t, b.Queue().Send(t.Context(), []byte("hint"), "trace"))
		_, err = b.Blobs().Link(t.Context(), imagery.ProcessedKey(img.ID, "hash", "png"), "")
		must(t, err)
	}},
	"worker": {iam.Worker, "upload/readyz", func(t *testing.T, b *awsstore.Store, img imagery.Image) {
		ready(t, b)
		ms, err := b.Queue().Receive(t.Context(), 10, time.Second)
		must(t, err)
		_, err = b.Blobs().Get(t.Context(), imagery.RawKey(img.ID, "hash"), 100)
		must(t, err)
		must(t, put(t, b, imagery.ProcessedKey(img.ID, "hash", "png"), []byte("result")))
		must(t, b.Catalog().Touch(t.Context(), uploaded(img), time.Now()))
		_, _, err = b.Catalog().Pending(t.Context(), img.ID[:1], time.Time{}, time.Now(), "", 10)
		must(t, err)
		_, err = b.Queue().Extend(t.Context(), time.Minute, ms...)
		must(t, err)
		must(t, b.Queue().Delete(t.Context(), ms...))
		must(t, b.Queue().Send(t.Context(), []byte("hint"), ""))
		must(t, b.DeadLetters().Send(t.Context(), []byte("dead"), "")) // by the test: see below
		ms, err = b.DeadLetters().Receive(t.Context(), 10, time.Second)
		must(t, err)
		_, err = b.DeadLetters().Extend(t.Context(), 0, ms...)
		must(t, err)
	}},
	"selftest": {iam.Selftest, "processed/readyz", func(t *testing.T, b *awsstore.Store, _ imagery.Image) {
		img := newImage()
		img.ID = iam.SelftestIDPrefix + img.ID[len(iam.SelftestIDPrefix):]
		must(t, b.Catalog().Create(t.Context(), img, time.Now()))
		must(t, b.Catalog().Move(t.Context(), img, uploaded(img)))
		_, err := b.Catalog().Get(t.Context(), img.ID)
		must(t, err)
		must(t, put(t, b, "selftest/x", []byte("picture")))
		_, err = b.Blobs().Get(t.Context(), "selftest/x", 100)
		must(t, err)
		must(t, b.Queue().Send(t.Context(), []byte("hint"), ""))
		must(t, b.DeleteObject(t.Context(), "selftest/x"))
		must(t, b.DeleteItem(t.Context(), img.ID))
	}},
}

// ready makes the calls of the readiness check.
func ready(t *testing.T, b *awsstore.Store) {
	t.Helper()
	must(t, b.Catalog().Ping(t.Context()))
	must(t, b.Blobs().Ping(t.Context()))
	_, err := b.Queue().Limits(t.Context())
	must(t, err)
}

// Each role makes exactly the calls that package iam lists for it, seen by the middleware and by the endpoint.
func TestCallsMatchPermissions(t *testing.T) {
	at, stack := fakeaws.Start(t, someLimits)
	img := newImage()
	var recorder fakeaws.Recorder
	for _, name := range []string{"server", "worker", "selftest"} {
		role := roles[name]
		cfg := at.Config(name)
		recorder.Attach(cfg, name)
		b, err := awsstore.Open(t.Context(), awsstore.Options{
			Table: stack.Table, Bucket: stack.Bucket, QueueURL: stack.QueueURL, ProbeKey: role.probe, AWS: cfg})
		must(t, err)
		role.live(t, b, img)
		if name == "server" { // the edge sees a link when it is followed
			link, err := b.Blobs().Link(t.Context(), imagery.ProcessedKey(img.ID, "hash", "png"), "")
			must(t, err)
			res, err := http.Get(link.URL)
			must(t, err)
			res.Body.Close()
		}
		for where, calls := range map[string][]fakeaws.Call{"middleware": recorder.Calls(), "edge": at.Proxy.Calls()} {
			calls = slices.DeleteFunc(calls, func(c fakeaws.Call) bool {
				return c.Caller != name || c.Operation == "SendMessage" && c.QueueURL == stack.DLQURL // the test's dead letter
			})
			for _, problem := range stack.Compare(role.allowed, calls) {
				t.Errorf("%s, seen by the %s: %s", name, where, problem)
			}
		}
	}
}

// The comparison finds an unlisted call, an unused permission, an inconsistent read and a key outside of its prefix.
func TestCompareFindsDifferences(t *testing.T) {
	stack := fakeaws.Stack{Table: "t", Bucket: "b", QueueURL: "http://sqs/0/q", DLQURL: "http://sqs/0/q-dlq"}
	allowed := []iam.Action{
		{Service: "dynamodb", Operation: "GetItem", Resource: iam.Table},
		{Service: "dynamodb", Operation: "DeleteItem", Resource: iam.Table, LeadingKey: "5e1f"},
		{Service: "dynamodb", Operation: "Query", Resource: iam.Pending},
		{Service: "s3", Operation: "GetObject", Resource: iam.Results},
		{Service: "sqs", Operation: "ReceiveMessage", Resource: iam.DeadLetters},
	}
	right := []fakeaws.Call{
		{Service: "dynamodb", Operation: "GetItem", Table: "t", ID: "x", Consistent: true},
		{Service: "dynamodb", Operation: "DeleteItem", Table: "t", ID: "5e1f0000"},
		{Service: "dynamodb", Operation: "Query", Table: "t", Index: "pending-index"},
		{Service: "s3", Operation: "GetObject", Bucket: "b", Object: "processed/x"},
		{Service: "sqs", Operation: "ReceiveMessage", QueueURL: stack.DLQURL},
	}
	if problems := stack.Compare(allowed, right); len(problems) > 0 {
		t.Errorf("found %q, want no problems", problems)
	}
	for want, calls := range map[string][]fakeaws.Call{
		"allowed and not called: sqs:ReceiveMessage": right[:4],
		"not consistent: GetItem": append(right[:5:5],
			fakeaws.Call{Service: "dynamodb", Operation: "GetItem", Table: "t", ID: "x"}),
		"not allowed: dynamodb:DeleteItem": append(right[:5:5],
			fakeaws.Call{Service: "dynamodb", Operation: "DeleteItem", Table: "t", ID: "other"}),
		"not allowed: dynamodb:GetItem on unknown": append(right[:5:5],
			fakeaws.Call{Service: "dynamodb", Operation: "GetItem", Table: "other", ID: "x", Consistent: true}),
		"not allowed: s3:GetObject on bucket/upload": append(right[:5:5],
			fakeaws.Call{Service: "s3", Operation: "GetObject", Bucket: "b", Object: "upload/x"}),
		"not allowed: sqs:ReceiveMessage on queue": append(right[:5:5],
			fakeaws.Call{Service: "sqs", Operation: "ReceiveMessage", QueueURL: stack.QueueURL}),
	} {
		problems := stack.Compare(allowed, calls)
		if len(problems) != 1 || !strings.HasPrefix(problems[0], want) {
			t.Errorf("found %q, want %q", problems, want)
		}
	}
}
