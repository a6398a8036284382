package cli_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"imagery/app/admin/doctor"
	"imagery/app/deploy/settings"
	"imagery/app/imagery"
	"imagery/app/testing/fakeaws"
)

// endpointVariable names a running endpoint, such as http://127.0.0.1:5000 for moto, or "aws" for AWS itself.
const endpointVariable = "IMAGERY_TEST_ENDPOINT"

// onEndpoint is a stack as infra makes it on another AWS endpoint, as far as the operator's commands read it.
type onEndpoint struct {
	*testing.T
	*fakeaws.Cloud
	fakeaws.Stack
	name, topic string // of the stack, ARN
}

func (e *onEndpoint) must(_ any, err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

// build makes the stack.
func build(t *testing.T, endpoint string) *onEndpoint {
	t.Helper()
	cloud, err := fakeaws.At(t.Context(), endpoint)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range cloud.Env("operator") {
		name, value, _ := strings.Cut(line, "=")
		t.Setenv(name, value)
	}
	if endpoint != fakeaws.RealAWS { // also what fakeaws has no emulator for
		t.Setenv("AWS_ENDPOINT_URL", endpoint)
	}
	e := &onEndpoint{T: t, Cloud: cloud, name: "t" + imagery.NewID()[:8]}
	if e.Stack, err = cloud.NewStack(t.Context(), "imagery-"+e.name,
		imagery.Limits{Visibility: settings.QueueVisibility, MaxReceives: settings.QueueMaxReceives}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.remove)
	ctx := t.Context()
	e.must(cloud.SQS().SetQueueAttributes(ctx,
		&sqs.SetQueueAttributesInput{QueueUrl: &e.DLQURL,
			Attributes: map[string]string{"MessageRetentionPeriod": "1209600"}}))
	for _, url := range []string{e.QueueURL, e.DLQURL} {
		e.must(cloud.SQS().SetQueueAttributes(ctx,
			&sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{"SqsManagedSseEnabled": "true"}}))
	}
	e.must(cloud.SQS().TagQueue(ctx,
		&sqs.TagQueueInput{QueueUrl: &e.QueueURL,
			Tags: map[string]string{"project": settings.Project, "stack": e.name, "managed-by": "pulumi"}}))
	e.must(cloud.DynamoDB().UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{TableName: &e.Table,
		TimeToLiveSpecification: &ddb.TimeToLiveSpecification{AttributeName: aws.String("expires"),
			Enabled: aws.Bool(true)}}))
	e.must(cloud.S3().PutPublicAccessBlock(ctx,
		&s3.PutPublicAccessBlockInput{
			Bucket: &e.Bucket, PublicAccessBlockConfiguration: &s3types.PublicAccessBlockConfiguration{
				BlockPublicAcls: aws.Bool(true), BlockPublicPolicy: aws.Bool(true), IgnorePublicAcls: aws.Bool(true),
				RestrictPublicBuckets: aws.Bool(true)}}))
	e.must(cloud.S3().PutBucketLifecycleConfiguration(
		ctx, &s3.PutBucketLifecycleConfigurationInput{
			Bucket: &e.Bucket, LifecycleConfiguration: &s3types.BucketLifecycleConfiguration{
				Rules: []s3types.LifecycleRule{
					{ID: aws.String("originals"), Status: s3types.ExpirationStatusEnabled,
						Filter:     &s3types.LifecycleRuleFilter{Prefix: aws.String("upload/")},
						Expiration: &s3types.LifecycleExpiration{Days: aws.Int32(30)}}}}}))
	e.ring()
	return e
}

// ring makes the topic and the alarms.
func (e *onEndpoint) ring() {
	ctx, topics := e.Context(), sns.NewFromConfig(*e.Config("operator"))
	topic, err := topics.CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String("imagery-" + e.name + "-alarms")})
	if err != nil {
		e.Fatal(err)
	}
	e.topic = *topic.TopicArn
	e.must(topics.Subscribe(ctx, &sns.SubscribeInput{TopicArn: &e.topic, Protocol: aws.String("email"),
		Endpoint: aws.String("oncall@example.com")}))
	for _, name := range settings.Alarms {
		e.must(e.alarms().PutMetricAlarm(
			ctx, &cloudwatch.PutMetricAlarmInput{AlarmName: aws.String("imagery-" + e.name + "-" + name + "-1a2b3c4"),
				Namespace: aws.String("Imagery"), MetricName: aws.String("requests"), Statistic: cwtypes.StatisticSum,
				Period: aws.Int32(60), EvaluationPeriods: aws.Int32(1),
				Threshold: aws.Float64(1), ComparisonOperator: cwtypes.ComparisonOperatorGreaterThanThreshold,
				ActionsEnabled: aws.Bool(true),
				AlarmActions:   []string{e.topic}, OKActions: []string{e.topic}}))
	}
}

