package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"

	"imagery/infra/policy"
	"imagery/infra/testing/asgsim"
	"imagery/infra/testing/authz"
)

func TestRequestOf(t *testing.T) {
	request := func(method, path, target, body string) *http.Request {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("X-Amz-Target", target)
		return r
	}
	const group = "imagery-rehearsal-server"
	for _, c := range []struct {
		r                      *http.Request
		body, action, resource string
		leadingKey             string
	}{
		{request("PUT", "/photos/upload/1/a?x-id=PutObject", "", "x"), "x", "s3:PutObject",
			"arn:aws:s3:::photos/upload/1/a", ""},
		{request("GET", "/photos?list-type=2", "", ""), "", "s3:ListBucket", "arn:aws:s3:::photos", ""},
		{request("POST", "/", "DynamoDB_20120810.GetItem", ""), `{"TableName":"t","Key":{"id":{"S":"5e1f7e57-1"}}}`,
			"dynamodb:GetItem", "arn:aws:dynamodb:us-east-1:123456789012:table/t", "5e1f7e57-1"},
		{request("POST", "/", "DynamoDB_20120810.Query", ""), `{"TableName":"t","IndexName":"i"}`,
			"dynamodb:Query", "arn:aws:dynamodb:us-east-1:123456789012:table/t/index/i", ""},
		{request("POST", "/", "AmazonSQS.DeleteMessageBatch", ""), `{"QueueUrl":"http://10.99.0.1:4566/123456789012/q"}`,
			"sqs:DeleteMessage", "arn:aws:sqs:us-east-1:123456789012:q", ""},
		{request("POST", "/", "", ""), "Action=CompleteLifecycleAction&AutoScalingGroupName=" + group,
			"autoscaling:CompleteLifecycleAction",
			"arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:1:autoScalingGroupName/" + group, ""},
	} {
		got := requestOf(c.r, []byte(c.body))
		if got.Action != c.action || got.Resource != c.resource ||
			strings.Join(got.Context["dynamodb:LeadingKeys"], ",") != c.leadingKey {
			t.Errorf("%s %s %s is %+v", c.r.Method, c.r.URL, c.body, got)
		}
	}
}

// simulator returns a simulator with a group, whose machines never boot.
func simulator(t *testing.T, g asgsim.Group) *asgsim.Simulator {
	t.Helper()
	machines := &asgsim.Memory{Script: func(asgsim.Machine) asgsim.Script { return asgsim.Script{Boot: time.Hour} }}
	machines.Simulator = asgsim.New(asgsim.Options{Driver: machines})
	t.Cleanup(machines.Simulator.Close)
	machines.Simulator.Create(g)
	return machines.Simulator
}

// frontOf returns a front whose moto is another simulator, with a group of the same name and another capacity.
func frontOf(t *testing.T) (f *front, theirs *asgsim.Simulator) {
	t.Helper()
	group := asgsim.Group{Name: "imagery-rehearsal-server", Max: 4, Template: "lt-1", Version: "1"}
	theirs = simulator(t, group)
	server := httptest.NewServer(theirs.Handler())
	t.Cleanup(server.Close)
	m := &moto{address: strings.TrimPrefix(server.URL, "http://"), config: aws.Config{Region: region,
		BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("rehearsal", "rehearsal", "")}}
	group.Max, group.Version = 2, "7"
	return newFront(m, simulator(t, group), nil, nil), theirs
}

func clientOf(t *testing.T, f *front) *autoscaling.Client {
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return autoscaling.New(autoscaling.Options{Region: region, BaseEndpoint: &server.URL,
		Credentials: credentials.NewStaticCredentialsProvider("rehearsal", "rehearsal", "")})
}

// TestDescriptionsAreMotosWithLiveValues: settings are those that moto keeps, what changes while machines run is the
// simulator's.
func TestDescriptionsAreMotosWithLiveValues(t *testing.T) {
	f, _ := frontOf(t)
	out, err := clientOf(t, f).DescribeAutoScalingGroups(t.Context(), &autoscaling.DescribeAutoScalingGroupsInput{})
	if err != nil || len(out.AutoScalingGroups) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	g := out.AutoScalingGroups[0]
	if *g.MaxSize != 4 || *g.LaunchTemplate.Version != "7" {
		t.Errorf("the largest size is %d, want moto's 4; the version is %s, want the simulator's 7", *g.MaxSize,
			*g.LaunchTemplate.Version)
	}
}

