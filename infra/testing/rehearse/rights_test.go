package main

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"

	"imagery/infra/deployer"
	"imagery/infra/policy"
	"imagery/infra/testing/asgsim"
)

const role = "imagery-rehearsal-server"

// guarded returns a front with policies of a machine's role, and no other policies that moto would have to be asked
// for. A call that passes reaches no moto, and fails in another way.
func guarded(t *testing.T, machine ...policy.Statement) (*front, aws.Config) {
	t.Helper()
	f := newFront(&moto{address: "127.0.0.1:1"}, simulator(t, asgsim.Group{Name: role, Max: 1}), nil, nil, "")
	f.rights.role = func(context.Context, string, string) (string, error) { return role, nil }
	f.rights.cache["role "+role] = cached{[]policy.Document{{Statement: machine}}, time.Now().Add(time.Hour)}
	for _, key := range []string{"endpoint autoscaling", "endpoint sqs", "endpoint s3", "bucket imagery-x"} {
		f.rights.cache[key] = cached{nil, time.Now().Add(time.Hour)}
	}
	return f, serve(t, f)
}

func as(c aws.Config, caller string) aws.Config {
	c.Credentials = credentials.NewStaticCredentialsProvider(caller, "secret", "")
	return c
}

// TestDenialsAreThoseOfTheService: clients of every protocol read the code and the name of the action.
func TestDenialsAreThoseOfTheService(t *testing.T) {
	f, all := guarded(t)
	f.rights.own = nil
	config := as(all, deployerKey)
	ctx := t.Context()
	calls := map[string]func() error{
		"UnauthorizedOperation ec2:CreateVpc": func() error {
			_, err := ec2.NewFromConfig(config).CreateVpc(ctx, &ec2.CreateVpcInput{})
			return err
		},
		"AccessDenied iam:GetRole": func() error {
			_, err := iam.NewFromConfig(config).GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("r")})
			return err
		},
		"AuthorizationError sns:CreateTopic": func() error {
			_, err := sns.NewFromConfig(config).CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String("t")})
			return err
		},
		"AccessDeniedException dynamodb:DescribeTable": func() error {
			_, err := dynamodb.NewFromConfig(config).DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: aws.String("t")})
			return err
		},
		"AccessDeniedException sqs:ListQueueTags": func() error {
			_, err := sqs.NewFromConfig(config).ListQueueTags(ctx, &sqs.ListQueueTagsInput{QueueUrl: aws.String("http://q/1/q")})
			return err
		},
		"AccessDeniedException cloudwatch:GetDashboard": func() error {
			_, err := cloudwatch.NewFromConfig(config).GetDashboard(ctx,
				&cloudwatch.GetDashboardInput{DashboardName: aws.String("d")})
			return err
		},
		"AccessDenied s3:GetEncryptionConfiguration": func() error {
			c := s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true })
			_, err := c.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: aws.String("imagery-x")})
			return err
		},
	}
	for want, do := range calls {
		code, action, _ := strings.Cut(want, " ")
		err := do()
		api := smithy.APIError(nil)
		if !errors.As(err, &api) || api.ErrorCode() != code || !strings.Contains(api.ErrorMessage(),
			"User: arn:aws:iam::123456789012:user/rehearsal is not authorized to perform: "+action+" on resource: ") ||
			!strings.HasSuffix(api.ErrorMessage(), "because no identity-based policy allows the "+action+" action") {
			t.Errorf("want %s, got %v", want, err)
		}
	}
}