// remove deletes what build made.
func (e *onEndpoint) remove() {
	ctx := context.Background() // the test's own has ended
	var names []string
	for _, name := range settings.Alarms {
		names = append(names, "imagery-"+e.name+"-"+name+"-1a2b3c4")
	}
	_, alarms := e.alarms().DeleteAlarms(ctx, &cloudwatch.DeleteAlarmsInput{AlarmNames: names})
	_, topic := sns.NewFromConfig(*e.Config("operator")).DeleteTopic(ctx, &sns.DeleteTopicInput{TopicArn: &e.topic})
	if err := errors.Join(alarms, topic, e.Remove(ctx, e.Stack)); err != nil {
		e.Error(err)
	}
}

func (e *onEndpoint) alarms() *cloudwatch.Client {
	return cloudwatch.NewFromConfig(*e.Config("operator"))
}

func (e *onEndpoint) flags() []string {
	return append([]string{"--stack", e.name}, e.Stack.Flags()...)
}

// TestOnCallOnEndpoint runs the operator's commands against a complete emulator, or AWS itself, when one is given.
func TestOnCallOnEndpoint(t *testing.T) {
	endpoint := os.Getenv(endpointVariable)
	if endpoint == "" {
		t.Skipf("SKIPPED, it needs another AWS endpoint: %s is not set", endpointVariable)
	}
	e := build(t, endpoint)
	pulumiSays(t, "{}", noState)
	look := func() (found examined) {
		out, _, err := runCommand(t, t.Context(), nil, append([]string{"doctor", "--json"}, e.flags()...)...)
		if jsonErr := json.Unmarshal([]byte(out), &found); jsonErr != nil || (err != nil) != (found.Wrong > 0) {
			t.Fatalf("%v, %v: %s", jsonErr, err, out)
		}
		return found
	}
	has := func(found examined, level doctor.Level, text string) bool {
		return slices.ContainsFunc(found.Findings,
			func(f doctor.Finding) bool { return f.Level == level && strings.Contains(f.Text, text) })
	}
	healthy := look()
	if healthy.Wrong > 0 || !has(healthy, doctor.OK, "pending-index has its keys") ||
		!has(healthy, doctor.OK, "13 alarms notify email oncall@example.com") ||
		!has(healthy, doctor.Warning, "not in the Pulumi state: arn:aws:sqs") ||
		!has(healthy, doctor.OK, "10 permissions of the commands are granted;") {
		t.Errorf("%+v", healthy.Findings)
	}
	e.must(e.SQS().SetQueueAttributes(t.Context(),
		&sqs.SetQueueAttributesInput{QueueUrl: &e.QueueURL, Attributes: map[string]string{"VisibilityTimeout": "30"}}))
	e.must(e.S3().DeletePublicAccessBlock(t.Context(), &s3.DeletePublicAccessBlockInput{Bucket: &e.Bucket}))
	e.must(e.alarms().DeleteAlarms(t.Context(),
		&cloudwatch.DeleteAlarmsInput{AlarmNames: []string{"imagery-" + e.name + "-lag-1a2b3c4"}}))
	broken := look()
	for _, want := range []string{"visibility timeout is 30s", "has no public access block", "missing: lag"} {
		if !has(broken, doctor.Wrong, want) {
			t.Errorf("no %q: %+v", want, broken.Findings)
		}
	}
	if out, _, err := runCommand(t, t.Context(), nil, append([]string{"alarms", "ls"}, e.flags()...)...); err != nil ||
		strings.Count(out, "email oncall@example.com") != 12 {
		t.Errorf("%v\n%s", err, out)
	}
	if endpoint != fakeaws.RealAWS { // an emulator has no history: nothing is rung of which nothing would be known
		out, _, err := runCommand(t, t.Context(), nil,
			append([]string{"alarms", "test", "--yes", "--name", "queue-age"}, e.flags()...)...)
		if err == nil || !strings.Contains(fmt.Sprint(err), "not every action was seen to succeed: queue-age") {
			t.Errorf("%v\n%s", err, out)
		}
	}
}
