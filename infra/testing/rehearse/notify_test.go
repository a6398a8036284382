package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	cwapi "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cw "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"imagery/infra/policy"
	"imagery/infra/testing/cloudwatch"
)

// remember lets a front store its alarms in memory.
func (f *front) remember() *cloudwatch.Memory {
	stored := &cloudwatch.Memory{}
	f.alarms.API = stored
	return stored
}

const topicARN = "arn:aws:sns:us-east-1:123456789012:alarms"

// topicPolicy is that of infra/alarms for a service.
func topicPolicy(service, account string) string {
	return policy.JSON(policy.Statement{Sid: "Alarms", Effect: policy.Allow,
		Principal: policy.Principals{"Service": {service}}, Action: []string{"sns:Publish"}, Resource: []string{topicARN},
		Condition: policy.Conditions{
			"ArnLike":      {"aws:SourceArn": {"arn:aws:cloudwatch:us-east-1:123456789012:alarm:*"}},
			"StringEquals": {"aws:SourceAccount": {account}}}})
}

func TestMayPublish(t *testing.T) {
	const alarm = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:a"
	for name, c := range map[string]struct {
		policy, alarm string
		may           bool
	}{
		"the stack's":     {topicPolicy("cloudwatch.amazonaws.com", account), alarm, true},
		"another service": {topicPolicy("events.amazonaws.com", account), alarm, false},
		"another account": {topicPolicy("cloudwatch.amazonaws.com", "1"), alarm, false},
		"another region": {topicPolicy("cloudwatch.amazonaws.com", account),
			"arn:aws:cloudwatch:eu-west-1:123456789012:alarm:a", false},
		"no statement":      {`{"Version":"2012-10-17","Statement":[]}`, alarm, false},
		"the default":       {`{"Id":"__default_policy_ID","Statement":[{"Action":"SNS:Publish"}]}`, alarm, true},
		"not even a policy": {"", alarm, false},
	} {
		if err := mayPublish(c.policy, topicARN, c.alarm); (err == nil) != c.may {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAnAlarmReachesTheMailFile goes the way of `imagery alarms test`: a state is set through the front, the topic's
// policy is read from moto, and the subscriber gets a mail.
func TestAnAlarmReachesTheMailFile(t *testing.T) {
	f, _, moto := rehearsal(t)
	f.topics.Mail = filepath.Join(t.TempDir(), "mail")
	attributes := func(policy string) {
		moto.set("GetTopicAttributes", "<Attributes><entry><key>Policy</key><value>"+
			strings.ReplaceAll(policy, `"`, "&quot;")+"</value></entry></Attributes>")
	}
	attributes(topicPolicy("cloudwatch.amazonaws.com", account))
	f.remember().Put(cw.MetricAlarm{AlarmName: aws.String("a"), StateValue: cw.StateValueOk,
		AlarmArn:       aws.String("arn:aws:cloudwatch:us-east-1:123456789012:alarm:a"),
		ActionsEnabled: aws.Bool(true), AlarmActions: []string{topicARN}, OKActions: []string{topicARN}})
	config := serve(t, f)
	topics, alarms := sns.NewFromConfig(config), cwapi.NewFromConfig(config)
	out, err := topics.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: aws.String(topicARN),
		Protocol: aws.String("email"), Endpoint: aws.String("operator@example.com"), ReturnSubscriptionArn: true})
	if err != nil || !strings.HasPrefix(*out.SubscriptionArn, topicARN+":") {
		t.Fatalf("%+v, %v", out, err)
	}
	got, err := topics.GetSubscriptionAttributes(t.Context(),
		&sns.GetSubscriptionAttributesInput{SubscriptionArn: out.SubscriptionArn})
	if err != nil || got.Attributes["Endpoint"] != "operator@example.com" ||
		got.Attributes["PendingConfirmation"] != "false" {
		t.Errorf("%+v, %v", got, err)
	}
	// Without the parameter ReturnSubscriptionArn, which has a default.
	form := strings.NewReader("Action=Subscribe&Protocol=http&Endpoint=https://host&TopicArn=" + topicARN)
	r := httptest.NewRequest(http.MethodPost, "/", form)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	if f.ServeHTTP(w, r); !strings.Contains(w.Body.String(), "Endpoint must match") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	list, err := topics.ListSubscriptionsByTopic(t.Context(),
		&sns.ListSubscriptionsByTopicInput{TopicArn: aws.String(topicARN)})
	if err != nil || len(list.Subscriptions) != 1 || *list.Subscriptions[0].SubscriptionArn != *out.SubscriptionArn {
		t.Errorf("%+v, %v", list, err)
	}
	set := func(to cw.StateValue) {
		t.Helper()
		if _, err := alarms.SetAlarmState(t.Context(), &cwapi.SetAlarmStateInput{AlarmName: aws.String("a"), StateValue: to,
			StateReason: aws.String("a drill")}); err != nil {
			t.Fatal(err)
		}
		f.topics.Wait()
	}
	set(cw.StateValueAlarm)
	attributes(topicPolicy("events.amazonaws.com", account))
	set(cw.StateValueOk)
	text, err := os.ReadFile(f.topics.Mail)
	if err != nil || strings.Count(string(text), "\nSubject: ") != 2 ||
		!strings.Contains(string(text), `Subject: ALARM: "a" in US East (N. Virginia)`) ||
		!strings.Contains(string(text), "has entered the ALARM state, because \"a drill\"") {
		t.Errorf("%v\n%s", err, text)
	}
	r = httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"AlarmName":"a"}`)) // of the AWS CLI
	r.Header.Set("X-Amz-Target", cloudwatch.Target+"DescribeAlarmHistory")
	w = httptest.NewRecorder()
	if f.ServeHTTP(w, r); !strings.Contains(w.Body.String(), `"AlarmHistoryItems":[{"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	history, err := alarms.DescribeAlarmHistory(t.Context(), &cwapi.DescribeAlarmHistoryInput{AlarmName: aws.String("a"),
		HistoryItemType: cw.HistoryItemTypeAction})
	if err != nil || len(history.AlarmHistoryItems) != 2 ||
		!strings.Contains(*history.AlarmHistoryItems[0].HistorySummary, "not authorized to perform: SNS:Publish") {
		t.Errorf("%+v, %v", history, err)
	}
}

// TestALinkConfirms: the link in a message is opened without a signature.
func TestALinkConfirms(t *testing.T) {
	f, _, _ := rehearsal(t)
	var asked struct{ SubscribeURL string }
	subscriber := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
	}))
	defer subscriber.Close()
	if _, err := f.topics.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: aws.String(topicARN),
		Protocol: aws.String("http"), Endpoint: &subscriber.URL}); err != nil {
		t.Fatal(err)
	}
	f.topics.Wait()
	open := func(link string) int {
		w := httptest.NewRecorder()
		f.ServeHTTP(w, httptest.NewRequest(http.MethodGet, link, nil))
		return w.Code
	}
	if code := open(strings.Replace(asked.SubscribeURL, "Token=", "Token=x", 1)); code != 400 {
		t.Errorf("a wrong token: %d", code)
	}
	if code := open(asked.SubscribeURL); code != 200 {
		t.Errorf("%s: %d", asked.SubscribeURL, code)
	}
	list, err := f.topics.ListSubscriptions(t.Context(), nil)
	if err != nil || !strings.HasPrefix(*list.Subscriptions[0].SubscriptionArn, topicARN) {
		t.Errorf("%+v, %v", list.Subscriptions, err)
	}
}
