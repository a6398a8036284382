package alarms

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// Drill sets alarms to ALARM, checks in their history whether their actions succeeded, and sets them back to OK.
type Drill struct {
	Clients
	Wait     time.Duration      // how long to wait for an action in the history; usually it appears within seconds
	Interval time.Duration      // of reading the histories
	Log      func(string)       // is called with each step of the progress
	Text     func(error) string // formats an error
}

// Results of an action.
const (
	Succeeded = "succeeded"
	Failed    = "failed"
	Unseen    = "not seen" // not in the history in time
)

// Delivery is one action of an alarm in a drill.
type Delivery struct {
	Action string           `json:"action"` // ARN
	On     types.StateValue `json:"on"`     // the state that triggers it: ALARM or OK
	State  string           `json:"state"`  // succeeded, failed or not seen
	Error  string           `json:"error,omitempty"`
}

// DrillResult is the result of a drill for one alarm.
type DrillResult struct {
	Alarm      Alarm            `json:"-"`
	Name       string           `json:"name"`
	OnAWS      string           `json:"onAws"`
	Before     types.StateValue `json:"before"` // state before the drill
	Deliveries []Delivery       `json:"deliveries"`
	Skipped    string           `json:"skipped,omitempty"` // the reason, if the alarm was skipped
	Back       bool             `json:"back"`              // it was set back to OK, or not changed
	Error      string           `json:"error,omitempty"`

	set  bool            // its state may have been changed
	seen map[string]bool // items of the history that are older, or that belong to a delivery
}

// OK reports whether all actions succeeded and the alarm was set back.
func (r *DrillResult) OK() bool {
	return r.Error == "" && r.Skipped == "" && r.Back &&
		!slices.ContainsFunc(r.Deliveries, func(d Delivery) bool { return d.State != Succeeded })
}

// resetTimeout limits setting alarms back, also after an interruption.
const resetTimeout = 30 * time.Second

// stateReason is the reason of the state during a drill. It is in the messages to subscribers.
const stateReason = "Drill by `imagery alarms test`: nothing is wrong."

// Run triggers all alarms, and returns when they are set back, also if ctx ends before that. CloudWatch evaluates the
// metrics again within a period, so an alarm with a real cause returns to ALARM.
func (d Drill) Run(ctx context.Context, list []Alarm) []*DrillResult {
	results := []*DrillResult{}
	for _, a := range list {
		r := &DrillResult{Alarm: a, Name: a.Name, OnAWS: a.OnAWS, Before: a.State, Deliveries: []Delivery{}, Back: true,
			seen: map[string]bool{}}
		results = append(results, r)
		if a.State == types.StateValueAlarm {
			// No transition would follow, and setting it back would hide the real one.
			r.Skipped = "it rings already, since " + a.Since.Format(time.RFC3339)
		} else if ctx.Err() == nil {
			d.trigger(ctx, r)
		}
	}
	d.await(ctx, results, types.StateValueAlarm)
	d.reset(ctx, results)
	d.await(ctx, results, types.StateValueOk)
	return results
}

// trigger sets one alarm to ALARM. It remembers the items that are in the history before, since times of different
// clocks cannot be compared.
func (d Drill) trigger(ctx context.Context, r *DrillResult) {
	items, err := d.history(ctx, r.OnAWS)
	if err != nil {
		r.Error = d.Text(err) // without its history the result would be unknown
		return
	}
	for _, item := range items {
		r.seen[itemKey(item)] = true
	}
	r.set, r.Back = true, false // also if the response is lost
	if err := d.setState(ctx, r, types.StateValueAlarm); err != nil {
		r.Error = d.Text(err)
	}
}

func (d Drill) setState(ctx context.Context, r *DrillResult, to types.StateValue) error {
	d.Log(fmt.Sprintf("setting %s to %s", r.Name, to))
	in := &cloudwatch.SetAlarmStateInput{AlarmName: &r.OnAWS, StateValue: to, StateReason: aws.String(stateReason)}
	if _, err := d.CloudWatch.SetAlarmState(ctx, in); err != nil {
		return fmt.Errorf("set %s to %s: %w", r.OnAWS, to, err)
	}
	return nil
}

// reset sets the triggered alarms back to OK, also after the end of ctx.
func (d Drill) reset(ctx context.Context, results []*DrillResult) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resetTimeout)
	defer cancel()
	for _, r := range results {
		if !r.set {
			continue
		}
		if err := d.setState(ctx, r, types.StateValueOk); err != nil {
			r.Error = strings.TrimPrefix(r.Error+"; "+d.Text(err), "; ")
			continue
		}
		r.Back = true
	}
}

