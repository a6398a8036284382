package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"imagery/app/admin/doctor"
	"imagery/app/testing/fakeaccount"
)

type examined struct {
	Wrong    int
	Findings []doctor.Finding
}

// examine runs doctor on the account.
func examine(t *testing.T, a *fakeaccount.Account, args ...string) (e examined, err error) {
	t.Helper()
	out, _, err := runCommand(t, t.Context(), nil, slices.Concat([]string{"doctor", "--json"}, a.Flags(), args)...)
	if jsonErr := json.Unmarshal([]byte(out), &e); jsonErr != nil {
		t.Fatalf("%v: %s, %v", jsonErr, out, err)
	}
	return e, err
}

// pulumiSays puts a pulumi on PATH that prints those outputs and that export.
func pulumiSays(t *testing.T, outputs, export string) {
	t.Helper()
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\ncase \"$2\" in output) cat <<'END'\n%s\nEND\n;; export) cat <<'END'\n%s\nEND\n;; "+
		"esac\n", outputs, export)
	if err := os.WriteFile(filepath.Join(dir, "pulumi"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
}

const (
	noState = `{"version":3,"deployment":{"resources":[]}}`
	emailed = "email oncall@example.com"
)

// A stack as infra makes it has nothing wrong and nothing to warn of, and every call of the doctor is a harmless one.
func TestDoctorOnAHealthyStack(t *testing.T) {
	a := fakeaccount.Start(t)
	pulumiSays(t, "{}", noState)
	e, err := examine(t, a)
	if err != nil {
		t.Errorf("%v: %+v", err, e.Findings)
	}
	areas := map[string]bool{}
	for _, f := range e.Findings {
		areas[f.Area] = true
		if f.Level == doctor.Warning || f.Level == doctor.Wrong {
			t.Errorf("%+v", f)
		}
	}
	for _, area := range []string{"credentials", "clock", "settings", "table", "bucket", "queue", "permissions", "alarms",
		"leftovers"} {
		if !areas[area] {
			t.Errorf("nothing about %s", area)
		}
	}
	for _, call := range a.Calls() {
		if _, operation, _ := strings.Cut(call, ":"); !strings.HasPrefix(operation, "Get") &&
			!strings.HasPrefix(operation, "Describe") &&
			!slices.Contains([]string{"GET", "ListSubscriptionsByTopic", "Scan", "UpdateItem", "ChangeMessageVisibilityBatch",
				"DeleteMessageBatch"}, operation) {
			t.Errorf("the doctor called %s", call)
		}
	}
	e, _ = examine(t, a) // nothing is left behind by the first one
	if items := a.Items(t); items != 0 {
		t.Errorf("%d items are in the table", items)
	}
}

// Each thing that can be wrong is found, with what it means and what to type, and nothing else is.
func TestDoctorFinds(t *testing.T) {
	topic := func(attribute, value string) string {
		return `<GetTopicAttributesResponse><GetTopicAttributesResult><Attributes><entry><key>` + attribute +
			`</key><value>` + value + `</value></entry></Attributes></GetTopicAttributesResult></GetTopicAttributesResponse>`
	}
	table := func(old, new string) func(*testing.T, *fakeaccount.Account) {
		return func(t *testing.T, a *fakeaccount.Account) {
			damaged := strings.Replace(fakeaccount.Table, old, new, 1)
			if damaged == fakeaccount.Table {
				t.Fatalf("the table has no %s", old)
			}
			a.Answers("dynamodb:DescribeTable", 200, damaged)
		}
	}
	answer := func(operation string, status int, body string) func(*testing.T, *fakeaccount.Account) {
		return func(_ *testing.T, a *fakeaccount.Account) { a.Answers(operation, status, body) }
	}
	queue := func(name string, with map[string]string) func(*testing.T, *fakeaccount.Account) {
		return func(t *testing.T, a *fakeaccount.Account) { a.Queue(t, name, with) }
	}
	const source, dlq = "imagery-test", "imagery-test-dlq"
	xmlError := func(code string) string {
		return `<Error><Code>` + code + `</Code><Message>none</Message></Error>`
	}
	for name, c := range map[string]struct {
		damage func(*testing.T, *fakeaccount.Account)
		level  doctor.Level
		area   string
		want   string
	}{
		"no credentials": {answer("sts:GetCallerIdentity", 403,
			`<ErrorResponse><Error><Code>ExpiredToken</Code><Message>old</Message></Error></ErrorResponse>`), doctor.Wrong,
			"credentials", "ExpiredToken"},
		"clock": {func(_ *testing.T, a *fakeaccount.Account) { a.Skew(-10 * time.Minute) }, doctor.Wrong, "clock",
			"differ by 10m"},
		"clock a little": {func(_ *testing.T, a *fakeaccount.Account) { a.Skew(30 * time.Second) }, doctor.Warning,
			"clock", "differ by"},
		"no table": {answer("dynamodb:DescribeTable", 400, `{"__type":"com.amazonaws#ResourceNotFoundException"}`),
			doctor.Wrong, "table", "there is no table"},
		"another table": {table(`{"AttributeName":"id","KeyType":"HASH"}`,
			`{"AttributeName":"pending","KeyType":"HASH"}`), doctor.Wrong, "table", "key is pending HASH S"},
		"no index": {table("pending-index", "other-index"), doctor.Wrong, "table", "there is no pending-index"},
		"index keys": {table(`"updated","KeyType":"RANGE"`, `"id","KeyType":"RANGE"`), doctor.Wrong, "table",
			"has the keys pending HASH S, id RANGE S"},
		"index is made": {table(`"IndexStatus":"ACTIVE"`, `"IndexStatus":"CREATING"`), doctor.Warning, "table",
			"pending-index is CREATING"},
		"index projection": {table("KEYS_ONLY", "ALL"), doctor.Warning, "table", "projects ALL"},
		"TTL off": {answer("dynamodb:DescribeTimeToLive", 200,
			`{"TimeToLiveDescription":{"TimeToLiveStatus":"DISABLED"}}`), doctor.Wrong, "table", "TTL is off"},
		"TTL elsewhere": {answer("dynamodb:DescribeTimeToLive", 200,
			`{"TimeToLiveDescription":{"AttributeName":"updated","TimeToLiveStatus":"ENABLED"}}`), doctor.Wrong, "table",
			"TTL is on updated"},
		"no PITR": {answer("dynamodb:DescribeContinuousBackups", 200,
			`{"ContinuousBackupsDescription":{"ContinuousBackupsStatus":"ENABLED"}}`), doctor.Info, "table", "recovery is off"},
		"unprotected": {table(`"DeletionProtectionEnabled":true`, `"DeletionProtectionEnabled":false`), doctor.Info,
			"table", "may be deleted"},
		"no bucket": {answer("s3:GetPublicAccessBlock", 404, xmlError("NoSuchBucket")), doctor.Wrong, "bucket",
			"there is no bucket"},
		"no block": {answer("s3:GetPublicAccessBlock", 404, xmlError("NoSuchPublicAccessBlockConfiguration")),
			doctor.Wrong, "bucket", "has no public access block"},
		"half a block": {answer("s3:GetPublicAccessBlock", 200,
			`<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls></PublicAccessBlockConfiguration>`),
			doctor.Wrong, "bucket", "only some"},
		"public": {answer("s3:GetBucketPolicyStatus", 200,
			`<PolicyStatus><IsPublic>true</IsPublic></PolicyStatus>`), doctor.Wrong, "bucket", "is public"},
		"originals go soon": {answer("s3:GetBucketLifecycleConfiguration", 200, fakeaccount.Lifecycle("upload/", 14)),
			doctor.Wrong, "bucket", "removed after 14 days, dead letters after 14 days"},
		"originals stay": {answer("s3:GetBucketLifecycleConfiguration", 404, xmlError("NoSuchLifecycleConfiguration")),
			doctor.Warning, "bucket", "never removed"},
		"results go": {answer("s3:GetBucketLifecycleConfiguration", 200, fakeaccount.Lifecycle("", 30)), doctor.Wrong,
			"bucket", "results are removed after 30 days"},
		"no rights to see": {answer("s3:GetBucketPolicyStatus", 403, xmlError("AccessDenied")), doctor.Wrong, "bucket",
			"AccessDenied"},
		"short visibility": {queue(source, map[string]string{"VisibilityTimeout": "30"}), doctor.Wrong, "queue",
			"visibility timeout is 30s"},
		"long visibility": {queue(source, map[string]string{"VisibilityTimeout": "300"}), doctor.Warning, "queue",
			"visibility timeout is 5m0s"},
		"no redrive": {queue(source, map[string]string{"RedrivePolicy": ""}), doctor.Wrong, "queue",
			"no dead-letter queue"},
		"few receives": {queue(source,
			map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:imagery-test-dlq",` +
				`"maxReceiveCount":2}`}), doctor.Wrong, "queue", "2 receives with a visibility timeout of 2m0s"},
		"letters are lost": {queue(dlq, map[string]string{"MessageRetentionPeriod": "345600"}), doctor.Wrong, "queue",
			"kept for 4 days, messages for 4 days"},
		"in the clear": {queue(source, map[string]string{"SqsManagedSseEnabled": "false"}), doctor.Warning, "queue",
			"the queue is not encrypted"},
		"key of KMS": {queue(dlq, map[string]string{"KmsMasterKeyId": "alias/x"}), doctor.Warning, "queue", "KMS key"},
		"redrive denied": {queue(dlq, map[string]string{"RedriveAllowPolicy": `{"redrivePermission":"denyAll"}`}),
			doctor.Wrong, "queue", "rejects messages of the queue"},
		"a right": {answer("dynamodb:Scan", 400, fakeaccount.RefusalJSON), doctor.Wrong, "permissions",
			"no permission for dynamodb:Scan on the table"},
		"missing alarm": {func(_ *testing.T, a *fakeaccount.Account) { a.Remove("lag") }, doctor.Wrong, "alarms",
			"missing: lag"},
		"alarm rings": {func(_ *testing.T, a *fakeaccount.Account) { a.Alarm("lag").State = "ALARM" }, doctor.Warning,
			"alarms", "lag is in state ALARM"},
		"alarm is mute": {func(_ *testing.T, a *fakeaccount.Account) { a.Alarm("lag").Enabled = false }, doctor.Wrong,
			"alarms", "nobody will receive lag"},
		"pending": {func(_ *testing.T, a *fakeaccount.Account) {
			a.Subscribe(fakeaccount.Subscription{Protocol: "email", Endpoint: "oncall@example.com"})
		}, doctor.Wrong, "alarms", "any alarm: " + emailed + " has not confirmed"},
		"topic key": {answer("sns:GetTopicAttributes", 200, topic("KmsMasterKeyId", "alias/aws/sns")), doctor.Wrong, "alarms",
			"AWS's own key"},
		"leftover": {func(_ *testing.T, a *fakeaccount.Account) {
			a.Tag("arn:aws:ec2:us-east-1:000000000000:natgateway/nat-1")
		}, doctor.Warning, "leftovers", "natgateway/nat-1"},
		"stray instance": {func(_ *testing.T, a *fakeaccount.Account) {
			a.Tag("arn:aws:ec2:us-east-1:000000000000:instance/i-1")
		}, doctor.Warning, "leftovers", "instance/i-1"},
		"tags refused": {answer("tag:GetResources", 400, fakeaccount.RefusalJSON), doctor.Wrong, "leftovers", "AccessDenied"},
	} {
		t.Run(name, func(t *testing.T) {
			a := fakeaccount.Start(t)
			pulumiSays(t, "{}", noState)
			c.damage(t, a)
			e, err := examine(t, a)
			if (err != nil) != (c.level == doctor.Wrong) || (e.Wrong > 0) != (err != nil) {
				t.Errorf("%d wrong, %v", e.Wrong, err)
			}
			found := 0
			for _, f := range e.Findings {
				switch {
				case f.Level == c.level && f.Area == c.area && strings.Contains(f.Text, c.want):
					if found++; f.Means == "" || f.Do == "" {
						t.Errorf("it says too little: %+v", f)
					}
				case f.Level == doctor.Wrong || f.Level == doctor.Warning:
					t.Errorf("also: %+v", f)
				}
			}
			if found != 1 {
				t.Errorf("%d findings with %q: %+v", found, c.want, e.Findings)
			}
		})
	}
}