// TestCallersHaveTheirOwnRights: a machine has those of its role, Pulumi those of docs/aws.md, others are not checked.
func TestCallersHaveTheirOwnRights(t *testing.T) {
	_, all := guarded(t, policy.Statement{Effect: policy.Allow, Action: []string{"sqs:SendMessage"},
		Resource: []string{arnOf("sqs", "imagery-q")}})
	queue := aws.String("http://10.99.0.1:4566/123456789012/imagery-q")
	denied := func(err error) bool { return strings.Contains(err.Error(), "is not authorized to perform") }
	for _, c := range []struct {
		caller                 string
		send, delete, complete bool // denied
	}{{role, false, true, true}, {deployerKey, true, false, true}, {administratorKey, false, false, false}} {
		client := sqs.NewFromConfig(as(all, c.caller))
		_, send := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: queue, MessageBody: aws.String("m")})
		_, remove := client.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: queue})
		_, complete := autoscaling.NewFromConfig(as(all, c.caller)).CompleteLifecycleAction(t.Context(),
			&autoscaling.CompleteLifecycleActionInput{AutoScalingGroupName: aws.String(role), LifecycleHookName: aws.String("h"),
				InstanceId: aws.String("i-1"), LifecycleActionResult: aws.String("CONTINUE")})
		if denied(send) != c.send || denied(remove) != c.delete || denied(complete) != c.complete {
			t.Errorf("%s: %v; %v; %v", c.caller, send, remove, complete)
		}
	}
}

// TestReportNamesWhatWasNeeded: each action that a dependent row names is a recorded call of its own.
func TestReportNamesWhatWasNeeded(t *testing.T) {
	f, all := guarded(t)
	client := autoscaling.NewFromConfig(as(all, deployerKey))
	update := &autoscaling.UpdateAutoScalingGroupInput{AutoScalingGroupName: aws.String(role)}
	_, _ = client.UpdateAutoScalingGroup(t.Context(), update) // moto is not there
	file := filepath.Join(t.TempDir(), "rights.txt")
	needed := func() string {
		f.rights.report(file)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(string(text), "# not needed by any call: ")
		return head
	}
	if got := needed(); !strings.HasPrefix(got, "# needed by calls: 1\n") ||
		!strings.Contains(got, "rehearsal autoscaling:UpdateAutoScalingGroup *") {
		t.Errorf("a change of the size needed %s", got)
	}
	update.LaunchTemplate = &types.LaunchTemplateSpecification{LaunchTemplateId: aws.String("lt-1")}
	_, _ = client.UpdateAutoScalingGroup(t.Context(), update)
	for _, a := range append(deployer.On("ec2", "RunInstances CreateTags"), "iam:PassRole") {
		if got := needed(); !strings.Contains(got, "rehearsal "+a+" ") {
			t.Errorf("a launch template did not need %s but %s", a, got)
		}
	}
}

// TestEveryConditionKeyOfADeployerIsSet: a condition on a key that no request has would deny what AWS allows.
func TestEveryConditionKeyOfADeployerIsSet(t *testing.T) {
	c := call{service: "autoscaling", leadingKey: "id", parameters: url.Values{"PermissionsBoundary": {"arn"}}}
	known := map[string][]string{}
	for _, action := range deployer.On("iam", "PassRole CreateServiceLinkedRole") {
		maps.Copy(known, c.request(action, "*").Context)
	}
	for _, s := range deployer.Conditional("arn:aws:iam::123456789012:policy/b") {
		for _, keys := range s.Condition {
			for key := range keys {
				if known[key] == nil {
					t.Errorf("statement %s has a condition on %s, which no request of a rehearsal has", s.Sid, key)
				}
			}
		}
	}
}

// TestLateRights: a policy counts once it is older than the delay, and until then the one before it does.
func TestLateRights(t *testing.T) {
	now := time.Now()
	l := lateness{delay: time.Minute, now: func() time.Time { return now }}
	want := func(when, text string, counts bool) {
		t.Helper()
		if got, c := l.effective(role, "boot", "attached"); got != text || c != counts {
			t.Errorf("%s: %q counts %v, want %q %v", when, got, c, text, counts)
		}
	}
	want("not attached by this rehearsal", "attached", true)
	l.attach(role, "boot", "first")
	want("at once", "", false)
	now = now.Add(59 * time.Second)
	want("a second before", "", false)
	now = now.Add(time.Second)
	want("a minute later", "first", true)
	l.attach(role, "boot", "second")
	want("after a change", "first", true)
	now = now.Add(time.Minute)
	want("a minute after the change", "second", true)
	l.delay = 0
	l.attach(role, "boot", "third")
	want("without a delay", "attached", true)
}
