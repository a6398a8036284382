package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	appiam "imagery/app/deploy/iam"
	"imagery/app/testing/fakeaws"
	"imagery/infra/policy"
	"imagery/infra/testing/asgsim"
	"imagery/infra/testing/authz"
)

// account is moto's account.
const account = "123456789012"

// policyLifetime is the time after which policies are read again. AWS documents no time; changes there take seconds.
const policyLifetime = 2 * time.Second

// rights checks the calls of machines against the policies that Pulumi attached to their role, to the bucket and to the
// VPC endpoints. Machines sign with the name of their role as access key id; signatures are not checked. Calls of
// others, such as Pulumi's, are not checked.
type rights struct {
	moto *moto

	mu    sync.Mutex
	cache map[string]cached
}

type cached struct {
	policies []policy.Document
	read     time.Time
}

func newRights(m *moto) *rights { return &rights{moto: m, cache: map[string]cached{}} }

// check returns an *authz.DeniedError for a call that a machine may not make.
func (p *rights) check(r *http.Request, body []byte) error {
	role := fakeaws.CallerOf(r)
	if !strings.HasPrefix(role, "imagery-") {
		return nil
	}
	request := requestOf(r, body)
	policies, err := p.policies(r.Context(), role, request)
	if err != nil {
		return fmt.Errorf("read the policies of %s: %w", role, err)
	}
	if err := authz.Evaluate(policies, request); err != nil {
		logf("%s is %v", role, err)
		return err
	}
	return nil
}

// requestOf returns a call as IAM sees it.
func requestOf(r *http.Request, body []byte) authz.Request {
	context := map[string][]string{"aws:PrincipalAccount": {account},
		"aws:SecureTransport": {"true"}, "s3:TlsVersion": {"1.3"}} // as on AWS, where every endpoint has TLS
	if form, err := url.ParseQuery(string(body)); err == nil && form.Has("Action") {
		// CompleteLifecycleAction is the only call of the Query protocol that machines make.
		return authz.Request{Action: "autoscaling:" + form.Get("Action"), Context: context,
			Resource: arn("autoscaling", "autoScalingGroup:1:autoScalingGroupName/"+form.Get("AutoScalingGroupName"))}
	}
	c := fakeaws.CallOf(r, body)
	out := authz.Request{Action: appiam.Action{Service: c.Service, Operation: c.Operation}.Name(), Context: context}
	switch c.Service {
	case "s3":
		out.Resource = strings.TrimSuffix("arn:aws:s3:::"+c.Bucket+"/"+c.Object, "/")
	case "sqs":
		out.Resource = arn("sqs", c.QueueURL[strings.LastIndex(c.QueueURL, "/")+1:])
	case "dynamodb":
		out.Resource = arn("dynamodb", "table/"+c.Table)
		if c.Index != "" {
			out.Resource += "/index/" + c.Index
		}
		if c.ID != "" {
			context["dynamodb:LeadingKeys"] = []string{c.ID}
		}
	}
	return out
}

func arn(service, resource string) string {
	return strings.Join([]string{"arn", "aws", service, region, account, resource}, ":")
}

// policies returns the policies that apply to a request of a role.
func (p *rights) policies(ctx context.Context, role string, request authz.Request) (out authz.Policies, err error) {
	out.Identity, err = p.read("role "+role, func() ([]string, error) { return p.rolePolicies(ctx, role) })
	if err != nil {
		return out, err
	}
	service, _, _ := strings.Cut(request.Action, ":")
	out.Endpoint, err = p.read("endpoint "+service, func() ([]string, error) { return p.endpointPolicies(ctx, service) })
	if err != nil || service != "s3" {
		return out, err
	}
	bucket, _, _ := strings.Cut(strings.TrimPrefix(request.Resource, "arn:aws:s3:::"), "/")
	out.Resource, err = p.read("bucket "+bucket, func() ([]string, error) { return p.bucketPolicies(ctx, bucket) })
	return out, err
}

// read returns policies from the cache, or parses those that get returns. No policies are nil.
func (p *rights) read(key string, get func() ([]string, error)) ([]policy.Document, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, known := p.cache[key]; known && time.Since(c.read) < policyLifetime {
		return c.policies, nil
	}
	texts, err := get()
	if err != nil {
		return nil, err
	}
	c := cached{read: time.Now()}
	for _, text := range texts {
		d, err := authz.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		c.policies = append(c.policies, d)
	}
	p.cache[key] = c
	return c.policies, nil
}

func (p *rights) rolePolicies(ctx context.Context, role string) (texts []string, err error) {
	c := iam.NewFromConfig(p.moto.config)
	list, err := c.ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: &role})
	if err != nil {
		return nil, err
	}
	for _, name := range list.PolicyNames {
		got, err := c.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: &role, PolicyName: &name})
		if err != nil {
			return nil, err
		}
		text, err := url.QueryUnescape(aws.ToString(got.PolicyDocument)) // "URL-encoded, compliant with RFC 3986"
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, nil
}

func (p *rights) endpointPolicies(ctx context.Context, service string) (texts []string, err error) {
	out, err := ec2.NewFromConfig(p.moto.config).DescribeVpcEndpoints(ctx, &ec2.DescribeVpcEndpointsInput{})
	if err != nil {
		return nil, err
	}
	for _, e := range out.VpcEndpoints {
		if strings.HasSuffix(aws.ToString(e.ServiceName), "."+service) && e.State != "deleted" {
			texts = append(texts, aws.ToString(e.PolicyDocument))
		}
	}
	return texts, nil
}

func (p *rights) bucketPolicies(ctx context.Context, bucket string) ([]string, error) {
	c := s3.NewFromConfig(p.moto.config, func(o *s3.Options) { o.UsePathStyle = true })
	out, err := c.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: &bucket})
	if api := smithy.APIError(nil); errors.As(err, &api) && api.ErrorCode() == "NoSuchBucketPolicy" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []string{aws.ToString(out.Policy)}, nil
}

// deny answers AccessDenied in the protocol of the call.
func deny(w http.ResponseWriter, r *http.Request, body []byte, err error) {
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		w.WriteHeader(http.StatusForbidden)
		asgsim.WriteResponse(w, "", nil, &smithy.GenericAPIError{Code: "AccessDenied", Message: err.Error()})
		return
	}
	fakeaws.Fail(w, fakeaws.CallOf(r, body), fakeaws.Denied)
}