// What the state knows by id or ARN, and what belongs to a group, is no leftover, over all pages of tags.
func TestDoctorKnowsItsOwn(t *testing.T) {
	a := fakeaccount.Start(t)
	pulumiSays(t, "{}", `{"deployment":{"resources":[{"urn":"urn:vpc","id":"vpc-1"},
{"id":"https://queue","outputs":{"arn":"arn:aws:sqs:us-east-1:000000000000:q"}},
{"outputs":{"arn":{"secret":"x"}}},
{"id":"lg","outputs":{"arn":"arn:aws:logs:us-east-1:000000000000:log-group:/imagery/test/server:*"}}]}}`)
	const ec2 = "arn:aws:ec2:us-east-1:000000000000:"
	a.Tag(ec2+"vpc/vpc-1", "arn:aws:sqs:us-east-1:000000000000:q",
		"arn:aws:logs:us-east-1:000000000000:log-group:/imagery/test/server", ec2+"instance/i-1", ec2+"volume/vol-1")
	a.Instance("i-1", "imagery-test-server")
	e, err := examine(t, a)
	if err != nil || !slices.ContainsFunc(e.Findings, func(f doctor.Finding) bool {
		return f.Text == "5 resources have the stack's tags, and none is left over"
	}) {
		t.Errorf("%v %+v", err, e.Findings)
	}
}

// Without pulumi the tags are counted and it is said what is missing; with a stack that is gone, what it left is found.
func TestDoctorWithoutState(t *testing.T) {
	a := fakeaccount.Start(t)
	a.Tag("arn:aws:ec2:us-east-1:000000000000:natgateway/nat-1")
	t.Setenv("PATH", t.TempDir())
	e, err := examine(t, a)
	if err != nil || !slices.ContainsFunc(e.Findings, func(f doctor.Finding) bool {
		return f.Level == doctor.Info && f.Area == "leftovers" && strings.Contains(f.Text, "1 ec2 natgateway") &&
			strings.Contains(f.Means, "pulumi is not on PATH")
	}) {
		t.Errorf("%v %+v", err, e.Findings)
	}
	pulumiSays(t, "{}", noState)
	out, _, err := runCommand(t, t.Context(), nil, "doctor", "--stack", "test")
	out = strings.Join(strings.Fields(out), " ")
	if err == nil || !strings.Contains(out, "it has no table, bucket or queue") ||
		!strings.Contains(out, "not in the Pulumi state") {
		t.Errorf("%v\n%s", err, out)
	}
}
