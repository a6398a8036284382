package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"regexp"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"

	"imagery/infra/testing/asgsim"
)

// corrections serve calls, by IAM action, for which moto as released forgets or invents something that the provider
// then waits for, or reports as a difference. Those of the Query protocol are among the operations.
var corrections = map[string]func(f *front, w http.ResponseWriter, r *http.Request, c call, body []byte){
	"s3:PutBucketPolicy":     putBucketPolicy,
	"s3:GetBucketPolicy":     getBucketPolicy,
	"s3:DeleteBucketPolicy":  deleteBucketPolicy,
	"s3:DeleteBucket":        deleteBucketPolicy,
	"s3:CreateBucket":        createBucket,
	"sqs:CreateQueue":        setQueueAttributes,
	"sqs:SetQueueAttributes": setQueueAttributes,
	"sqs:GetQueueAttributes": getQueueAttributes,
}

// kept holds what moto would lose or misunderstand, by the name of the bucket or queue.
type kept struct {
	mu       sync.Mutex
	policies map[string]string            // of buckets
	queues   map[string]map[string]string // attributes
}

// bucketPolicy returns the policy of a bucket, or "".
func (k *kept) bucketPolicy(bucket string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.policies[bucket]
}

// moto evaluates the policy of a bucket without the values of its conditions: a policy that denies requests without TLS
// would deny all. Package authz evaluates it; moto does not get to know it.
func putBucketPolicy(f *front, w http.ResponseWriter, _ *http.Request, c call, body []byte) {
	f.kept.mu.Lock()
	defer f.kept.mu.Unlock()
	f.kept.policies[c.parameters.Get("Bucket")] = string(body)
	w.WriteHeader(http.StatusNoContent)
}

func getBucketPolicy(f *front, w http.ResponseWriter, _ *http.Request, c call, _ []byte) {
	policy := f.kept.bucketPolicy(c.parameters.Get("Bucket"))
	if policy == "" {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, "<Error><Code>NoSuchBucketPolicy</Code><Message>The bucket policy does not exist</Message></Error>")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, policy)
}

// deleteBucketPolicy deletes the policy of a bucket, or passes on the deletion of the whole bucket.
func deleteBucketPolicy(f *front, w http.ResponseWriter, r *http.Request, c call, body []byte) {
	answer := httptest.NewRecorder()
	if c.action == "s3:DeleteBucket" {
		answer = recordBody(f.pass, r, body)
	} else {
		answer.WriteHeader(http.StatusNoContent)
	}
	if answer.Code == http.StatusNoContent {
		f.kept.mu.Lock()
		delete(f.kept.policies, c.parameters.Get("Bucket"))
		f.kept.mu.Unlock()
	}
	send(w, answer)
}

// createBucket gives a new bucket the tags of the call, which moto ignores.
func createBucket(f *front, w http.ResponseWriter, r *http.Request, c call, body []byte) {
	answer := recordBody(f.pass, r, body)
	var in struct {
		Tags []s3types.Tag `xml:"Tags>Tag"`
	}
	if answer.Code == http.StatusOK && xml.Unmarshal(body, &in) == nil && len(in.Tags) > 0 {
		_, err := s3.NewFromConfig(f.moto.config, func(o *s3.Options) { o.UsePathStyle = true }).PutBucketTagging(r.Context(),
			&s3.PutBucketTaggingInput{Bucket: aws.String(c.parameters.Get("Bucket")),
				Tagging: &s3types.Tagging{TagSet: in.Tags}})
		if err != nil {
			logf("tag bucket %s: %v", c.parameters.Get("Bucket"), err)
		}
	}
	send(w, answer)
}

// queueCall is a call about attributes of a queue.
type queueCall struct {
	QueueName, QueueUrl string
	Attributes          map[string]string
	AttributeNames      []string
}

// keptAttributes are those that moto forgets when others are set, never gives back, or gives back in other words.
var keptAttributes = []string{"Policy", "RedrivePolicy", "RedriveAllowPolicy"}

