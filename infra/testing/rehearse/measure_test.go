package main

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	cwapi "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cw "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	deploy "imagery/app/deploy/settings"
	"imagery/infra/testing/asgsim"
	"imagery/infra/testing/nspawn"
)

// newest returns a statistic of a metric in the minute of the rehearsal that ended last, with dimensions as pairs.
func newest(t *testing.T, f *front, end time.Time, namespace, name, stat string, dimensions ...string) float64 {
	t.Helper()
	a := cw.MetricAlarm{Namespace: &namespace, MetricName: &name, Statistic: cw.Statistic(stat), Period: aws.Int32(60),
		EvaluationPeriods: aws.Int32(1), ComparisonOperator: cw.ComparisonOperatorGreaterThanThreshold}
	for n := 0; n < len(dimensions); n += 2 {
		a.Dimensions = append(a.Dimensions, cw.Dimension{Name: &dimensions[n], Value: &dimensions[n+1]})
	}
	points, err := f.metrics.Points(a, end, factor)
	if err != nil {
		t.Fatal(err)
	}
	return points[0].Value
}

// TestBalancerMetrics: counts are those of the last minute, and what is 0 is not reported, as on AWS.
func TestBalancerMetrics(t *testing.T) {
	f, _ := frontOf(t)
	end := time.Unix(6000, 0)
	b := balancer{arn: "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/b/1",
		targets: "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/t/2"}
	whole := []string{"LoadBalancer", "app/b/1"}
	group := append([]string{"TargetGroup", "targetgroup/t/2"}, whole...)
	last := nspawn.Traffic{Requests: 100, Answers: [6]int{2: 90, 5: 10}, TargetRequests: 95,
		TargetAnswers: [6]int{2: 90, 5: 5}}
	now := nspawn.Traffic{Requests: 220, Answers: [6]int{2: 200, 5: 20}, TargetRequests: 212,
		TargetAnswers: [6]int{2: 200, 5: 12}, ResponseTime: 20 * time.Millisecond}
	f.putTraffic(end.Add(-time.Second), b, last, now, 3, 1)
	missing := math.NaN()
	for _, c := range []struct {
		name       string
		dimensions []string
		want       float64
	}{{"RequestCount", whole, 120}, {"RequestCount", group, 117}, {"RequestCountPerTarget", group, 39},
		{"RequestCountPerTarget", group[:2], 39}, {"HTTPCode_ELB_5XX_Count", whole, 3},
		{"HTTPCode_ELB_4XX_Count", whole, missing}, {"HTTPCode_Target_2XX_Count", group, 110},
		{"HTTPCode_Target_5XX_Count", whole, 7}, {"TargetResponseTime", whole, 0.02}, {"HealthyHostCount", group, 3},
		{"UnHealthyHostCount", group, 1}, {"UnHealthyHostCount", whole, missing}} {
		got := newest(t, f, end, "AWS/ApplicationELB", c.name, "Sum", c.dimensions...)
		if got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%s of %q is %v, want %v", c.name, c.dimensions, got, c.want)
		}
	}
	f.putTraffic(end, b, now, now, 0, 2)
	later := end.Add(minute)
	if got := newest(t, f, later, "AWS/ApplicationELB", "RequestCountPerTarget", "Sum", group...); got != 0 {
		t.Errorf("RequestCountPerTarget without requests is %v", got)
	}
	if got := newest(t, f, later, "AWS/ApplicationELB", "RequestCount", "Sum", whole...); !math.IsNaN(got) {
		t.Errorf("RequestCount without requests is %v", got)
	}
}

