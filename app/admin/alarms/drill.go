package alarms

import (
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
	Wait time.Duration      // how long to wait for an action in the history; usually it appears within seconds
	Look time.Duration      // interval of reading the histories
	Say  func(string)       // is called with each step of the progress
	Text func(error) string // formats an error
}

// Results of an action.
const (
	Succeeded = "succeeded"
	Failed    = "failed"
	Unseen    = "not seen" // not in the history in time
)

// Delivery is one action of an alarm in a drill.
type Delivery struct {
	Action string `json:"action"` // ARN
	On     string `json:"on"`     // the state that triggers it: ALARM or OK
	State  string `json:"state"`  // succeeded, failed or not seen
	Error  string `json:"error,omitempty"`
}

// Rung is the result of a drill for one alarm.
type Rung struct {
	Name       string     `json:"name"`
	OnAWS      string     `json:"onAws"`
	Before     string     `json:"before"` // state before the drill
	Deliveries []Delivery `json:"deliveries"`
	Skipped    string     `json:"skipped,omitempty"` // the reason, if the alarm was skipped
	Back       bool       `json:"back"`              // it was set back to OK, or not changed
	Error      string     `json:"error,omitempty"`

	alarm Alarm
	set   bool                     // its state may have been changed
	seen  []types.AlarmHistoryItem // items of the history that are older, or that belong to a delivery
}

// OK reports whether all actions succeeded and the alarm was set back.
func (r *Rung) OK() bool {
	return r.Error == "" && r.Skipped == "" && r.Back &&
		!slices.ContainsFunc(r.Deliveries, func(d Delivery) bool { return d.State != Succeeded })
}

// resetTimeout limits setting alarms back, also after an interruption.
const resetTimeout = 30 * time.Second

// Reason is the reason of the state during a drill. It is in the messages to subscribers.
const Reason = "Drill by `imagery alarms test`: nothing is wrong."

// Run triggers all alarms, and returns when they are set back, also if ctx ends before that. CloudWatch evaluates the
// metrics again within a period, so an alarm with a real cause returns to ALARM.
func (d Drill) Run(ctx context.Context, list []Alarm) []*Rung {
	rungs := []*Rung{}
	for _, a := range list {
		r := &Rung{Name: a.Name, OnAWS: a.OnAWS, Before: a.State, Deliveries: []Delivery{}, Back: true, alarm: a}
		if a.State == Ringing {
			// No transition would follow, and setting it back would hide the real one.
			r.Skipped = "it rings already, since " + a.Since.Format(time.RFC3339)
		}
		rungs = append(rungs, r)
	}
	for _, r := range rungs {
		if r.Skipped == "" && ctx.Err() == nil {
			d.trigger(ctx, r)
		}
	}
	d.await(ctx, rungs, Ringing)
	d.reset(ctx, rungs)
	d.await(ctx, rungs, Quiet)
	return rungs
}

// trigger sets one alarm to ALARM. It remembers the items that are in the history before, since times of different
// clocks cannot be compared.
func (d Drill) trigger(ctx context.Context, r *Rung) {
	var err error
	if r.seen, err = d.actions(ctx, r.OnAWS); err != nil {
		r.Error = d.Text(err) // without its history the result would be unknown
		return
	}
	d.Say("setting " + r.Name + " to ALARM")
	r.set, r.Back = true, false // also if the response is lost
	if err := d.setState(ctx, r, types.StateValueAlarm); err != nil {
		r.Error = d.Text(err)
	}
}

func (d Drill) setState(ctx context.Context, r *Rung, to types.StateValue) error {
	in := &cloudwatch.SetAlarmStateInput{AlarmName: &r.OnAWS, StateValue: to, StateReason: aws.String(Reason)}
	if _, err := d.CloudWatch.SetAlarmState(ctx, in); err != nil {
		return fmt.Errorf("set %s to %s: %w", r.OnAWS, to, err)
	}
	return nil
}

// reset sets the triggered alarms back to OK, also after the end of ctx.
func (d Drill) reset(ctx context.Context, rungs []*Rung) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resetTimeout)
	defer cancel()
	for _, r := range rungs {
		if !r.set {
			continue
		}
		d.Say("setting " + r.Name + " back to OK")
		if err := d.setState(ctx, r, types.StateValueOk); err != nil {
			r.Error = strings.TrimPrefix(r.Error+"; "+d.Text(err), "; ")
			continue
		}
		r.Back = true
	}
}

