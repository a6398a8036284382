package cloudwatch

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// API stores alarms and their states. Alarms, not API, acts on a change of state.
type API interface {
	cloudwatch.DescribeAlarmsAPIClient
	SetAlarmState(context.Context, *cloudwatch.SetAlarmStateInput, ...func(*cloudwatch.Options)) (
		*cloudwatch.SetAlarmStateOutput, error)
}

// Alarms evaluates the alarms that are stored in API.
type Alarms struct {
	API     API
	Metrics *Store
	Factor  int
	// RealTime, if set, reports whether a metric is written in intervals of real time, whatever the Factor is. The periods
	// of alarms on such a metric are not divided.
	RealTime func(Metric) bool
	// Publish publishes a change of state to an SNS topic. An error is the result of the action, as without permission.
	Publish func(topic string, m Message) error
	// Scale executes a scaling policy for the newest value of the alarm's metric.
	Scale func(policy string, a types.MetricAlarm, value float64) error
	// Observe, if set, receives every state.
	Observe func(name string, state types.StateValue)
	Log     func(format string, args ...any)

	mu      sync.Mutex // of states
	history []types.AlarmHistoryItem
}

// Evaluate evaluates all alarms on the periods that end at a time. It has to be called every minute, divided by Factor:
// "For any period of one minute or longer, an alarm is evaluated every minute and the evaluation is based on the window
// of time defined by the Period and Evaluation Periods."
func (s *Alarms) Evaluate(ctx context.Context, end time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	out, err := s.API.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{})
	if err != nil {
		return fmt.Errorf("read the alarms: %w", err)
	}
	for _, a := range out.MetricAlarms {
		points, err := s.Metrics.Points(a, end, s.factor(a))
		if err != nil {
			s.Log("%v", err) // the others count nevertheless
			continue
		}
		r := Evaluate(a, points)
		if r.State != a.StateValue {
			if err := s.set(ctx, a, r); err != nil {
				s.Log("%v", err)
				continue
			}
		}
		// "For Auto Scaling actions, the alarm continues to invoke the action once per minute that the alarm remains in the
		// new state."
		for _, policy := range actions(a, r.State) {
			if isPolicy(policy) {
				if err := s.Scale(policy, a, points[0].Value); err != nil {
					s.Log("alarm %s: %v", *a.AlarmName, err)
				}
			}
		}
	}
	return nil
}

// retention is longer than the evaluation range of any alarm of the program.
const retention = 30 * time.Minute

// Run evaluates the alarms at the end of every minute, divided by Factor, until ctx ends. It calls gather several times
// a second to add data, and sample before each evaluation, to add those that AWS samples once a minute.
func (s *Alarms) Run(ctx context.Context, gather func(), sample func(end time.Time)) {
	minute := time.Minute / time.Duration(s.Factor)
	ticks := time.NewTicker(200 * time.Millisecond)
	defer ticks.Stop()
	for ended := time.Now().Truncate(minute); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		gather()
		if end := time.Now().Truncate(minute); end.After(ended) {
			ended = end
			sample(end)
			if err := s.Evaluate(ctx, end); err != nil && ctx.Err() == nil {
				s.Log("evaluate the alarms: %v", err)
			}
			s.Metrics.Forget(end.Add(-retention))
		}
	}
}

// factor returns the factor that divides the periods of an alarm.
func (s *Alarms) factor(a types.MetricAlarm) int {
	sources, _ := Sources(a)
	if s.RealTime != nil && slices.ContainsFunc(sources, func(of Source) bool { return s.RealTime(of.Metric) }) {
		return 1
	}
	return s.Factor
}

// SetState implements SetAlarmState: "When the updated state differs from the previous value, the action configured for
// the appropriate state is invoked." "Metric alarms returns to their actual state quickly, often within seconds."
func (s *Alarms) SetState(ctx context.Context, in *cloudwatch.SetAlarmStateInput) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.find(ctx, aws.ToString(in.AlarmName))
	if err != nil {
		return err
	}
	if a == nil || a.StateValue == in.StateValue {
		_, err := s.API.SetAlarmState(ctx, in) // which answers for an alarm that does not exist
		return err
	}
	return s.set(ctx, *a, Result{in.StateValue, aws.ToString(in.StateReason)})
}