// TestBalancerDimensions: the metrics are those of the load balancer and the target group that moto has, and the hosts
// those of the group that is registered with it.
func TestBalancerDimensions(t *testing.T) {
	f, _, theirs := rehearsal(t)
	const arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:"
	theirs.set("DescribeLoadBalancers", "<LoadBalancers><member><LoadBalancerArn>"+arn+
		"loadbalancer/app/b/1</LoadBalancerArn></member></LoadBalancers>")
	theirs.set("DescribeListeners", "<Listeners><member><Port>80</Port><DefaultActions><member><TargetGroupArn>"+arn+
		"targetgroup/t/2</TargetGroupArn></member></DefaultActions></member></Listeners>")
	theirs.set("DescribeTargetGroups", "<TargetGroups><member><Port>8080</Port></member></TargetGroups>")
	end := time.Unix(6000, 0)
	count := func() float64 {
		if err := f.sampleBalancer(end.Add(-time.Second)); err != nil {
			t.Fatal(err)
		}
		return newest(t, f, end, "AWS/ApplicationELB", "HealthyHostCount", "Sum", "LoadBalancer", "app/b/1", "TargetGroup",
			"targetgroup/t/2")
	}
	if got := count(); !math.IsNaN(got) {
		t.Errorf("without a listener there are %v healthy hosts", got)
	}
	if err := f.followBalancer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := count(); got != 0 {
		t.Errorf("%v healthy hosts", got)
	}
	f.sim.Create(asgsim.Group{Name: "b", Min: 1, Max: 1, MinHealthy: 100, MaxHealthy: 200, Template: "lt-1", Version: "1",
		Zones: zones[:1], TargetGroup: arn + "targetgroup/t/2"})
	f.groups["b"] = groupSource{}
	until(t, "a host is healthy", func() bool { return count() > 0 })
}

// TestGroupMetrics: a group has the metrics that were enabled.
func TestGroupMetrics(t *testing.T) {
	f, _, _ := rehearsal(t)
	at := time.Unix(6000, 0)
	value := func(name string) float64 {
		at = at.Add(minute)
		f.sampleGroups(at.Add(-time.Millisecond))
		return newest(t, f, at, "AWS/AutoScaling", name, "Maximum", "AutoScalingGroupName", role)
	}
	if got := value("GroupInServiceInstances"); !math.IsNaN(got) {
		t.Errorf("a metric that is not enabled is %v", got)
	}
	in := &autoscaling.EnableMetricsCollectionInput{AutoScalingGroupName: aws.String(role),
		Metrics: []string{"GroupInServiceInstances", "GroupDesiredCapacity"}}
	if err := f.enableMetrics(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if in, desired := value("GroupInServiceInstances"), value("GroupDesiredCapacity"); in != 1 || desired != 1 {
		t.Errorf("%v in service of %v", in, desired)
	}
	if got := value("GroupMaxSize"); !math.IsNaN(got) {
		t.Errorf("a metric that is not enabled is %v", got)
	}
	if err := f.disableMetrics(t.Context(),
		&autoscaling.DisableMetricsCollectionInput{AutoScalingGroupName: aws.String(role)}); err != nil {
		t.Fatal(err)
	}
	if got := value("GroupInServiceInstances"); !math.IsNaN(got) {
		t.Errorf("a metric that was disabled is %v", got)
	}
}

// answered lets a front answer to an operator's call what moto answers to it.
func answered(f *front, service, target, body string, status int, answer string) {
	f.pass = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, answer)
	})
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", target)
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=acceptance/20261129/us-east-1/"+service+"/aws4_request")
	f.ServeHTTP(httptest.NewRecorder(), r)
}

