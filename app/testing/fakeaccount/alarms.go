package fakeaccount

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"
)

// Alarm is a CloudWatch alarm.
type Alarm struct {
	Name     string
	State    string
	Since    time.Time
	Enabled  bool
	Actions  []string
	Over     []string // OK actions
	Delivers bool     // its actions succeed
	Why      string   // the error of an action that does not
	Silent   bool     // its history has no action

	history []cbor.Map // newest first
}

// Subscription is a subscription of the topic.
type Subscription struct {
	Protocol, Endpoint string
	Confirmed          bool
}

// Alarm returns an alarm by its name in the stack. A test must not change it while requests are served.
func (a *Account) Alarm(name string) *Alarm {
	a.mu.Lock()
	defer a.mu.Unlock()
	if al := a.find("imagery-test-" + name + "-1a2b3c4"); al != nil {
		return al
	}
	panic("fakeaccount: no alarm " + name)
}

// find returns an alarm by its full name, or nil. The lock is held.
func (a *Account) find(name string) *Alarm {
	i := slices.IndexFunc(a.alarms, func(al *Alarm) bool { return al.Name == name })
	if i < 0 {
		return nil
	}
	return a.alarms[i]
}

// Add adds an alarm.
func (a *Account) Add(al Alarm) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.alarms = append(a.alarms, &al)
}

// Remove deletes an alarm by its name in the stack.
func (a *Account) Remove(name string) {
	al := a.Alarm(name)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.alarms = slices.DeleteFunc(a.alarms, func(other *Alarm) bool { return other == al })
}

// Subscribe replaces the subscriptions of the topic.
func (a *Account) Subscribe(subs ...Subscription) {
	var b strings.Builder
	for i, s := range subs {
		arn := "PendingConfirmation"
		if s.Confirmed {
			arn = fmt.Sprintf("%s:%d", a.Topic, i)
		}
		fmt.Fprintf(&b, "<member><TopicArn>%s</TopicArn><Protocol>%s</Protocol><SubscriptionArn>%s</SubscriptionArn>"+
			"<Owner>%s</Owner><Endpoint>%s</Endpoint></member>", a.Topic, s.Protocol, arn, ID, s.Endpoint)
	}
	a.Answers("sns:ListSubscriptionsByTopic", 200,
		result("ListSubscriptionsByTopic", "<Subscriptions>"+b.String()+"</Subscriptions>"))
}

// cloudWatch implements Smithy's RPC v2 over CBOR, which current SDKs use.
func (a *Account) cloudWatch(w http.ResponseWriter, operation string, body []byte) {
	in := cbor.Map{}
	if v, err := cbor.Decode(body); err == nil {
		in, _ = v.(cbor.Map)
	}
	a.mu.Lock()
	out, status := a.alarmCall(operation, in)
	a.mu.Unlock()
	w.Header().Set("Content-Type", "application/cbor")
	w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
	w.WriteHeader(status)
	_, _ = w.Write(cbor.Encode(out))
}

func (a *Account) alarmCall(operation string, in cbor.Map) (cbor.Map, int) {
	text := func(k string) string { s, _ := in[k].(cbor.String); return string(s) }
	list := cbor.List{}
	if operation == "DescribeAlarms" {
		for _, al := range a.alarms {
			if strings.HasPrefix(al.Name, text("AlarmNamePrefix")) {
				list = append(list, al.describe())
			}
		}
		return cbor.Map{"MetricAlarms": list}, 200
	}
	al := a.find(text("AlarmName"))
	switch {
	case al == nil:
		return cbor.Map{"__type": cbor.String("com.amazonaws.cloudwatch#ResourceNotFound"),
			"message": cbor.String("no such alarm")}, 404
	case operation == "DescribeAlarmHistory":
		for _, h := range al.history {
			if t := text("HistoryItemType"); t == "" || h["HistoryItemType"] == cbor.String(t) {
				list = append(list, h)
			}
		}
		return cbor.Map{"AlarmHistoryItems": list}, 200
	}
	a.calls = append(a.calls, al.Name+" "+text("StateValue"))
	al.set(text("StateValue"), text("StateReason"))
	return cbor.Map{}, 200
}

// set changes the state of an alarm. Only a transition runs its actions.
func (al *Alarm) set(state, reason string) {
	if al.State == state {
		return
	}
	old := al.State
	al.State, al.Since = state, time.Now()
	al.remember("StateUpdate", "Alarm updated from "+old+" to "+state, map[string]any{"version": "1.0"})
	actions := map[string][]string{"ALARM": al.Actions, "OK": al.Over}[state]
	if !al.Enabled || al.Silent {
		return
	}
	for _, arn := range actions {
		data := map[string]any{"actionState": "Succeeded", "stateUpdateTimestamp": al.Since.UnixMilli(),
			"notificationResource": arn}
		summary := "Successfully executed action " + arn
		if al.Delivers {
			message, _ := json.Marshal(map[string]string{"AlarmName": al.Name, "NewStateValue": state, "NewStateReason": reason,
				"OldStateValue": old})
			wrapped, _ := json.Marshal(map[string]string{"default": string(message)})
			data["publishedMessage"] = string(wrapped)
		} else {
			data["actionState"], data["publishedMessage"], data["error"] = "Failed", nil, al.Why
			summary = `Failed to execute action ` + arn + `. Received error: "` + al.Why + `"`
		}
		al.remember("Action", summary, data)
	}
}

func (al *Alarm) remember(kind, summary string, data map[string]any) {
	text, _ := json.Marshal(data)
	al.history = slices.Insert(al.history, 0,
		cbor.Map{"AlarmName": cbor.String(al.Name), "AlarmType": cbor.String("MetricAlarm"), "Timestamp": stamp(time.Now()),
			"HistoryItemType": cbor.String(kind), "HistorySummary": cbor.String(summary), "HistoryData": cbor.String(text)})
}

func (al *Alarm) describe() cbor.Map {
	texts := func(list []string) (out cbor.List) {
		for _, s := range list {
			out = append(out, cbor.String(s))
		}
		return out
	}
	return cbor.Map{"AlarmName": cbor.String(al.Name), "StateValue": cbor.String(al.State),
		"StateReason":                cbor.String("as it is"),
		"StateTransitionedTimestamp": stamp(al.Since), "ActionsEnabled": cbor.Bool(al.Enabled),
		"AlarmActions": texts(al.Actions), "OKActions": texts(al.Over)}
}

// stamp encodes a time in CBOR.
func stamp(t time.Time) cbor.Value {
	return &cbor.Tag{ID: 1, Value: cbor.Float64(float64(t.UnixMilli()) / 1000)}
}
