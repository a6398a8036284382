package alarms

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// TestOutcome parses history items in the form of CloudWatch: JSON, in which the published message is JSON in JSON.
func TestOutcome(t *testing.T) {
	const topic = "arn:aws:sns:eu-west-1:123456:oncall"
	const done, undone = "Successfully executed action " + topic, "Failed to execute action " + topic
	message := func(state string) string {
		return `,"publishedMessage":"{\"default\":\"{\\\"AlarmName\\\":\\\"a\\\",` +
			`\\\"NewStateValue\\\":\\\"` + state + `\\\",\\\"OldStateValue\\\":\\\"OK\\\"}\"}"}`
	}
	const resource = `,"notificationResource":"` + topic + `"`
	const succeeded = `{"actionState":"Succeeded","stateUpdateTimestamp":1667756633496` + resource
	const failed, noKey = `{"actionState":"Failed"` + resource, undone + `. Received error: "no key"`
	for name, c := range map[string]struct{ summary, data, state, reason string }{
		"succeeded":                  {done, succeeded + message("ALARM"), Succeeded, ""},
		"succeeded on another state": {done, succeeded + message("OK"), "", ""},
		"another topic":              {done, `{"actionState":"Succeeded","notificationResource":"` + topic + `-2"}`, "", ""},
		"without a message":          {done, succeeded + "}", Succeeded, ""},
		"without data":               {done, "", Succeeded, ""},
		"without data, another":      {"Successfully executed action arn:aws:lambda:x", "", "", ""},
		"failed":                     {noKey, failed + `,"publishedMessage":null,"error":"no key"}`, Failed, "no key"},
		"failed, error in summary":   {noKey, failed + "}", Failed, "no key"},
		"failed, without a reason":   {undone, failed + "}", Failed, undone},
		"in progress":                {"Something about " + topic, `{"actionState":"InProgress"` + resource + "}", "", ""},
	} {
		item := types.AlarmHistoryItem{HistorySummary: &c.summary, HistoryData: &c.data}
		state, reason, ok := outcome(item, topic, types.StateValueAlarm)
		if state != c.state || reason != c.reason || ok != (c.state != "") {
			t.Errorf("%s: %q, %q, %t", name, state, reason, ok)
		}
	}
}

// TestRedacted: secrets are removed from endpoints.
func TestRedacted(t *testing.T) {
	for _, c := range [][3]string{
		{"email", "oncall@example.com", "oncall@example.com"},
		{"https", "https://user:pass@hooks.example/T0/s3cret?k=v", "https://hooks.example/..."},
		{"https", "nonsense", "(hidden)"},
		{"sms", "+491701234567", "...567"},
		{"sms", "1", "...1"},
		{"sqs", "arn:aws:sqs:x", "arn:aws:sqs:x"},
	} {
		if got := redacted(c[0], c[1]); got != c[2] {
			t.Errorf("%s %s is redacted to %s", c[0], c[1], got)
		}
	}
}
