package alarms

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// Items of a history as CloudWatch writes them: JSON in a text, and in that a message that is JSON in JSON.
func TestOutcome(t *testing.T) {
	const topic = "arn:aws:sns:eu-west-1:123456:oncall"
	const done, undone = "Successfully executed action " + topic, "Failed to execute action " + topic
	said := func(state string) string {
		return `,"publishedMessage":"{\"default\":\"{\\\"AlarmName\\\":\\\"a\\\",\\\"NewStateValue\\\":\\\"` + state + `\\\",\\\"OldStateValue\\\":\\\"OK\\\"}\"}"}`
	}
	const succeeded = `{"actionState":"Succeeded","stateUpdateTimestamp":1667756633496,"notificationResource":"` + topic + `"`
	for name, c := range map[string]struct{ summary, data, state, reason string }{
		"told":                       {done, succeeded + said("ALARM"), Succeeded, ""},
		"told of the end, not of it": {done, succeeded + said("OK"), "", ""},
		"another topic":              {done, `{"actionState":"Succeeded","notificationResource":"` + topic + `-2"}`, "", ""},
		"without a message":          {done, succeeded + "}", Succeeded, ""},
		"without data":               {done, "", Succeeded, ""},
		"without data, another":      {"Successfully executed action arn:aws:lambda:x", "", "", ""},
		"failed":                     {undone + `. Received error: "no key"`, `{"actionState":"Failed","notificationResource":"` + topic + `","publishedMessage":null,"error":"no key"}`, Failed, "no key"},
		"failed, only in words":      {undone + `. Received error: "no key"`, `{"actionState":"Failed","notificationResource":"` + topic + `"}`, Failed, "no key"},
		"failed, without a reason":   {undone, `{"actionState":"Failed","notificationResource":"` + topic + `"}`, Failed, undone},
		"in progress":                {"Something about " + topic, `{"actionState":"InProgress","notificationResource":"` + topic + `"}`, "", ""},
	} {
		state, reason, ok := outcome(types.AlarmHistoryItem{HistorySummary: &c.summary, HistoryData: &c.data}, topic, Ringing)
		if state != c.state || reason != c.reason || ok != (c.state != "") {
			t.Errorf("%s: %q, %q, %t", name, state, reason, ok)
		}
	}
}

// What is printed of an endpoint is no secret.
func TestShown(t *testing.T) {
	for _, c := range [][3]string{
		{"email", "oncall@example.com", "oncall@example.com"}, {"https", "https://user:pass@hooks.example/T0/s3cret?k=v", "https://hooks.example/..."},
		{"https", "nonsense", "(hidden)"}, {"sms", "+491701234567", "...567"}, {"sms", "1", "...1"}, {"sqs", "arn:aws:sqs:x", "arn:aws:sqs:x"},
	} {
		if got := shown(c[0], c[1]); got != c[2] {
			t.Errorf("%s %s is shown as %s", c[0], c[1], got)
		}
	}
}
