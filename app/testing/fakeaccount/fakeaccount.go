// Package fakeaccount emulates an AWS account for tests of the operator's commands: the emulators of table, bucket and
// queue, and alarms with a history, topics, tags and the settings that the emulators do not have. It implements the
// protocols of the SDK, so that the real binary can be tested.
package fakeaccount

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"imagery/app/deploy/settings"
	"imagery/app/imagery"
	"imagery/app/testing/fakeaws"
)

// ID is the number of the account.
const ID = "000000000000"

// Account has one stack, named test, which is healthy until a test changes that.
type Account struct {
	Cloud *fakeaws.Cloud
	Stack fakeaws.Stack
	URL   string // endpoint of all services
	Topic string // ARN of the topic of all alarms

	mu      sync.Mutex
	alarms  []*Alarm
	answers map[string]answer // by service:Operation
	calls   []string          // service:Operation, and of an alarm what was done
	hook    func(call string)
	tagged  []string
	skew    time.Duration
}

// answer is a fixed answer to an operation.
type answer struct {
	status int
	body   string
}

func (a answer) write(w http.ResponseWriter) {
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body) // fails only if the client closed the connection
}

// Start starts the account until the test ends, and sets the SDK's environment variables to it.
func Start(t *testing.T) *Account {
	t.Helper()
	cloud := fakeaws.New()
	t.Cleanup(cloud.Close)
	a := &Account{Cloud: cloud, answers: healthy(),
		Topic: "arn:aws:sns:" + fakeaws.Region + ":" + ID + ":imagery-test-alarms-1a2b3c4"}
	a.Subscribe(Subscription{"email", "oncall@example.com", true})
	for _, name := range settings.Alarms {
		a.alarms = append(a.alarms, &Alarm{Name: "imagery-test-" + name + "-1a2b3c4", State: "OK", Enabled: true,
			Since:   time.Now().Add(-time.Hour),
			Actions: []string{a.Topic}, Over: []string{a.Topic}, Delivers: true})
	}
	var err error
	limits := imagery.Limits{Visibility: settings.QueueVisibility, MaxReceives: settings.QueueMaxReceives}
	if a.Stack, err = cloud.NewStack(t.Context(), "imagery-test", limits); err != nil {
		t.Fatal(err)
	}
	a.Queue(t, "imagery-test-dlq", nil)
	a.Queue(t, "imagery-test", nil)
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	a.URL = server.URL
	for _, line := range cloud.Env("operator") {
		name, value, _ := strings.Cut(line, "=")
		if strings.HasPrefix(name, "AWS_ENDPOINT_URL") {
			value = a.URL
		}
		t.Setenv(name, value)
	}
	return a
}

