package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"imagery/infra/deployer"
	"imagery/infra/must"
	"imagery/infra/policy"
	"imagery/infra/testing/authz"
)

// account is moto's account.
const account = "123456789012"

// policyLifetime is the time after which policies are read again. AWS documents no time; changes there take seconds.
const policyLifetime = 2 * time.Second

// Access key ids of callers that are not machines. Machines sign with the name of their role. Signatures are not
// checked. The calls of an administrator, and others that are not signed with one of these keys, are allowed.
const (
	deployerKey      = "rehearsal"  // Pulumi, its provider and the program
	administratorKey = "acceptance" // operators, and programs that look at a stack from outside
	machinePrefix    = "imagery-"   // of the roles of machines
)

// rights checks the calls of machines against the policies that Pulumi attached to their role, to the bucket and to the
// VPC endpoints, and the calls of the deployer against the two policies of docs/aws.md.
type rights struct {
	moto   *moto
	role   func(ctx context.Context, template, version string) (string, error) // of a launch template's instances
	bucket func(name string) string                                            // returns the policy of a bucket, or ""
	own    []policy.Document                                                   // of the deployer
	late   lateness
	record authz.Record

	mu    sync.Mutex
	cache map[string]cached
	told  map[string]time.Time // denials, by caller and action
}

type cached struct {
	policies []policy.Document
	read     time.Time
}

func newRights(m *moto) *rights {
	p := &rights{moto: m, cache: map[string]cached{}, told: map[string]time.Time{}, late: lateness{now: time.Now}}
	unscoped, scoped := deployer.Policies("")
	for _, text := range []string{unscoped, scoped} {
		p.own = append(p.own, must.Get(authz.Parse(text)))
	}
	return p
}

// check returns an *authz.DeniedError for a call that its caller may not make.
func (p *rights) check(ctx context.Context, c call) error {
	if c.caller != deployerKey && !strings.HasPrefix(c.caller, machinePrefix) {
		return nil
	}
	requests, err := c.requests(ctx, p.role)
	if err != nil {
		return err
	}
	var all []authz.Allowed
	for _, request := range requests {
		policies, err := p.policies(ctx, c.caller, request)
		if err != nil {
			return fmt.Errorf("read the policies of %s: %w", c.caller, err)
		}
		if err := authz.Evaluate(policies, request); err != nil {
			p.tell(c.caller, request.Action, err)
			return err
		}
		all = append(all, authz.Allowed{Policies: policies, Request: request})
	}
	p.record.Add(c.caller, all...)
	return nil
}

// tell prints a denial, and not again the same action of the same caller within ten seconds: machines retry.
func (p *rights) tell(caller, action string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if key := caller + " " + action; time.Since(p.told[key]) > 10*time.Second {
		p.told[key] = time.Now()
		logf("%s is %v", caller, err)
	}
}

// user returns the ARN of a caller.
func user(caller string) string {
	if caller == deployerKey {
		return "arn:aws:iam::" + account + ":user/" + caller
	}
	return "arn:aws:sts::" + account + ":assumed-role/" + caller + "/instance"
}

// report replays the recorded calls without each granted action, prints how many of them a call needed, and writes all
// to a file.
func (p *rights) report(file string) {
	replay, err := p.record.Replay()
	if err != nil {
		logf("rights: %v", err)
		return
	}
	var text strings.Builder
	for _, part := range []struct {
		title  string
		grants []authz.Grant
	}{{"needed by calls", replay.Needed}, {"not needed by any call", replay.Unneeded}} {
		fmt.Fprintf(&text, "# %s: %d\n", part.title, len(part.grants))
		for _, g := range part.grants {
			fmt.Fprintln(&text, g)
		}
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
		logf("rights: %v", err)
	}
	logf("%s (%s)", replay, file)
}

// policies returns the policies that apply to a request. Calls of the deployer do not go through the VPC endpoints.
func (p *rights) policies(ctx context.Context, caller string, request authz.Request) (out authz.Policies, err error) {
	service, _, _ := strings.Cut(request.Action, ":")
	out.Identity = p.own
	if caller != deployerKey {
		out.Identity, err = p.read("role "+caller, func() ([]string, error) { return p.rolePolicies(ctx, caller) })
		if err != nil {
			return out, err
		}
		out.Endpoint, err = p.read("endpoint "+service, func() ([]string, error) { return p.endpointPolicies(ctx, service) })
		if err != nil {
			return out, err
		}
	}
	if name, ok := strings.CutPrefix(request.Resource, "arn:aws:s3:::"); ok {
		bucket, _, _ := strings.Cut(name, "/")
		out.Resource, err = p.read("bucket "+bucket, func() ([]string, error) { return p.bucketPolicies(bucket), nil })
	}
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
		if text, counts := p.late.effective(role, name, text); counts {
			texts = append(texts, text)
		}
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

func (p *rights) bucketPolicies(bucket string) []string {
	if text := p.bucket(bucket); text != "" {
		return []string{text}
	}
	return nil
}
