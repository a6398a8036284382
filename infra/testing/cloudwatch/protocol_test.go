package cloudwatch

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"
)

// TestHandler: a client of the SDK sets a state and reads the history, and what is stored is passed on.
func TestHandler(t *testing.T) {
	r := newRig()
	passed := ""
	server := httptest.NewServer(JSONForCBOR(r.Handler(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		passed = q.Header.Get("X-Amz-Target")
		a := errorsAlarm(1, 1)
		a.AlarmName, a.StateValue = aws.String("other"), types.StateValueOk
		r.api.Put(a)
		write(w, struct{}{}, nil)
	}))))
	defer server.Close()
	c := cloudwatch.New(cloudwatch.Options{Region: "us-east-1", BaseEndpoint: &server.URL, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("x", "y", "")})
	set := func(name string) error {
		_, err := c.SetAlarmState(t.Context(), &cloudwatch.SetAlarmStateInput{AlarmName: &name,
			StateValue: types.StateValueAlarm, StateReason: aws.String("a drill")})
		return err
	}
	if err := set("errors"); err != nil || r.alarm().StateValue != "ALARM" || *r.alarm().StateReason != "a drill" {
		t.Errorf("%+v, %v", r.alarm(), err)
	}
	if api := smithy.APIError(nil); !errors.As(set("typo"), &api) || api.ErrorCode() != "ResourceNotFound" {
		t.Errorf("an alarm that does not exist: %v", api)
	}
	out, err := c.DescribeAlarmHistory(t.Context(), &cloudwatch.DescribeAlarmHistoryInput{AlarmName: aws.String("errors"),
		HistoryItemType: types.HistoryItemTypeAction, MaxRecords: aws.Int32(50)})
	if err != nil || len(out.AlarmHistoryItems) != 1 || out.AlarmHistoryItems[0].Timestamp.IsZero() {
		t.Errorf("%+v, %v", out, err)
	}
	// The AWS CLI speaks JSON.
	ask := func(operation, body string) (int, string) {
		q, err := http.NewRequest(http.MethodPost, server.URL, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("X-Amz-Target", Target+operation)
		out, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Body.Close()
		text, err := io.ReadAll(out.Body)
		if err != nil {
			t.Fatal(err)
		}
		return out.StatusCode, string(text)
	}
	if code, text := ask("SetAlarmState", `{"AlarmName":"errors","StateValue":"OK","StateReason":"over"}`); code != 200 ||
		r.alarm().StateValue != "OK" {
		t.Errorf("%d %s", code, text)
	}
	code, text := ask("DescribeAlarmHistory", `{"AlarmName":"errors","MaxRecords":1,"HistoryItemType":"Action"}`)
	var history struct {
		AlarmHistoryItems []struct {
			Timestamp      float64
			HistorySummary string
		}
	}
	if err := json.Unmarshal([]byte(text), &history); err != nil || code != 200 || len(history.AlarmHistoryItems) != 1 ||
		history.AlarmHistoryItems[0].Timestamp < 1e9 || history.AlarmHistoryItems[0].HistorySummary == "" {
		t.Errorf("%d %s, %v", code, text, err)
	}
	if code, text := ask("SetAlarmState", `{"AlarmName":"typo"}`); code != 400 ||
		!strings.Contains(text, "ResourceNotFound") {
		t.Errorf("%d %s", code, text)
	}
	if passed != "" {
		t.Errorf("%s was passed on", passed)
	}
	if _, err := c.PutMetricAlarm(t.Context(), &cloudwatch.PutMetricAlarmInput{AlarmName: aws.String("other"),
		EvaluationPeriods: aws.Int32(1), ComparisonOperator: types.ComparisonOperatorGreaterThanThreshold}); err != nil {
		t.Fatal(err)
	}
	if a, err := r.find(t.Context(), "other"); err != nil || a == nil || a.StateValue != "INSUFFICIENT_DATA" {
		t.Errorf("a new alarm: %+v, %v", a, err)
	}
	if _, err := c.DeleteAlarms(t.Context(), &cloudwatch.DeleteAlarmsInput{AlarmNames: []string{"other"}}); err != nil ||
		passed != Target+"DeleteAlarms" {
		t.Errorf("%s was passed on, %v", passed, err)
	}
}
