package cloudwatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

const (
	topic  = "arn:aws:sns:us-east-1:123456789012:t"
	policy = "arn:aws:autoscaling:us-east-1:123456789012:scalingPolicy:1:autoScalingGroupName/g:policyName/p"
)

// rig has an alarm whose actions are a topic and a scaling policy.
type rig struct {
	Alarms
	api   Memory
	calls []string // of actions
	fail  error    // of publishing
}

func newRig() *rig {
	r := &rig{}
	a := errorsAlarm(2, 2)
	a.StateValue, a.TreatMissingData = types.StateValueOk, aws.String("notBreaching")
	a.AlarmActions, a.OKActions = []string{topic, policy}, []string{topic}
	r.api.Put(a)
	r.Alarms = Alarms{API: &r.api, Metrics: &Store{}, Factor: 10, Log: func(string, ...any) {},
		Publish: func(arn string, m Message) error {
			r.calls = append(r.calls, fmt.Sprintf("%s %s", arn, m.Subject()))
			return r.fail
		},
		Scale: func(arn string, _ types.MetricAlarm, value float64) error {
			r.calls = append(r.calls, fmt.Sprintf("%s %v", arn, value))
			return nil
		}}
	return r
}

func (r *rig) evaluate(t *testing.T, periods string) types.StateValue {
	t.Helper()
	end := time.Unix(6000, 0)
	put(r.Metrics, end, 6*time.Second, periods)
	r.calls = nil
	if err := r.Evaluate(t.Context(), end); err != nil {
		t.Fatal(err)
	}
	r.Metrics.Forget(end)
	return r.alarm().StateValue
}

// alarm returns the first alarm.
func (r *rig) alarm() *types.MetricAlarm { return &r.api.alarms[0] }

// TestActions: a topic receives a change of state once, a scaling policy is executed as long as the state lasts.
func TestActions(t *testing.T) {
	r := newRig()
	const subject = topic + ` %s: "errors" in US East (N. Virginia)`
	for i, c := range []struct {
		periods string
		state   types.StateValue
		calls   []string
	}{
		{"X0X", types.StateValueOk, nil},
		{"0XX", types.StateValueAlarm, []string{fmt.Sprintf(subject, "ALARM"), policy + " 2"}},
		{"XXX", types.StateValueAlarm, []string{policy + " 2"}},
		{"XX0", types.StateValueOk, []string{fmt.Sprintf(subject, "OK")}},
		{"000", types.StateValueOk, nil},
	} {
		if state := r.evaluate(t, c.periods); state != c.state || !slices.Equal(r.calls, c.calls) {
			t.Errorf("%d: after %s %s, %q, want %s, %q", i, c.periods, state, r.calls, c.state, c.calls)
		}
	}
	r.alarm().ActionsEnabled = aws.Bool(false)
	if state := r.evaluate(t, "XX"); state != types.StateValueAlarm || r.calls != nil {
		t.Errorf("with disabled actions: %s, %q", state, r.calls)
	}
}

// stuck is an API in which the state of one alarm cannot be set.
type stuck struct {
	*Memory
	name string
}

func (s stuck) SetAlarmState(ctx context.Context, in *cloudwatch.SetAlarmStateInput,
	_ ...func(*cloudwatch.Options)) (*cloudwatch.SetAlarmStateOutput, error) {
	if *in.AlarmName == s.name {
		return nil, errors.New("throttled")
	}
	return s.Memory.SetAlarmState(ctx, in)
}

// TestRun: data that was gathered and sampled counts at the end of a minute, divided by the factor, whatever happens to
// other alarms, and is forgotten later.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		a := errorsAlarm(1, 1)
		a.AlarmName = aws.String("other")
		r.api.Put(a)
		r.API, r.alarm().StateValue = stuck{&r.api, "errors"}, types.StateValueAlarm // which is over
		m := Metric{"N", "errors", map[string]string{"stack": "s"}}
		ctx, stop := context.WithCancel(t.Context())
		gathered := 0
		go r.Run(ctx, func() {
			if gathered++; gathered <= 2 {
				r.Metrics.Put(Datum{m, time.Now(), 0.5})
			}
		}, func(end time.Time) { r.Metrics.Put(Datum{m, end.Add(-1), 0.1}) })
		state := func() types.StateValue {
			a, err := r.find(ctx, "other")
			if err != nil {
				t.Fatal(err)
			}
			return a.StateValue
		}
		if time.Sleep(5900 * time.Millisecond); state() != "before" {
			t.Errorf("before the end of the minute: %s", state())
		}
		if time.Sleep(200 * time.Millisecond); state() != types.StateValueAlarm {
			t.Errorf("at the end of the minute: %s", state())
		}
		time.Sleep(retention + 6*time.Second)
		if old := r.Metrics.values(m, time.Time{}, time.Now().Add(-retention)); len(old) > 0 {
			t.Errorf("%d old values are left", len(old))
		}
		stop()
		synctest.Wait()
	})
}