// Queue creates a queue with these attributes, or those of infra where none is given. "" removes an attribute.
func (a *Account) Queue(t *testing.T, name string, with map[string]string) {
	t.Helper()
	all := map[string]string{"VisibilityTimeout": "120", "MessageRetentionPeriod": "345600",
		"SqsManagedSseEnabled": "true"}
	if strings.HasSuffix(name, "-dlq") {
		all["VisibilityTimeout"], all["MessageRetentionPeriod"] = "30", "1209600"
	} else {
		all["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":"arn:aws:sqs:%s:%s:imagery-test-dlq","maxReceiveCount":5}`,
			fakeaws.Region, ID)
	}
	for k, v := range with {
		if all[k] = v; v == "" {
			delete(all, k)
		}
	}
	if _, err := a.Cloud.SQS().CreateQueue(t.Context(),
		&sqs.CreateQueueInput{QueueName: &name, Attributes: all}); err != nil {
		t.Fatal(err)
	}
}

// Flags returns the flags of a command on the account's stack.
func (a *Account) Flags() []string {
	return append([]string{"--stack", "test"}, a.Stack.Flags()...)
}

// Answers sets the answer of an operation, such as s3:GetPublicAccessBlock.
func (a *Account) Answers(operation string, status int, body string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answers[operation] = answer{status, body}
}

// Hook sets a function that is called with the service:Operation of each call.
func (a *Account) Hook(hook func(call string)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hook = hook
}

// Calls returns the service:Operation of all calls so far.
func (a *Account) Calls() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.calls)
}

// Tag adds resources that have the stack's tags.
func (a *Account) Tag(arns ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tagged = append(a.tagged, arns...)
}

// Instance sets the only instance of all groups.
func (a *Account) Instance(id, group string) {
	a.Answers("autoscaling:DescribeAutoScalingInstances", 200, result("DescribeAutoScalingInstances",
		"<AutoScalingInstances><member><InstanceId>"+id+"</InstanceId><AutoScalingGroupName>"+group+
			"</AutoScalingGroupName></member></AutoScalingInstances>"))
}

// Skew sets how far the clock of AWS is ahead.
func (a *Account) Skew(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.skew = d
}

// ServeHTTP answers the calls that the account implements, and forwards others to the emulators.
func (a *Account) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	call := nameOf(r, body)
	a.mu.Lock()
	a.calls = append(a.calls, call)
	fixed, ok := a.answers[call]
	hook := a.hook
	w.Header().Set("Date", time.Now().Add(a.skew).UTC().Format(http.TimeFormat))
	a.mu.Unlock()
	if hook != nil {
		hook(call)
	}
	service, operation, _ := strings.Cut(call, ":")
	switch {
	case ok:
		fixed.write(w)
	case service == "cloudwatch":
		a.cloudWatch(w, operation, body)
	case operation == "GetResources":
		answer{200, a.resources(body)}.write(w)
	default:
		target, _ := url.Parse(a.Cloud.Endpoint)
		proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) },
			ModifyResponse: func(r *http.Response) error { r.Header.Del("Date"); return nil }}
		proxy.ServeHTTP(w, r)
	}
}

// versions maps API versions of the query protocol to services.
var versions = map[string]string{"2010-03-31": "sns", "2011-06-15": "sts", "2011-01-01": "autoscaling",
	"2015-12-01": "elasticloadbalancing"}

// nameOf returns the service:Operation of a request.
func nameOf(r *http.Request, body []byte) string {
	if operation, ok := strings.CutPrefix(r.URL.Path, "/service/GraniteServiceVersion20100801/operation/"); ok {
		return "cloudwatch:" + operation
	}
	if service, operation, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		return map[string]string{"DynamoDB_20120810": "dynamodb", "AmazonSQS": "sqs",
			"ResourceGroupsTaggingAPI_20170126": "tag"}[service] + ":" + operation
	}
	if form, err := url.ParseQuery(string(body)); err == nil && form.Get("Action") != "" {
		return versions[form.Get("Version")] + ":" + form.Get("Action")
	}
	for parameter, operation := range map[string]string{"publicAccessBlock": "GetPublicAccessBlock",
		"policyStatus": "GetBucketPolicyStatus", "lifecycle": "GetBucketLifecycleConfiguration"} {
		if r.URL.Query().Has(parameter) {
			return "s3:" + operation
		}
	}
	return "s3:" + r.Method
}

// resources answers GetResources, in pages of two.
func (a *Account) resources(body []byte) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var in struct{ PaginationToken string }
	_ = json.Unmarshal(body, &in)
	from := 0
	_, _ = fmt.Sscan(in.PaginationToken, &from)
	to, next := min(from+2, len(a.tagged)), ""
	if to < len(a.tagged) {
		next = fmt.Sprint(to)
	}
	list := []map[string]string{}
	for _, arn := range a.tagged[from:to] {
		list = append(list, map[string]string{"ResourceARN": arn})
	}
	out, _ := json.Marshal(map[string]any{"PaginationToken": next, "ResourceTagMappingList": list})
	return string(out)
}

// Items counts the items of the table.
func (a *Account) Items(t *testing.T) int {
	t.Helper()
	out, err := a.Cloud.DynamoDB().Scan(t.Context(), &dynamodb.ScanInput{TableName: &a.Stack.Table})
	if err != nil {
		t.Fatal(err)
	}
	return len(out.Items)
}
