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

// Drill rings alarms, sees in their history whether what they tell was told, and puts them back.
type Drill struct {
	Clients
	Wait time.Duration      // for the history to tell of an action; it does within seconds
	Look time.Duration      // between two looks at the histories
	Say  func(string)       // hears what is going on
	Text func(error) string // words of an error
}

// What became of an action.
const (
	Succeeded = "succeeded"
	Failed    = "failed"
	Unseen    = "not seen" // the history told nothing in time
)

// Delivery is one action of an alarm in a drill.
type Delivery struct {
	Action string `json:"action"` // ARN
	On     string `json:"on"`     // the state that it tells: ALARM or OK
	State  string `json:"state"`  // succeeded, failed or not seen
	Error  string `json:"error,omitempty"`
}

// Rung is what a drill did with one alarm.
type Rung struct {
	Name       string     `json:"name"`
	OnAWS      string     `json:"onAws"`
	Before     string     `json:"before"` // its state
	Deliveries []Delivery `json:"deliveries"`
	Skipped    string     `json:"skipped,omitempty"` // why it was left alone
	Back       bool       `json:"back"`              // it was put back to OK, or never left it
	Error      string     `json:"error,omitempty"`

	alarm Alarm
	set   bool // its state may have been changed
	seen  []types.AlarmHistoryItem
}

// OK reports whether everything that the alarm tells was told, and the alarm was put back.
func (r *Rung) OK() bool {
	return r.Error == "" && r.Skipped == "" && r.Back &&
		!slices.ContainsFunc(r.Deliveries, func(d Delivery) bool { return d.State != Succeeded })
}

// backBound is how long putting back may take after an interruption.
const backBound = 30 * time.Second

// Reason stands in the state of an alarm, and in the message that people get.
const Reason = "Drill by `imagery alarms test`: nothing is wrong."

// Run rings them all, and returns when all are put back, also when ctx ends before. CloudWatch looks at its metrics
// again by itself within a period, so that an alarm that should ring does so again.
func (d Drill) Run(ctx context.Context, list []Alarm) []*Rung {
	rungs := []*Rung{}
	for _, a := range list {
		r := &Rung{Name: a.Name, OnAWS: a.OnAWS, Before: a.State, Deliveries: []Delivery{}, Back: true, alarm: a}
		if a.State == Ringing {
			// There is no transition to see, and putting it back would hide the real one.
			r.Skipped = "it rings already, since " + a.Since.Format(time.RFC3339)
		}
		rungs = append(rungs, r)
	}
	for _, r := range rungs {
		if r.Skipped == "" && ctx.Err() == nil {
			d.ring(ctx, r)
		}
	}
	d.await(ctx, rungs, Ringing)
	d.back(ctx, rungs)
	d.await(ctx, rungs, Quiet)
	return rungs
}

// ring turns one alarm red. What its history held before is remembered: clocks of here and there may differ.
func (d Drill) ring(ctx context.Context, r *Rung) {
	var err error
	if r.seen, err = d.actions(ctx, r.OnAWS); err != nil {
		r.Error = d.Text(err) // an alarm of which nothing will be known is not rung
		return
	}
	d.Say("ringing " + r.Name)
	r.set, r.Back = true, false // also when the answer is lost
	if err := d.change(ctx, r, types.StateValueAlarm); err != nil {
		r.Error = d.Text(err)
	}
}

func (d Drill) change(ctx context.Context, r *Rung, to types.StateValue) error {
	if _, err := d.CloudWatch.SetAlarmState(ctx, &cloudwatch.SetAlarmStateInput{AlarmName: &r.OnAWS, StateValue: to, StateReason: aws.String(Reason)}); err != nil {
		return fmt.Errorf("set %s to %s: %w", r.OnAWS, to, err)
	}
	return nil
}

// back ends what ring began. It does not end with ctx, for that is when it matters most.
func (d Drill) back(ctx context.Context, rungs []*Rung) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), backBound)
	defer cancel()
	for _, r := range rungs {
		if !r.set {
			continue
		}
		d.Say("putting back " + r.Name)
		if err := d.change(ctx, r, types.StateValueOk); err != nil {
			r.Error = strings.TrimPrefix(r.Error+"; "+d.Text(err), "; ")
			continue
		}
		r.Back = true
	}
}

// await looks at the histories until they tell of every action on the state, or the wait is over.
func (d Drill) await(ctx context.Context, rungs []*Rung, on string) {
	var waiting []*Rung
	for _, r := range rungs {
		if r.set && r.Error == "" {
			for _, arn := range r.tells(on) {
				r.Deliveries = append(r.Deliveries, Delivery{Action: arn, On: on, State: Unseen})
			}
			waiting = append(waiting, r)
		}
	}
	tick := time.NewTicker(d.Look)
	defer tick.Stop()
	for end := time.Now().Add(d.Wait); ; {
		waiting = slices.DeleteFunc(waiting, func(r *Rung) bool { return r.told(on) || !d.look(ctx, r, on) || r.told(on) })
		if len(waiting) == 0 || time.Now().After(end) {
			return
		}
		d.Say(fmt.Sprintf("waiting for the history of %d alarms to tell of %s", len(waiting), on))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// tells is what the alarm tells when it comes to a state; nothing when its actions are switched off.
func (r *Rung) tells(on string) []string {
	switch {
	case r.alarm.Muted:
		return nil
	case on == Ringing:
		return r.alarm.Actions
	}
	return r.alarm.Over
}

// told reports whether nothing is left to wait for.
func (r *Rung) told(on string) bool {
	return !slices.ContainsFunc(r.Deliveries, func(d Delivery) bool { return d.On == on && d.State == Unseen })
}

// look reads the history once; false if there is no sense in another look.
func (d Drill) look(ctx context.Context, r *Rung, on string) bool {
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

// actions are the newest actions in the history of an alarm; a drill makes two for each thing that it tells.
func (d Drill) actions(ctx context.Context, onAWS string) ([]types.AlarmHistoryItem, error) {
	out, err := d.CloudWatch.DescribeAlarmHistory(ctx, &cloudwatch.DescribeAlarmHistoryInput{AlarmName: &onAWS,
		HistoryItemType: types.HistoryItemTypeAction, ScanBy: types.ScanByTimestampDescending, MaxRecords: aws.Int32(50)})
	if err != nil {
		return nil, fmt.Errorf("read the history of %s: %w", onAWS, err)
	}
	return out.AlarmHistoryItems, nil
}

func same(a, b types.AlarmHistoryItem) bool {
	return aws.ToTime(a.Timestamp).Equal(aws.ToTime(b.Timestamp)) && aws.ToString(a.HistorySummary) == aws.ToString(b.HistorySummary) &&
		aws.ToString(a.HistoryData) == aws.ToString(b.HistoryData)
}

// outcome reads an item of the history: whether it is about that action on that state, and how the action ended. The
// message that was published says which state it told; where there is none, as after a failure, any state may be
// meant.
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
	if data.ActionState != "" && data.ActionState != "Failed" || data.ActionState == "" && !strings.HasPrefix(summary, "Failed") {
		return "", "", false // it has not ended
	}
	if reason = data.Error; reason == "" {
		_, reason, _ = strings.Cut(summary, "Received error: ")
	}
	if reason = strings.Trim(reason, `" `); reason == "" {
		reason = summary
	}
	return Failed, reason, true
}

// published reports whether a message tells of that state. It is JSON in a string in JSON.
func published(message, state string) bool {
	return strings.Contains(strings.ReplaceAll(message, `\`, ""), `"NewStateValue":"`+state+`"`)
}
