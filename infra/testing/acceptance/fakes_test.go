package main

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// apiOf returns settings of the SDK whose calls of JSON protocols are answered one by one: a status and a body for each
// operation, the last one again and again.
func apiOf(t *testing.T, answers map[string][]string) aws.Config {
	t.Helper()
	at := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		_, _ = io.Copy(io.Discard, r.Body)
		left := answers[operation]
		if len(left) == 0 {
			http.Error(w, operation, http.StatusNotImplemented)
			return
		}
		if len(left) > 1 {
			answers[operation] = left[1:]
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		if strings.Contains(left[0], "__type") {
			w.WriteHeader(http.StatusBadRequest)
		}
		fmt.Fprint(w, left[0])
	}))
	t.Cleanup(at.Close)
	return aws.Config{Region: "us-east-1", BaseEndpoint: &at.URL,
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}
}

// TestCommand: an instance that is not registered yet, and a command that has not begun, are waited for.
func TestCommand(t *testing.T) {
	for _, c := range []struct{ last, text, failure string }{
		{`{"Status":"Success","StandardOutputContent":"restarted after 7 ms"}`, "restarted after 7 ms", ""},
		{`{"Status":"Failed","StandardErrorContent":"no such process"}`, "no such process", "no such process"},
	} {
		t.Run(c.text, func(t *testing.T) {
			t.Parallel()
			of := &T{test: &test{out: t.Output(), begun: time.Now(), side: side{factor: 10}, aws: apiOf(t, map[string][]string{
				"SendCommand":          {`{"__type":"InvalidInstanceId"}`, `{"Command":{"CommandId":"c"}}`},
				"GetCommandInvocation": {`{"__type":"InvocationDoesNotExist"}`, `{"Status":"Delayed"}`, c.last},
			})}}
			text, err := of.command(t.Context(), "i-a", "true")
			if text != c.text || (err != nil) != (c.failure != "") || err != nil && !strings.Contains(err.Error(), c.failure) {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
}

// TestInboxReadsNotifications: other alarms and other states are not what is waited for.
func TestInboxReadsNotifications(t *testing.T) {
	received := func(of ...string) string {
		var all []map[string]string
		for _, message := range of {
			body, _ := json.Marshal(map[string]string{"Type": "Notification", "Message": message})
			sum := md5.Sum(body)
			all = append(all, map[string]string{"MessageId": "m", "ReceiptHandle": "r", "Body": string(body),
				"MD5OfBody": hex.EncodeToString(sum[:])})
		}
		text, _ := json.Marshal(map[string]any{"Messages": all})
		return string(text)
	}
	b := &inbox{queues: sqs.NewFromConfig(apiOf(t, map[string][]string{"DeleteMessage": {"{}"}, "ReceiveMessage": {
		received(`no JSON`, `{"AlarmName":"other","NewStateValue":"ALARM","StateChangeTime":"9"}`,
			`{"AlarmName":"dead","NewStateValue":"OK","StateChangeTime":"2"}`),
		received(`{"AlarmName":"dead","NewStateValue":"ALARM","StateChangeTime":"1"}`),
		received(`{"AlarmName":"dead","NewStateValue":"ALARM","StateChangeTime":"3"}`), received(),
	}}))}
	for n, want := range []bool{false, false, true, true} {
		if got, err := b.has(t.Context(), "dead", types.StateValueAlarm); got != want || err != nil {
			t.Errorf("receive %d: %v, %v", n, got, err)
		}
	}
}

// TestAlarmInAnotherState: an alarm that does not ring is reported with the metric that it watches, and its reason.
func TestAlarmInAnotherState(t *testing.T) {
	a := types.MetricAlarm{AlarmName: aws.String("dead"), MetricName: aws.String("Typo"), StateValue: types.StateValueOk,
		StateReason: aws.String("no datapoints were received")}
	err := hasState(a, types.StateValueAlarm)
	if err == nil || err.Error() != "dead on metric Typo is OK: no datapoints were received" {
		t.Error(err)
	}
	if err := hasState(a, types.StateValueOk); err != nil {
		t.Error(err)
	}
}
