package cloudwatch

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// TestCBORIsTranslated: a client of CloudWatch and a server that speaks JSON only understand each other.
func TestCBORIsTranslated(t *testing.T) {
	var got map[string]any
	server := httptest.NewServer(JSONForCBOR(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		switch r.Header.Get("X-Amz-Target") {
		case "GraniteServiceVersion20100801.PutMetricAlarm":
		case "GraniteServiceVersion20100801.DescribeAlarms":
			fmt.Fprint(w, `{"MetricAlarms":[{"AlarmName":"a","Period":60,"Threshold":-1.5,"ActionsEnabled":true,"Unit":null,`+
				`"AlarmActions":["x"],"StateUpdatedTimestamp":1795960387.5}]}`)
		default:
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"__type":"ResourceNotFound","message":"no such dashboard"}`)
		}
	})))
	t.Cleanup(server.Close)
	c := cloudwatch.New(cloudwatch.Options{Region: "us-east-1", BaseEndpoint: &server.URL, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("rehearsal", "rehearsal", "")})
	if _, err := c.PutMetricAlarm(t.Context(), &cloudwatch.PutMetricAlarmInput{AlarmName: aws.String("a"),
		ComparisonOperator: types.ComparisonOperatorGreaterThanThreshold, EvaluationPeriods: aws.Int32(3),
		Threshold: aws.Float64(-1.5), ActionsEnabled: aws.Bool(false), AlarmActions: []string{"x"}}); err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprint(got); text != "map[ActionsEnabled:false AlarmActions:[x] AlarmName:a "+
		"ComparisonOperator:GreaterThanThreshold EvaluationPeriods:3 Threshold:-1.5]" {
		t.Error(text)
	}
	out, err := c.DescribeAlarms(t.Context(), &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{"a"}})
	if err != nil || len(out.MetricAlarms) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	a := out.MetricAlarms[0]
	if *a.AlarmName != "a" || *a.Period != 60 || *a.Threshold != -1.5 || !*a.ActionsEnabled || a.AlarmActions[0] != "x" ||
		!a.StateUpdatedTimestamp.Equal(time.Unix(1795960387, 5e8)) {
		t.Errorf("%+v", a)
	}
	_, err = c.GetDashboard(t.Context(), &cloudwatch.GetDashboardInput{DashboardName: aws.String("d")})
	if err == nil || !strings.Contains(err.Error(), "no such dashboard") {
		t.Errorf("%v, want the server's error", err)
	}
}