// TestTableMetrics: what the table answers is counted by operation, and throttling by kind.
func TestTableMetrics(t *testing.T) {
	f, _ := frontOf(t)
	call := func(operation string, code int, text string) {
		answered(f, "dynamodb", "DynamoDB_20120810."+operation, `{"TableName":"t"}`, code, text)
	}
	call("GetItem", 200, "{}")
	call("GetItem", 500, "{}")
	call("Query", 400, `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"}`)
	call("PutItem", 400, `{"__type":"ThrottlingException"}`)
	call("PutItem", 400, `{"__type":"ConditionalCheckFailedException"}`)
	for name, want := range map[string]float64{"SuccessfulRequestLatency GetItem": 1, "SystemErrors GetItem": 1,
		"SystemErrors PutItem": 0, "ThrottledRequests Query": 1, "ThrottledRequests PutItem": 1, "ReadThrottleEvents": 1,
		"WriteThrottleEvents": 1, "SuccessfulRequestLatency PutItem": 0} {
		name, operation, _ := strings.Cut(name, " ")
		dimensions := []string{"TableName", "t"}
		if operation != "" {
			dimensions = append(dimensions, "Operation", operation)
		}
		got := newest(t, f, time.Now().Add(time.Millisecond), "AWS/DynamoDB", name, "SampleCount", dimensions...)
		if got != want && !(want == 0 && math.IsNaN(got)) {
			t.Errorf("%s %s: %v, want %v", name, operation, got, want)
		}
	}
}