func setQueueAttributes(f *front, w http.ResponseWriter, r *http.Request, _ call, body []byte) {
	answer, in := recordBody(f.pass, r, body), queueCall{}
	if json.Unmarshal(body, &in) == nil && answer.Code == http.StatusOK {
		f.kept.mu.Lock()
		defer f.kept.mu.Unlock()
		name := in.QueueName
		if name == "" {
			name = path.Base(in.QueueUrl)
		}
		if in.QueueName != "" || f.kept.queues[name] == nil {
			f.kept.queues[name] = map[string]string{}
		}
		for _, k := range keptAttributes {
			if v, given := in.Attributes[k]; given {
				f.kept.queues[name][k] = v
			}
		}
	}
	send(w, answer)
}

// getQueueAttributes asks moto for all attributes, since it refuses names that it does not know.
func getQueueAttributes(f *front, w http.ResponseWriter, r *http.Request, _ call, body []byte) {
	var in queueCall
	var out struct{ Attributes map[string]string }
	_ = json.Unmarshal(body, &in) // moto answers with the error
	ask, _ := json.Marshal(map[string]any{"QueueUrl": in.QueueUrl, "AttributeNames": []string{"All"}})
	answer := recordBody(f.pass, r, ask)
	if answer.Code != http.StatusOK || json.Unmarshal(answer.Body.Bytes(), &out) != nil {
		send(w, answer)
		return
	}
	f.kept.mu.Lock()
	for _, k := range keptAttributes {
		delete(out.Attributes, k)
		if v := f.kept.queues[path.Base(in.QueueUrl)][k]; v != "" {
			out.Attributes[k] = v
		}
	}
	f.kept.mu.Unlock()
	if !slices.Contains(in.AttributeNames, "All") {
		maps.DeleteFunc(out.Attributes, func(k, _ string) bool { return !slices.Contains(in.AttributeNames, k) })
	}
	w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
	_ = json.NewEncoder(w).Encode(out) // fails only if the client went away
}

// describeHooks answers with the simulator's hooks; moto adds a role and a target that were not given.
func describeHooks(f *front, w http.ResponseWriter, _ *http.Request, form url.Values) {
	in, out := &autoscaling.DescribeLifecycleHooksInput{}, &autoscaling.DescribeLifecycleHooksOutput{}
	err := asgsim.Decode(form, in)
	if err == nil {
		g, _, snapshotErr := f.sim.Snapshot(aws.ToString(in.AutoScalingGroupName))
		err = snapshotErr
		for _, h := range g.Hooks {
			if len(in.LifecycleHookNames) == 0 || slices.Contains(in.LifecycleHookNames, h.Name) {
				out.LifecycleHooks = append(out.LifecycleHooks, types.LifecycleHook{AutoScalingGroupName: &g.Name,
					LifecycleHookName: &h.Name, LifecycleTransition: &h.Transition, DefaultResult: &h.DefaultResult,
					HeartbeatTimeout: aws.Int32(int32(h.Timeout.Seconds()))})
			}
		}
	}
	asgsim.WriteResponse(w, "DescribeLifecycleHooks", out, err)
}

// describePolicies: "Enabled: Indicates whether the policy is enabled", which moto says of none.
func describePolicies(f *front, w http.ResponseWriter, r *http.Request, form url.Values) {
	in := &autoscaling.DescribePoliciesInput{}
	err := asgsim.Decode(form, in)
	out := &autoscaling.DescribePoliciesOutput{}
	if err == nil {
		if out, err = autoscaling.NewFromConfig(f.moto.config).DescribePolicies(r.Context(), in); err == nil {
			for i := range out.ScalingPolicies {
				out.ScalingPolicies[i].Enabled = aws.Bool(true)
				out.ScalingPolicies[i].PredictiveScalingConfiguration = nil
			}
			out.ResultMetadata = middleware.Metadata{}
		}
	}
	asgsim.WriteResponse(w, "DescribePolicies", out, err)
}

// ownTags matches the tags of a launch template itself in the description of a version.
var ownTags = regexp.MustCompile(`(?s)<item>\s*<resourceType>launch-template</resourceType>.*?</tagSet>\s*</item>`)

// describeTemplateVersions leaves out the template's own tags, which moto has among those of instances.
func describeTemplateVersions(f *front, w http.ResponseWriter, r *http.Request, form url.Values) {
	answer := record(f.pass, r, form)
	text := ownTags.ReplaceAll(answer.Body.Bytes(), nil)
	answer.Header().Del("Content-Length")
	answer.Body = bytes.NewBuffer(text)
	send(w, answer)
}