// await reads the histories until they contain every action on the state, or Drill.Wait is over.
func (d Drill) await(ctx context.Context, rungs []*Rung, on string) {
	var waiting []*Rung
	for _, r := range rungs {
		if r.set && r.Error == "" {
			for _, arn := range r.actionsOn(on) {
				r.Deliveries = append(r.Deliveries, Delivery{Action: arn, On: on, State: Unseen})
			}
			waiting = append(waiting, r)
		}
	}
	tick := time.NewTicker(d.Look)
	defer tick.Stop()
	for end := time.Now().Add(d.Wait); ; {
		waiting = slices.DeleteFunc(waiting, func(r *Rung) bool {
			return r.complete(on) || !d.readHistory(ctx, r, on) || r.complete(on)
		})
		if len(waiting) == 0 || time.Now().After(end) {
			return
		}
		d.Say(fmt.Sprintf("waiting for the actions on %s in the history of %d alarms", on, len(waiting)))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// actionsOn returns the actions of the alarm on a state; none if they are disabled.
func (r *Rung) actionsOn(on string) []string {
	switch {
	case r.alarm.Muted:
		return nil
	case on == Ringing:
		return r.alarm.Actions
	}
	return r.alarm.Over
}

// complete reports whether all actions on the state were seen.
func (r *Rung) complete(on string) bool {
	return !slices.ContainsFunc(r.Deliveries, func(d Delivery) bool { return d.On == on && d.State == Unseen })
}

// readHistory reads the history once and updates the deliveries; it returns false if that failed.
func (d Drill) readHistory(ctx context.Context, r *Rung, on string) bool {
	items, err := d.actions(ctx, r.OnAWS)
	if err != nil {
		if ctx.Err() == nil {
			r.Error = d.Text(err)
		}
		return false
	}
	for _, item := range items {
		if slices.ContainsFunc(r.seen, func(old types.AlarmHistoryItem) bool { return same(old, item) }) {
			continue
		}
		for i, del := range r.Deliveries {
			if state, reason, ok := outcome(item, del.Action, del.On); ok && del.On == on && del.State == Unseen {
				r.Deliveries[i].State, r.Deliveries[i].Error = state, reason
				r.seen = append(r.seen, item)
				break
			}
		}
	}
	return true
}

// actions returns the newest actions in the history of an alarm. A drill causes at most two for each of its actions.
func (d Drill) actions(ctx context.Context, onAWS string) ([]types.AlarmHistoryItem, error) {
	out, err := d.CloudWatch.DescribeAlarmHistory(ctx, &cloudwatch.DescribeAlarmHistoryInput{AlarmName: &onAWS,
		HistoryItemType: types.HistoryItemTypeAction, ScanBy: types.ScanByTimestampDescending, MaxRecords: aws.Int32(50)})
	if err != nil {
		return nil, fmt.Errorf("read the history of %s: %w", onAWS, err)
	}
	return out.AlarmHistoryItems, nil
}

func same(a, b types.AlarmHistoryItem) bool {
	return aws.ToTime(a.Timestamp).Equal(aws.ToTime(b.Timestamp)) &&
		aws.ToString(a.HistorySummary) == aws.ToString(b.HistorySummary) &&
		aws.ToString(a.HistoryData) == aws.ToString(b.HistoryData)
}

// outcome parses an item of the history: ok is false if it is not the end of that action on that state. The state is in
// the published message; without one, as after a failure, the item matches any state.
func outcome(item types.AlarmHistoryItem, action, on string) (state, reason string, ok bool) {
	var data struct {
		ActionState          string `json:"actionState"`
		NotificationResource string `json:"notificationResource"`
		PublishedMessage     string `json:"publishedMessage"`
		Error                string `json:"error"`
	}
	summary := aws.ToString(item.HistorySummary)
	if json.Unmarshal([]byte(aws.ToString(item.HistoryData)), &data) != nil || data.NotificationResource == "" {
		if !strings.Contains(summary, action) {
			return "", "", false
		}
	} else if data.NotificationResource != action {
		return "", "", false
	}
	if m := data.PublishedMessage; m != "" && strings.Contains(m, "NewStateValue") && !published(m, on) {
		return "", "", false
	}
	if data.ActionState == "Succeeded" || data.ActionState == "" && strings.HasPrefix(summary, "Successfully") {
		return Succeeded, "", true
	}
	if data.ActionState != "" && data.ActionState != "Failed" ||
		data.ActionState == "" && !strings.HasPrefix(summary, "Failed") {
		return "", "", false // still in progress
	}
	if reason = data.Error; reason == "" {
		_, reason, _ = strings.Cut(summary, "Received error: ")
	}
	if reason = strings.Trim(reason, `" `); reason == "" {
		reason = summary
	}
	return Failed, reason, true
}

// published reports whether a message is about that state. The message is JSON, encoded as a string in JSON.
func published(message, state string) bool {
	return strings.Contains(strings.ReplaceAll(message, `\`, ""), `"NewStateValue":"`+state+`"`)
}
