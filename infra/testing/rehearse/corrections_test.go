package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"imagery/infra/testing/asgsim"
)

// forgetful is a front whose moto keeps nothing. seen has a line for each call that reached it.
func forgetful(t *testing.T) (config aws.Config, seen func() []string) {
	t.Helper()
	var lines []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		lines = append(lines, fmt.Sprintf("%s %s %s %s", r.Method, r.URL.RequestURI(), r.Header.Get("X-Amz-Target"), body))
		switch {
		case r.Method == http.MethodDelete:
			w.WriteHeader(http.StatusNoContent)
		case strings.Contains(string(body), "Action=DescribeLaunchTemplateVersions"):
			const spec = "<item><resourceType>%s</resourceType><tagSet><item><key>%s</key><value>x</value></item><item>" +
				"<key>more</key><value>y</value></item></tagSet></item>"
			fmt.Fprintf(w, "<R><launchTemplateVersionSet><item><launchTemplateData><tagSpecificationSet>"+spec+spec+spec+
				"</tagSpecificationSet></launchTemplateData></item></launchTemplateVersionSet></R>", "instance", "of",
				"launch-template", "own", "volume", "disk")
		case strings.Contains(string(body), `"RedriveAllowPolicy"]`):
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"__type":"InvalidAttributeName","message":"Unknown Attribute RedriveAllowPolicy."}`)
		case r.Header.Get("X-Amz-Target") == "AmazonSQS.GetQueueAttributes":
			fmt.Fprint(w, `{"Attributes":{"DelaySeconds":"0","Policy":"","RedrivePolicy":"{\"a\": 1}"}}`)
		case r.Header.Get("X-Amz-Target") != "":
			fmt.Fprint(w, `{}`)
		default:
			fmt.Fprint(w, "<R/>")
		}
	}))
	t.Cleanup(server.Close)
	group := asgsim.Group{Name: role, Max: 1, Warmup: 90e9, MinHealthy: 100, MaxHealthy: 150,
		Hooks: []asgsim.Hook{{Name: "launch", Transition: asgsim.Launching, DefaultResult: asgsim.Abandon, Timeout: 900e9}}}
	return serve(t, newFront(motoAt(server.URL), simulator(t, group), nil, nil, "")), func() []string { return lines }
}

func TestBucketsKeepTheirPolicyAndTags(t *testing.T) {
	config, seen := forgetful(t)
	c := s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true })
	bucket := aws.String("photos")
	if _, err := c.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: bucket,
		CreateBucketConfiguration: &s3types.CreateBucketConfiguration{
			Tags: []s3types.Tag{{Key: aws.String("stack"), Value: aws.String("rehearsal")}}}}); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(seen(), func(l string) bool {
		return strings.HasPrefix(l, "PUT /photos?tagging") && strings.Contains(l, "<Key>stack</Key><Value>rehearsal</Value>")
	}) {
		t.Errorf("the bucket has no tags: %q", seen())
	}
	none := func() {
		t.Helper()
		_, err := c.GetBucketPolicy(t.Context(), &s3.GetBucketPolicyInput{Bucket: bucket})
		if api := smithy.APIError(nil); !errors.As(err, &api) || api.ErrorCode() != "NoSuchBucketPolicy" {
			t.Errorf("%v, want NoSuchBucketPolicy", err)
		}
	}
	none()
	put := func() {
		t.Helper()
		in := &s3.PutBucketPolicyInput{Bucket: bucket, Policy: aws.String(`{"a":1}`)}
		if _, err := c.PutBucketPolicy(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		out, err := c.GetBucketPolicy(t.Context(), &s3.GetBucketPolicyInput{Bucket: bucket})
		if err != nil || *out.Policy != `{"a":1}` {
			t.Errorf("%+v, %v", out, err)
		}
	}
	put()
	if _, err := c.DeleteBucketPolicy(t.Context(), &s3.DeleteBucketPolicyInput{Bucket: bucket}); err != nil {
		t.Error(err)
	}
	none()
	put()
	if _, err := c.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: bucket}); err != nil {
		t.Error(err)
	}
	none()
	if slices.ContainsFunc(seen(), func(l string) bool { return strings.Contains(l, "policy") }) {
		t.Errorf("moto knows of a policy: %q", seen())
	}
}

func TestQueuesKeepTheirPolicies(t *testing.T) {
	config, _ := forgetful(t)
	c := sqs.NewFromConfig(config)
	set := func(attributes map[string]string) {
		t.Helper()
		if _, err := c.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{
			QueueUrl: aws.String("http://10.99.0.1:4566/1/q"), Attributes: attributes}); err != nil {
			t.Fatal(err)
		}
	}
	get := func(name sqstypes.QueueAttributeName) map[string]string {
		t.Helper()
		out, err := c.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
			QueueUrl: aws.String("http://10.99.0.1:4566/1/q"), AttributeNames: []sqstypes.QueueAttributeName{name}})
		if err != nil {
			t.Fatal(err)
		}
		return out.Attributes
	}
	if _, err := c.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q"),
		Attributes: map[string]string{"Policy": "p", "RedrivePolicy": `{"a":1}`}}); err != nil {
		t.Fatal(err)
	}
	set(map[string]string{"RedriveAllowPolicy": "r"})
	all := get("All")
	if all["Policy"] != "p" || all["RedriveAllowPolicy"] != "r" || all["RedrivePolicy"] != `{"a":1}` ||
		all["DelaySeconds"] != "0" {
		t.Errorf("%q", all)
	}
	if got := get("RedriveAllowPolicy"); len(got) != 1 || got["RedriveAllowPolicy"] != "r" {
		t.Errorf("%q", got)
	}
	set(map[string]string{"Policy": ""})
	if v, given := get("All")["Policy"]; given {
		t.Errorf("a removed policy is %q", v)
	}
}

func TestGroupsAndTemplatesAreWhatWasAskedFor(t *testing.T) {
	config, _ := forgetful(t)
	var kinds []string
	c := autoscaling.NewFromConfig(config)
	hooks, err := c.DescribeLifecycleHooks(t.Context(),
		&autoscaling.DescribeLifecycleHooksInput{AutoScalingGroupName: aws.String(role)})
	if err != nil || len(hooks.LifecycleHooks) != 1 || *hooks.LifecycleHooks[0].HeartbeatTimeout != 900 ||
		hooks.LifecycleHooks[0].RoleARN != nil {
		t.Errorf("%+v, %v", hooks, err)
	}
	versions, err := ec2.NewFromConfig(config).DescribeLaunchTemplateVersions(t.Context(),
		&ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateName: aws.String("t")})
	if err != nil || len(versions.LaunchTemplateVersions) != 1 {
		t.Fatalf("%+v, %v", versions, err)
	}
	for _, s := range versions.LaunchTemplateVersions[0].LaunchTemplateData.TagSpecifications {
		kinds = append(kinds, string(s.ResourceType)+" "+*s.Tags[0].Key)
	}
	if !slices.Equal(kinds, []string{"instance of", "volume disk"}) {
		t.Errorf("the template gives tags to %q", kinds)
	}
}