// TestRealTime: the period of an alarm on a metric that is written in intervals of real time is not divided.
func TestRealTime(t *testing.T) {
	r := newRig()
	r.RealTime = func(m Metric) bool { return m.Namespace == "N" && m.Name == "errors" && m.Dimensions["stack"] == "s" }
	if state := r.evaluate(t, "XX"); state != types.StateValueOk {
		t.Errorf("after 12 s of 2 minutes: %s", state)
	}
	if state := r.evaluate(t, strings.Repeat("X", 20)); state != types.StateValueAlarm {
		t.Errorf("after 2 minutes: %s", state)
	}
}

// TestDrill: a state that is set acts like one that was evaluated, and is in the history with the result of its action.
func TestDrill(t *testing.T) {
	r := newRig()
	var seen []types.StateValue
	r.Observe = func(_ string, s types.StateValue) { seen = append(seen, s) }
	set := func(to types.StateValue) {
		t.Helper()
		if err := r.SetState(t.Context(), &cloudwatch.SetAlarmStateInput{AlarmName: aws.String("errors"), StateValue: to,
			StateReason: aws.String("a drill")}); err != nil {
			t.Fatal(err)
		}
	}
	set(types.StateValueAlarm)
	set(types.StateValueAlarm) // no change
	r.fail = errors.New("not authorized")
	set(types.StateValueOk)
	if len(r.calls) != 2 || !slices.Equal(seen, []types.StateValue{types.StateValueAlarm, types.StateValueOk}) {
		t.Errorf("%q, %q", r.calls, seen)
	}
	items := r.History(&cloudwatch.DescribeAlarmHistoryInput{AlarmName: aws.String("errors"),
		HistoryItemType: types.HistoryItemTypeAction})
	if len(items) != 2 || !strings.HasPrefix(*items[0].HistorySummary, "Failed") ||
		!strings.HasPrefix(*items[1].HistorySummary, "Successfully executed action "+topic) {
		t.Fatalf("%d actions: %+v", len(items), items)
	}
	var data struct{ ActionState, NotificationResource, PublishedMessage string }
	var texts, message map[string]any
	err := errors.Join(json.Unmarshal([]byte(*items[1].HistoryData), &data),
		json.Unmarshal([]byte(data.PublishedMessage), &texts))
	if err == nil {
		err = json.Unmarshal([]byte(texts["default"].(string)), &message)
	}
	trigger, _ := message["Trigger"].(map[string]any)
	if err != nil || data.ActionState != "Succeeded" || message["NewStateValue"] != "ALARM" ||
		message["OldStateValue"] != "OK" || message["AWSAccountId"] != "123456789012" || trigger["MetricName"] != "errors" ||
		trigger["Statistic"] != "SUM" || trigger["Period"] != 60.0 {
		t.Errorf("%v, %+v, %v", err, data, message)
	}
	if all := r.History(&cloudwatch.DescribeAlarmHistoryInput{MaxRecords: aws.Int32(3)}); len(all) != 3 ||
		len(r.History(&cloudwatch.DescribeAlarmHistoryInput{AlarmName: aws.String("other")})) != 0 {
		t.Errorf("%+v", all)
	}
	if err := r.SetState(t.Context(), &cloudwatch.SetAlarmStateInput{AlarmName: aws.String("typo")}); err == nil {
		t.Error("an alarm that does not exist was set")
	}
}

// TestPut: a new alarm begins with insufficient data, and one that is put again keeps its state.
func TestPut(t *testing.T) {
	r := newRig()
	create := func(name string) func() {
		return func() {
			a := errorsAlarm(1, 1)
			a.AlarmName, a.StateValue = &name, types.StateValueOk // as an emulator that only stores may do
			r.api.Put(a)
		}
	}
	r.alarm().StateValue = types.StateValueAlarm
	for name, want := range map[string]types.StateValue{"errors": "ALARM", "new": "INSUFFICIENT_DATA"} {
		if err := r.Put(t.Context(), name, create(name)); err != nil {
			t.Fatal(err)
		}
		if a, err := r.find(t.Context(), name); err != nil || a.StateValue != want {
			t.Errorf("%s: %+v, want %s, %v", name, a, want, err)
		}
	}
	if err := r.Put(t.Context(), "refused", func() {}); err != nil {
		t.Errorf("an alarm that was not stored: %v", err)
	}
	if len(r.history) > 0 || r.calls != nil {
		t.Errorf("%+v, %q", r.history, r.calls)
	}
}
