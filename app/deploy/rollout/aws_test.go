package rollout_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"imagery/app/deploy/record"
	"imagery/app/deploy/rollout"
)

var (
	errKilled  = errors.New("killed")           // every call of a killed process returns it
	errNetwork = errors.New("no route to host") // every call without a network returns it
)

// awsError is an error of a hook that AWS itself returns, in contrast to one of the network.
type awsError struct {
	status int
	code   string
}

func (a *awsError) Error() string                 { return a.code }
func (a *awsError) ErrorCode() string             { return a.code }
func (a *awsError) ErrorMessage() string          { return a.code }
func (a *awsError) ErrorFault() smithy.ErrorFault { return smithy.FaultUnknown }
func (a *awsError) HTTPStatusCode() int           { return a.status }

// clients returns the SDK's clients with the simulator as their transport: a synctest bubble does not wait for network
// connections. The calls that polls make are not even encoded.
func (env *testEnv) clients() rollout.Clients {
	describe := func(s *middleware.Stack) error {
		return s.Initialize.Add(middleware.InitializeMiddlewareFunc("describe", env.describe), middleware.After)
	}
	cfg := aws.Config{Region: "eu-central-1", BaseEndpoint: aws.String("http://simulator"),
		Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
		APIOptions:  []func(*middleware.Stack) error{describe},
		Credentials: aws.AnonymousCredentials{}, HTTPClient: &http.Client{Transport: env}}
	return rollout.Clients{Groups: autoscaling.NewFromConfig(cfg), Targets: elasticloadbalancingv2.NewFromConfig(cfg),
		Compute: ec2.NewFromConfig(cfg), Alarms: cloudwatch.NewFromConfig(cfg), Objects: env, Table: env}
}

// setHook has hook called for each call to AWS, with the number of the call. The call is not made if hook returns
// before, and its answer is replaced by after if that is set.
func (env *testEnv) setHook(hook func(call string, n int) (before, after error)) {
	env.mu.Lock()
	defer env.mu.Unlock()
	env.hook = hook
}

// forbidChanges fails the test when a group is changed from now on.
func (env *testEnv) forbidChanges() {
	env.setHook(func(call string, _ int) (error, error) {
		if changesGroup(call) {
			env.t.Errorf("call to %s", call)
		}
		return nil, nil
	})
}

// changesGroup reports whether a call changes a group.
func changesGroup(call string) bool {
	switch call {
	case "StartInstanceRefresh", "RollbackInstanceRefresh", "CancelInstanceRefresh", "UpdateAutoScalingGroup":
		return true
	}
	return false
}

// outage returns the results of a hook during a network outage, which begins at since.
func outage(since time.Time, duration time.Duration) (before, after error) {
	if time.Since(since) < duration {
		return errNetwork, nil
	}
	return nil, nil
}

// call counts a call to AWS and makes it, unless the hook returns an error.
func (env *testEnv) call(name string, do func() error) error {
	env.mu.Lock()
	env.calls++
	n, hook := env.calls, env.hook
	env.mu.Unlock()
	var before, after error
	if hook != nil {
		before, after = hook(name, n)
	}
	if before != nil {
		return before
	}
	return errors.Join(after, do())
}

// describe is a middleware of the SDK's clients that makes the calls that Simulator.Describe knows.
func (env *testEnv) describe(
	ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
) (out middleware.InitializeOutput, metadata middleware.Metadata, err error) {
	do := env.sim.Describe(in.Parameters)
	if do == nil {
		return next.HandleInitialize(ctx, in)
	}
	err = env.call(middleware.GetOperationName(ctx), func() (err error) {
		out.Result, err = do()
		return err
	})
	return out, metadata, err
}

// RoundTrip passes a request of the SDK to the simulator.
func (env *testEnv) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	name := r.URL.Path
	if r.Header.Get("Content-Type") == "application/x-www-form-urlencoded" {
		if err := r.ParseForm(); err != nil {
			return nil, err
		}
		name = r.PostForm.Get("Action")
	}
	err := env.call(name, func() error { env.sim.Handler().ServeHTTP(rec, r); return nil })
	if a := (*awsError)(nil); errors.As(err, &a) {
		rec = httptest.NewRecorder()
		rec.Header().Set("Content-Type", "text/xml")
		rec.WriteHeader(a.status)
		fmt.Fprintf(rec, "<ErrorResponse><Error><Code>%[1]s</Code><Message>%[1]s</Message></Error>"+
			"<RequestId>1</RequestId></ErrorResponse>", a.code)
		return rec.Result(), nil
	}
	if err != nil {
		return nil, err
	}
	return rec.Result(), nil
}

// HeadObject implements Clients.Objects: bucket releases has every object but the missing ones.
func (env *testEnv) HeadObject(
	_ context.Context, in *s3.HeadObjectInput, _ ...func(*s3.Options),
) (*s3.HeadObjectOutput, error) {
	return &s3.HeadObjectOutput{}, env.call("HeadObject", func() error {
		if *in.Bucket != "releases" || env.missing[*in.Key] {
			return errors.New("NotFound: " + *in.Key)
		}
		return nil
	})
}

// GetItem and PutItem implement Clients.Table for the only item that a rollout uses.
func (env *testEnv) GetItem(
	context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options),
) (out *dynamodb.GetItemOutput, err error) {
	err = env.call("GetItem", func() error {
		env.mu.Lock()
		defer env.mu.Unlock()
		out = &dynamodb.GetItemOutput{Item: env.item}
		return nil
	})
	return out, err
}

// PutItem counts as call "renewal" if it only renews the lock.
func (env *testEnv) PutItem(
	_ context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options),
) (*dynamodb.PutItemOutput, error) {
	name := "PutItem"
	env.mu.Lock()
	if env.item != nil && withoutExpiry(env.item) == withoutExpiry(in.Item) {
		name = "renewal"
	}
	env.mu.Unlock()
	return &dynamodb.PutItemOutput{}, env.call(name, func() error {
		env.mu.Lock()
		defer env.mu.Unlock()
		ok := env.item == nil
		if *in.ConditionExpression == "#version = :version" {
			have, _ := env.item[in.ExpressionAttributeNames["#version"]].(*types.AttributeValueMemberN)
			want := in.ExpressionAttributeValues[":version"].(*types.AttributeValueMemberN)
			ok = have != nil && have.Value == want.Value
		}
		if !ok {
			return &types.ConditionalCheckFailedException{}
		}
		env.item = in.Item
		return nil
	})
}

// document returns the document of the release record, or "" if the item has none.
func document(item map[string]types.AttributeValue) string {
	if d, ok := item[record.AttributeDocument].(*types.AttributeValueMemberS); ok {
		return d.Value
	}
	return ""
}

var lockExpiry = regexp.MustCompile(`"until":"[^"]*"`)

func withoutExpiry(item map[string]types.AttributeValue) string {
	return lockExpiry.ReplaceAllString(document(item), "")
}
