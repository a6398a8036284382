package asgsim

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	cw "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go/encoding/cbor"
)

// Alarm is a metric alarm of CloudWatch.
type Alarm struct {
	Name    string
	State   cw.StateValue
	Reason  string
	Updated time.Time
}

// SetAlarm sets the state of an alarm, which need not exist: "Temporarily sets the state of an alarm for testing
// purposes." Here the state is permanent.
func (s *Simulator) SetAlarm(name string, state cw.StateValue, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.alarms[name]; a == nil || a.State != state {
		s.Log("alarm %s: %s %s", name, state, reason)
	}
	s.alarms[name] = &Alarm{name, state, reason, time.Now()}
}

// Red sets alarms to ALARM.
func (s *Simulator) Red(names ...string) {
	for _, n := range names {
		s.SetAlarm(n, cw.StateValueAlarm, "Threshold Crossed")
	}
}

// Green sets alarms to OK.
func (s *Simulator) Green(names ...string) {
	for _, n := range names {
		s.SetAlarm(n, cw.StateValueOk, "Threshold not crossed")
	}
}

// cloudWatchPath is the prefix of the paths of CloudWatch, whose protocol is Smithy's RPC v2 with CBOR.
const cloudWatchPath = "/service/GraniteServiceVersion20100801/operation/"

func (s *Simulator) serveCloudWatch(w http.ResponseWriter, r *http.Request) {
	in := cbor.Map{}
	body, err := io.ReadAll(r.Body)
	if err == nil && len(body) > 0 {
		var v cbor.Value
		if v, err = cbor.Decode(body); err == nil {
			in, _ = v.(cbor.Map) // any other type has no parameters
		}
	}
	var out cbor.Map
	if err == nil {
		switch name := strings.TrimPrefix(r.URL.Path, cloudWatchPath); name {
		case "DescribeAlarms":
			out, err = s.describeAlarms(in)
		case "SetAlarmState":
			out, err = s.setAlarmState(in)
		default:
			err = fmt.Errorf("the simulator does not implement %s", name)
		}
	}
	status := http.StatusOK
	if err != nil {
		status = http.StatusBadRequest
		kind := "com.amazonaws.cloudwatch#ValidationError"
		if strings.Contains(err.Error(), "does not exist") {
			kind = "com.amazonaws.cloudwatch#ResourceNotFound"
		}
		out = cbor.Map{"__type": cbor.String(kind), "message": cbor.String(err.Error())}
	}
	w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
	w.Header().Set("Content-Type", "application/cbor")
	w.WriteHeader(status)
	_, _ = w.Write(cbor.Encode(out)) // fails only if the client closed the connection
}

// describeAlarms implements DescribeAlarms with the filters AlarmNames, AlarmNamePrefix and StateValue.
func (s *Simulator) describeAlarms(in cbor.Map) (cbor.Map, error) {
	str := func(name string) string { v, _ := in[name].(cbor.String); return string(v) }
	var names []string
	list, _ := in["AlarmNames"].(cbor.List)
	for _, v := range list {
		n, _ := v.(cbor.String)
		names = append(names, string(n))
	}
	// "If this parameter is specified, you cannot specify AlarmNames."
	if names != nil && str("AlarmNamePrefix") != "" {
		return nil, fmt.Errorf("AlarmNames and AlarmNamePrefix cannot be used together")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := cbor.List{}
	for _, name := range slices.Sorted(maps.Keys(s.alarms)) {
		a := s.alarms[name]
		if names != nil && !slices.Contains(names, name) || !strings.HasPrefix(name, str("AlarmNamePrefix")) ||
			str("StateValue") != "" && str("StateValue") != string(a.State) {
			continue
		}
		out = append(out, cbor.Map{
			"AlarmName": cbor.String(name), "StateValue": cbor.String(a.State), "StateReason": cbor.String(a.Reason),
			"StateUpdatedTimestamp": &cbor.Tag{ID: 1, Value: cbor.Float64(float64(a.Updated.UnixMilli()) / 1000)},
			"AlarmArn":              cbor.String("arn:aws:cloudwatch:eu-central-1:111122223333:alarm:" + name),
		})
	}
	return cbor.Map{"MetricAlarms": out}, nil
}

func (s *Simulator) setAlarmState(in cbor.Map) (cbor.Map, error) {
	name, _ := in["AlarmName"].(cbor.String)
	state, _ := in["StateValue"].(cbor.String)
	reason, _ := in["StateReason"].(cbor.String)
	s.mu.Lock()
	known := s.alarms[string(name)] != nil
	s.mu.Unlock()
	if !known {
		return nil, fmt.Errorf("alarm %s does not exist", name)
	}
	if !slices.Contains(cw.StateValue("").Values(), cw.StateValue(state)) {
		return nil, fmt.Errorf("%s is not an alarm state", state)
	}
	s.SetAlarm(string(name), cw.StateValue(state), string(reason))
	return cbor.Map{}, nil
}