// Put stores an alarm by calling store and gives it its first state: "When you create an alarm, the alarm state is
// immediately set to INSUFFICIENT_DATA. The alarm is then evaluated and its state is set appropriately." "When you
// update an existing alarm, its state is left unchanged".
func (s *Alarms) Put(ctx context.Context, name string, store func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, err := s.find(ctx, name)
	if err != nil {
		return err
	}
	store()
	after, err := s.find(ctx, name)
	if err != nil || after == nil {
		return err // of the latter, the caller of store knows why
	}
	first := cloudwatch.SetAlarmStateInput{AlarmName: &name, StateValue: types.StateValueInsufficientData,
		StateReason: aws.String("Unchecked: Initial alarm creation")}
	if before != nil {
		first.StateValue, first.StateReason = before.StateValue, before.StateReason
	}
	s.observe(name, first.StateValue)
	_, err = s.API.SetAlarmState(ctx, &first)
	return err
}

// find returns an alarm, or nil.
func (s *Alarms) find(ctx context.Context, name string) (*types.MetricAlarm, error) {
	out, err := s.API.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{name}})
	if err != nil {
		return nil, fmt.Errorf("read alarm %s: %w", name, err)
	}
	if len(out.MetricAlarms) != 1 {
		return nil, nil
	}
	return &out.MetricAlarms[0], nil
}

func (s *Alarms) observe(name string, state types.StateValue) {
	if s.Observe != nil {
		s.Observe(name, state)
	}
}

// actions returns those of an alarm for a state, none if they are disabled.
func actions(a types.MetricAlarm, state types.StateValue) []string {
	if !aws.ToBool(a.ActionsEnabled) {
		return nil
	}
	return map[types.StateValue][]string{types.StateValueAlarm: a.AlarmActions, types.StateValueOk: a.OKActions,
		types.StateValueInsufficientData: a.InsufficientDataActions}[state]
}

func isPolicy(arn string) bool { return strings.Contains(arn, ":autoscaling:") }

// set changes the state of an alarm, which executes its actions. The lock is held.
func (s *Alarms) set(ctx context.Context, a types.MetricAlarm, r Result) error {
	_, err := s.API.SetAlarmState(ctx, &cloudwatch.SetAlarmStateInput{AlarmName: a.AlarmName, StateValue: r.State,
		StateReason: &r.Reason})
	if err != nil {
		return fmt.Errorf("set alarm %s to %s: %w", *a.AlarmName, r.State, err)
	}
	at := time.Now()
	s.observe(*a.AlarmName, r.State)
	s.Log("alarm %s is %s: %s", *a.AlarmName, r.State, r.Reason)
	s.remember(a, types.HistoryItemTypeStateUpdate, at, fmt.Sprintf("Alarm updated from %s to %s", a.StateValue, r.State),
		map[string]any{"version": "1.0", "oldState": map[string]any{"stateValue": a.StateValue},
			"newState": map[string]any{"stateValue": r.State, "stateReason": r.Reason}})
	for _, action := range actions(a, r.State) {
		if isPolicy(action) {
			continue // executed at every evaluation
		}
		m := messageOf(a, r, at)
		summary, data := "Successfully executed action "+action, map[string]any{"actionState": "Succeeded",
			"stateUpdateTimestamp": at.UnixMilli(), "notificationResource": action, "publishedMessage": m.Structure()}
		if err := s.Publish(action, m); err != nil {
			summary = fmt.Sprintf("Failed to execute action %s. Received error: %q", action, err)
			data["actionState"], data["publishedMessage"], data["error"] = "Failed", nil, err.Error()
		}
		s.remember(a, types.HistoryItemTypeAction, at, summary, data)
	}
	return nil
}

func (s *Alarms) remember(a types.MetricAlarm, kind types.HistoryItemType, at time.Time, summary string, data any) {
	text, _ := json.Marshal(data) // texts and numbers can be encoded
	s.history = append(s.history, types.AlarmHistoryItem{AlarmName: a.AlarmName, AlarmType: types.AlarmTypeMetricAlarm,
		HistoryItemType: kind, Timestamp: &at, HistorySummary: &summary, HistoryData: aws.String(string(text))})
}

// History implements DescribeAlarmHistory, newest first: "CloudWatch retains the history of an alarm even if you delete
// the alarm."
func (s *Alarms) History(in *cloudwatch.DescribeAlarmHistoryInput) (out []types.AlarmHistoryItem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, item := range slices.Backward(s.history) {
		if (in.AlarmName == nil || *in.AlarmName == *item.AlarmName) &&
			(in.HistoryItemType == "" || in.HistoryItemType == item.HistoryItemType) &&
			(in.MaxRecords == nil || len(out) < int(*in.MaxRecords)) {
			out = append(out, item)
		}
	}
	return out
}