// await reads the histories until they contain every action on the state, or Drill.Wait is over.
func (d Drill) await(ctx context.Context, results []*DrillResult, on types.StateValue) {
	var waiting []*DrillResult
	for _, r := range results {
		actions := r.Alarm.Actions
		if on == types.StateValueOk {
			actions = r.Alarm.OKActions
		}
		if !r.set || r.Error != "" || r.Alarm.Disabled || len(actions) == 0 {
			continue
		}
		for _, arn := range actions {
			r.Deliveries = append(r.Deliveries, Delivery{Action: arn, On: on, State: Unseen})
		}
		waiting = append(waiting, r)
	}
	tick := time.NewTicker(d.Interval)
	defer tick.Stop()
	for end := time.Now().Add(d.Wait); ; {
		waiting = slices.DeleteFunc(waiting, func(r *DrillResult) bool { return d.complete(ctx, r, on) })
		if len(waiting) == 0 || time.Now().After(end) {
			return
		}
		d.Log(fmt.Sprintf("waiting for the actions on %s in the history of %d alarms", on, len(waiting)))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// complete reads the history once and updates the deliveries. It reports whether all actions on the state were seen, or
// reading failed.
func (d Drill) complete(ctx context.Context, r *DrillResult, on types.StateValue) bool {
	items, err := d.history(ctx, r.OnAWS)
	if err != nil {
		if ctx.Err() == nil {
			r.Error = d.Text(err)
		}
		return true
	}
	for _, item := range items {
		for i := range r.Deliveries {
			del := &r.Deliveries[i]
			if r.seen[itemKey(item)] || del.On != on || del.State != Unseen {
				continue
			}
			if state, reason, ok := outcome(item, del.Action, on); ok {
				del.State, del.Error = state, reason
				r.seen[itemKey(item)] = true
			}
		}
	}
	return !slices.ContainsFunc(r.Deliveries, func(d Delivery) bool { return d.On == on && d.State == Unseen })
}

// history returns the newest actions in the history of an alarm. A drill causes at most two for each of its actions.
func (d Drill) history(ctx context.Context, onAWS string) ([]types.AlarmHistoryItem, error) {
	out, err := d.CloudWatch.DescribeAlarmHistory(ctx, &cloudwatch.DescribeAlarmHistoryInput{AlarmName: &onAWS,
		HistoryItemType: types.HistoryItemTypeAction, ScanBy: types.ScanByTimestampDescending, MaxRecords: aws.Int32(50)})
	if err != nil {
		return nil, fmt.Errorf("read the history of %s: %w", onAWS, err)
	}
	return out.AlarmHistoryItems, nil
}

// itemKey identifies an item of the history, which has no id.
func itemKey(i types.AlarmHistoryItem) string {
	return fmt.Sprint(aws.ToTime(i.Timestamp), aws.ToString(i.HistorySummary), aws.ToString(i.HistoryData))
}

// outcome parses an item of the history: ok is false if it is not the end of that action on that state. The state is in
// the published message; without one, as after a failure, the item matches any state.
func outcome(item types.AlarmHistoryItem, action string, on types.StateValue) (state, reason string, ok bool) {
	var data struct{ ActionState, NotificationResource, PublishedMessage, Error string }
	summary := aws.ToString(item.HistorySummary)
	parsed := json.Unmarshal([]byte(aws.ToString(item.HistoryData)), &data) == nil && data.NotificationResource != ""
	if parsed && data.NotificationResource != action || !parsed && !strings.Contains(summary, action) {
		return "", "", false
	}
	// The message is JSON, encoded as a string in JSON.
	message := strings.ReplaceAll(data.PublishedMessage, `\`, "")
	if strings.Contains(message, "NewStateValue") && !strings.Contains(message, `"NewStateValue":"`+string(on)+`"`) {
		return "", "", false
	}
	// The state of the action is Succeeded or Failed at its end; a summary begins with Successfully or Failed.
	switch end := cmp.Or(data.ActionState, summary); {
	case strings.HasPrefix(end, "Succe"):
		return Succeeded, "", true
	case strings.HasPrefix(end, "Failed"):
		_, received, _ := strings.Cut(summary, "Received error: ")
		return Failed, cmp.Or(strings.Trim(cmp.Or(data.Error, received), `" `), summary), true
	}
	return "", "", false // still in progress
}