// TestARefusedChangeReachesNeither: moto accepts sizes that Auto Scaling refuses.
func TestARefusedChangeReachesNeither(t *testing.T) {
	f, theirs := frontOf(t)
	c := clientOf(t, f)
	update := func(desired int32) error {
		_, err := c.UpdateAutoScalingGroup(t.Context(), &autoscaling.UpdateAutoScalingGroupInput{
			AutoScalingGroupName: aws.String("imagery-rehearsal-server"), DesiredCapacity: &desired})
		return err
	}
	if err := update(3); err == nil || !strings.Contains(err.Error(), "ValidationError") {
		t.Errorf("3 instances of at most 2: %v", err)
	}
	if g, _, err := theirs.Snapshot("imagery-rehearsal-server"); err != nil || g.Desired != 0 {
		t.Errorf("after a refused change moto wants %d instances, %v", g.Desired, err)
	}
	if err := update(2); err != nil {
		t.Error(err)
	}
	if g, _, err := theirs.Snapshot("imagery-rehearsal-server"); err != nil || g.Desired != 2 {
		t.Errorf("moto wants %d instances, want 2, %v", g.Desired, err)
	}
}

// TestACallThatNoPolicyAllowsIsDenied: machines are known by the name of their role, and others are not checked.
func TestACallThatNoPolicyAllowsIsDenied(t *testing.T) {
	f, _ := frontOf(t)
	const role = "imagery-rehearsal-server"
	for _, key := range []string{"role " + role, "endpoint autoscaling", "endpoint sqs", "bucket photos", "endpoint s3"} {
		if _, err := f.rights.read(key, func() ([]string, error) { return nil, nil }); err != nil {
			t.Fatal(err)
		}
	}
	allow := policy.JSON(policy.Statement{Effect: policy.Allow, Action: []string{"sqs:SendMessage"},
		Resource: []string{arn("sqs", "q")}})
	delete(f.rights.cache, "role "+role)
	if _, err := f.rights.read("role "+role, func() ([]string, error) { return []string{allow}, nil }); err != nil {
		t.Fatal(err)
	}
	send := `{"QueueUrl":"http://10.99.0.1:4566/123456789012/q"}`
	call := func(caller, target, body string) (*http.Request, error) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("X-Amz-Target", target)
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+caller+"/20261129/us-east-1/sqs/aws4_request")
		return r, f.rights.check(r, []byte(body))
	}
	if _, err := call(role, "AmazonSQS.SendMessage", send); err != nil {
		t.Error(err)
	}
	if _, err := call("rehearsal", "AmazonSQS.DeleteQueue", send); err != nil {
		t.Errorf("Pulumi's call: %v", err)
	}
	r, err := call(role, "AmazonSQS.ReceiveMessage", send)
	if denied := (*authz.DeniedError)(nil); !errors.As(err, &denied) || denied.Action != "sqs:ReceiveMessage" {
		t.Fatalf("a call that is not granted: %v", err)
	}
	w := httptest.NewRecorder()
	deny(w, r, []byte(send), err)
	if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "AccessDenied") {
		t.Errorf("the answer is %d %s", w.Code, w.Body)
	}
	form := url.Values{"Action": {"CompleteLifecycleAction"}, "AutoScalingGroupName": {role}}
	r = httptest.NewRequest(http.MethodPost, "/", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+role+"/20261129/us-east-1/autoscaling/aws4_request")
	w = httptest.NewRecorder()
	f.ServeHTTP(w, r)
	if body, _ := io.ReadAll(w.Body); w.Code != http.StatusForbidden || !strings.Contains(string(body), "AccessDenied") {
		t.Errorf("the answer is %d %s", w.Code, body)
	}
}
