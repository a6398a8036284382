package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"imagery/app/deploy/iam"
	"imagery/app/testing/fakeaws"
	"imagery/infra/policy"
	"imagery/infra/testing/authz"
	"imagery/infra/testing/pulumitest"
)

// account is the account of the mock cloud, and of every caller.
const account = "111122223333"

// rights checks each AWS call of a machine against the policies that the program rendered for its role, for the bucket
// and for the VPC endpoints.
type rights struct {
	mu        sync.Mutex
	roles     map[string]authz.Policies
	endpoints map[string][]policy.Document // by service
	arns      map[string]string            // of the emulator's table, buckets and queue URLs
	table     string                       // ARN
	record    authz.Record
	denied    []string
}

func (r *rig) newRights(g *pulumitest.Graph) *rights {
	r.Helper()
	parse := func(of *pulumitest.Resource) []policy.Document {
		d, err := authz.Parse(of.Text("policy"))
		r.must(err)
		return []policy.Document{d}
	}
	arn := func(of *pulumitest.Resource) string { return pulumitest.Mark(of.Type, of.Name, "arn") }
	out := &rights{roles: map[string]authz.Policies{}, endpoints: map[string][]policy.Document{},
		table: arn(g.Of("Table")[0]), arns: map[string]string{
			r.stack.Bucket: arn(g.One("BucketV2", "-images")), "releases": arn(g.One("BucketV2", "-releases")),
			r.stack.QueueURL: arn(g.One("Queue", "-queue")), r.stack.DLQURL: arn(g.One("Queue", "-dead-letters"))}}
	var bucket []policy.Document
	for _, p := range g.Of("BucketPolicy") {
		bucket = append(bucket, parse(p)...)
	}
	for _, p := range g.Of("RolePolicy") {
		for _, role := range roles {
			if of := out.roles[role]; strings.Contains(p.Name, "-"+role+"-") {
				of.Identity, of.Resource = append(of.Identity, parse(p)...), bucket
				out.roles[role] = of
			}
		}
	}
	for _, e := range g.Of("VpcEndpoint") {
		if text := e.Text("policy"); text != "" {
			name := e.Text("serviceName")
			out.endpoints[name[strings.LastIndex(name, ".")+1:]] = parse(e)
		}
	}
	return out
}

// requestOf returns a call of the emulated services as IAM sees it.
func (o *rights) requestOf(c fakeaws.Call) authz.Request {
	out := authz.Request{Action: iam.Action{Service: c.Service, Operation: c.Operation}.Name(),
		Context: map[string][]string{}}
	switch c.Service {
	case "dynamodb":
		out.Resource = o.table
		if c.Index != "" {
			out.Resource += "/index/" + c.Index
		}
		if c.ID != "" {
			out.Context["dynamodb:LeadingKeys"] = []string{c.ID}
		}
	case "s3":
		out.Resource = o.arns[c.Bucket]
		if c.Object != "" {
			out.Resource += "/" + c.Object
		}
	case "sqs":
		out.Resource = o.arns[c.QueueURL]
	}
	return out
}

// check returns the error of a call of a role, or nil if it is allowed.
func (o *rights) check(role string, c authz.Request) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	p, known := o.roles[role]
	if !known {
		return nil // the test itself
	}
	context := map[string][]string{"aws:SecureTransport": {"true"}, "s3:TlsVersion": {"1.3"}, // as on AWS
		"aws:PrincipalAccount": {account}}
	maps.Copy(context, c.Context)
	c.Context = context
	service, _, _ := strings.Cut(c.Action, ":")
	p.Endpoint = o.endpoints[service]
	if err := authz.Evaluate(p, c); err != nil {
		if text := role + ": " + err.Error(); !slices.Contains(o.denied, text) {
			o.denied = append(o.denied, text)
		}
		return err
	}
	o.record.Add(role, authz.Allowed{Policies: p, Request: c})
	return nil
}

// fault denies a call to the emulated services that the policies do not allow.
func (o *rights) fault(c fakeaws.Call) fakeaws.Fault {
	if o.check(c.Caller, o.requestOf(c)) != nil {
		return fakeaws.Fault{Kind: fakeaws.Denied}
	}
	return fakeaws.Fault{}
}

// guard denies calls to Auto Scaling that the policies do not allow.
func (o *rights) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, after, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		role, _, _ := strings.Cut(after, "/")
		if r.ParseForm() == nil && slices.Contains(roles, role) {
			err := o.check(role, authz.Request{Action: "autoscaling:" + r.Form.Get("Action"), Resource: "arn:aws:autoscaling:" +
				"eu-central-1:" + account + ":autoScalingGroup:1:autoScalingGroupName/" + r.Form.Get("AutoScalingGroupName")})
			if err != nil {
				http.Error(w, fmt.Sprintf("<ErrorResponse><Error><Code>AccessDenied</Code><Message>%s</Message></Error>"+
					"</ErrorResponse>", err), http.StatusForbidden)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// untested lists the actions of services that no machine here calls: nothing ships logs, and no one opens a session.
var untested = []string{"logs:", "ssm:", "ssmmessages:"}

// everyRightIsNeeded replays the recorded calls with each action of each policy removed in turn: no role has an action
// that it does not use.
func (r *rig) everyRightIsNeeded() {
	r.Helper()
	for _, url := range []string{r.stack.QueueURL, r.stack.DLQURL} { // no hints: workers postpone and release them
		_, err := r.cloud.SQS().SendMessage(r.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("?")})
		r.must(err)
	}
	var replay authz.Replay
	done := eventually(func() bool {
		var err error
		replay, err = r.rights.record.Replay()
		r.must(err)
		replay.Unneeded = slices.DeleteFunc(replay.Unneeded, func(g authz.Grant) bool {
			return !slices.Contains(roles, g.Holder) ||
				slices.ContainsFunc(untested, func(p string) bool { return strings.HasPrefix(g.Action, p) })
		})
		return len(replay.Unneeded) == 0
	})
	if !done {
		r.Errorf("rights that no call needed: %q", replay.Unneeded)
	}
	r.rights.mu.Lock()
	defer r.rights.mu.Unlock()
	if len(r.rights.denied) > 0 {
		r.Errorf("denied: %q", r.rights.denied)
	}
	r.logf("%s", replay)
}