// TestQueueMetrics: each number of messages has the name of CloudWatch, which is not always that of SQS.
func TestQueueMetrics(t *testing.T) {
	theirs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, map[string]string{"AmazonSQS.ListQueues": `{"QueueUrls":["http://h/1/q"]}`,
			"AmazonSQS.GetQueueAttributes": `{"Attributes":{"ApproximateNumberOfMessages":"5",
				"ApproximateNumberOfMessagesNotVisible":"3","ApproximateNumberOfMessagesDelayed":"2"}}`,
		}[r.Header.Get("X-Amz-Target")])
	}))
	defer theirs.Close()
	f := newFront(motoAt(theirs.URL), simulator(t, asgsim.Group{Name: role, Max: 1}), nil, nil, "")
	end := time.Unix(6000, 0)
	f.ages.messages["1"] = &queued{"q", end.Add(-31 * time.Second), 0}
	f.sampleQueues(t.Context(), end.Add(-time.Second))
	for name, want := range map[string]float64{"ApproximateNumberOfMessagesVisible": 5,
		"ApproximateNumberOfMessagesNotVisible": 3, "ApproximateNumberOfMessagesDelayed": 2,
		"ApproximateAgeOfOldestMessage": 30} {
		if got := newest(t, f, end, "AWS/SQS", name, "Maximum", "QueueName", "q"); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

// TestHeartbeats: a heartbeat is one of five in five minutes of real time, and silence is noticed after fifteen.
func TestHeartbeats(t *testing.T) {
	f, _ := frontOf(t)
	begun := time.Unix(6000, 0)
	f.remember().Put(cw.MetricAlarm{AlarmName: aws.String("silent"), StateValue: cw.StateValueOk,
		AlarmArn: aws.String(""), Threshold: aws.Float64(0.5), ComparisonOperator: cw.ComparisonOperatorGreaterThanThreshold,
		EvaluationPeriods: aws.Int32(3), Metrics: []cw.MetricDataQuery{
			{Id: aws.String("r"), Expression: aws.String("1 - FILL(beats, 0) / 5")},
			{Id: aws.String("beats"), MetricStat: &cw.MetricStat{Period: aws.Int32(300), Stat: aws.String("Sum"),
				Metric: &cw.Metric{Namespace: aws.String(deploy.MetricNamespace), MetricName: aws.String(deploy.MetricHeartbeat),
					Dimensions: []cw.Dimension{{Name: aws.String("stack"), Value: aws.String("s")},
						{Name: aws.String("role"), Value: aws.String("server")}}}}}}})
	for n := range 35 {
		at := begun.Add(time.Duration(n) * time.Minute)
		if n < 16 {
			f.logged(fmt.Appendf(nil, `{"stack":"s","role":"server",%q:1,"_aws":{"Timestamp":%d,"CloudWatchMetrics":`+
				`[{"Namespace":%q,"Dimensions":[["stack","role"]],"Metrics":[{"Name":%q}]}]}}`, deploy.MetricHeartbeat,
				at.UnixMilli(), deploy.MetricNamespace, deploy.MetricHeartbeat))
		}
		if n < 15 {
			continue
		}
		if err := f.alarms.Evaluate(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		want := cw.StateValueOk
		if n >= 29 { // the oldest of the three periods has two beats
			want = cw.StateValueAlarm
		}
		out, err := f.alarms.API.DescribeAlarms(t.Context(), &cwapi.DescribeAlarmsInput{})
		if err != nil || out.MetricAlarms[0].StateValue != want {
			t.Errorf("minute %d: %v, want %s, %v", n, out.MetricAlarms[0].StateValue, want, err)
		}
	}
}

// TestBatches: messages that are sent and deleted in batches are noted, although IAM has no actions for batches.
func TestBatches(t *testing.T) {
	f, _ := frontOf(t)
	for _, c := range []struct {
		operation, body, answer string
		left                    int
	}{
		{"SendMessageBatch", `"Entries":[]`, `{"Successful":[{"Id":"a","MessageId":"1"},{"Id":"b","MessageId":"2"}]}`, 2},
		{"ReceiveMessage", `"X":0`, `{"Messages":[{"MessageId":"1","ReceiptHandle":"r"}]}`, 2},
		{"DeleteMessageBatch", `"Entries":[{"Id":"x","ReceiptHandle":"r"}]`, `{"Successful":[{"Id":"x"}]}`, 1},
	} {
		answered(f, "sqs", "AmazonSQS."+c.operation, `{"QueueUrl":"http://h/1/q",`+c.body+"}", 200, c.answer)
		if n := len(f.ages.messages); n != c.left {
			t.Errorf("after %s %d messages are left, want %d", c.operation, n, c.left)
		}
	}
}

// TestAges: a message is as old as its send, until it is deleted or received three times.
func TestAges(t *testing.T) {
	a, now := newAges(), time.Unix(6000, 0)
	at := func(seconds int) time.Time { return now.Add(time.Duration(seconds) * time.Second) }
	call := func(operation, body, answer string, seconds int) {
		a.answered(operation, []byte(body), []byte(answer), at(seconds))
	}
	oldest := func(want int) {
		t.Helper()
		if got := a.oldest("q", 1, at(100)); got != time.Duration(want)*time.Second {
			t.Errorf("the oldest message is %s old, want %d s", got, want)
		}
	}
	const queue = `{"QueueUrl":"http://10.99.0.1:4566/123456789012/q"`
	oldest(0)
	call("SendMessage", queue+"}", `{"MessageId":"1"}`, 10)
	call("SendMessageBatch", queue+"}", `{"Successful":[{"Id":"a","MessageId":"2"},{"Id":"b","MessageId":"3"}]}`, 20)
	call("SendMessage", `{"QueueUrl":"http://10.99.0.1:4566/123456789012/other"}`, `{"MessageId":"4"}`, 0)
	oldest(90)
	for range 3 {
		call("ReceiveMessage", queue+"}", `{"Messages":[{"MessageId":"1","ReceiptHandle":"r1"}]}`, 30)
	}
	oldest(80)
	call("ReceiveMessage", queue+"}",
		`{"Messages":[{"MessageId":"2","ReceiptHandle":"r2"},{"MessageId":"3","ReceiptHandle":"r3"}]}`, 30)
	call("DeleteMessageBatch", queue+`,"Entries":[{"Id":"x","ReceiptHandle":"r2"},{"Id":"y","ReceiptHandle":"r3"}]}`,
		`{"Successful":[{"Id":"x"}]}`, 40)
	oldest(80)
	call("DeleteMessage", queue+`,"ReceiptHandle":"r3"}`, "", 40)
	oldest(0)
	call("SendMessage", queue+"}", `{"MessageId":"5"}`, 50)
	if got := a.oldest("q", 0, at(100)); got != 0 || a.oldest("q", 1, at(100)) != 0 || a.oldest("other", 1, at(100)) == 0 {
		t.Errorf("a queue without messages has one that is %s old", got)
	}
}
