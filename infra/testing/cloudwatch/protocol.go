package cloudwatch

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/encoding/cbor"
)

// Handler returns a handler of CloudWatch's protocols: Smithy's RPC v2 with CBOR, and JSON. It serves the calls that
// are about states, and lets store serve the others. store must be the API.
func (s *Alarms) Handler(store http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client went away
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		c := requestOf(r, body)
		in := c.in
		write := func(w http.ResponseWriter, out cbor.Map, err error) { c.write(w, out, err) }
		switch c.operation {
		case "SetAlarmState":
			err := s.SetState(r.Context(), &cloudwatch.SetAlarmStateInput{AlarmName: text(in, "AlarmName"),
				StateValue: types.StateValue(aws.ToString(text(in, "StateValue"))), StateReason: text(in, "StateReason"),
				StateReasonData: text(in, "StateReasonData")})
			write(w, cbor.Map{}, err)
		case "DescribeAlarmHistory":
			ask := &cloudwatch.DescribeAlarmHistoryInput{AlarmName: text(in, "AlarmName"),
				HistoryItemType: types.HistoryItemType(aws.ToString(text(in, "HistoryItemType")))}
			if n, is := in["MaxRecords"].(cbor.Uint); is {
				ask.MaxRecords = aws.Int32(int32(n))
			}
			items := cbor.List{}
			for _, item := range s.History(ask) {
				items = append(items, cbor.Map{"AlarmName": cbor.String(*item.AlarmName),
					"AlarmType": cbor.String(item.AlarmType), "HistoryItemType": cbor.String(item.HistoryItemType),
					"Timestamp":      stamp(*item.Timestamp),
					"HistorySummary": cbor.String(*item.HistorySummary), "HistoryData": cbor.String(*item.HistoryData)})
			}
			write(w, cbor.Map{"AlarmHistoryItems": items}, nil)
		case "PutMetricAlarm":
			answer := httptest.NewRecorder()
			err := s.Put(r.Context(), aws.ToString(text(in, "AlarmName")), func() { store.ServeHTTP(answer, r) })
			if err != nil {
				write(w, nil, err)
				return
			}
			for k, v := range answer.Header() {
				w.Header()[k] = v
			}
			w.WriteHeader(answer.Code)
			_, _ = w.Write(answer.Body.Bytes()) // fails only if the client went away
		default:
			store.ServeHTTP(w, r)
		}
	})
}

// Target is the name of the service in the header X-Amz-Target of the JSON protocol, with a dot after it.
const Target = "GraniteServiceVersion20100801."

// request is one call of the API.
type request struct {
	operation string
	isJSON    bool
	in        cbor.Map // of JSON only texts and whole numbers
}

func requestOf(r *http.Request, body []byte) request {
	c := request{in: cbor.Map{}}
	if c.operation, c.isJSON = strings.CutPrefix(r.Header.Get("X-Amz-Target"), Target); c.isJSON {
		members := map[string]any{}
		_ = json.Unmarshal(body, &members) // the store answers for what is no JSON
		for k, v := range members {
			switch v := v.(type) {
			case string:
				c.in[k] = cbor.String(v)
			case float64:
				c.in[k] = cbor.Uint(v)
			}
		}
		return c
	}
	_, c.operation, _ = strings.Cut(r.URL.Path, "/operation/")
	if v, err := cbor.Decode(body); err == nil {
		if in, is := v.(cbor.Map); is {
			c.in = in
		}
	}
	return c
}

// text returns a text of a map, or nil.
func text(in cbor.Map, name string) *string {
	if s, is := in[name].(cbor.String); is {
		return aws.String(string(s))
	}
	return nil
}

// stamp encodes a time.
func stamp(t time.Time) cbor.Value {
	return &cbor.Tag{ID: 1, Value: cbor.Float64(float64(t.UnixMilli()) / 1000)}
}

func (c request) write(w http.ResponseWriter, out cbor.Map, err error) {
	status := http.StatusOK
	if err != nil {
		api := smithy.APIError(&smithy.GenericAPIError{Code: "InternalServiceFault", Message: err.Error()})
		errors.As(err, &api)
		status = http.StatusBadRequest
		out = cbor.Map{"__type": cbor.String(api.ErrorCode()), "message": cbor.String(api.ErrorMessage())}
	}
	body := cbor.Encode(out)
	w.Header().Set("Content-Type", "application/cbor")
	w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
	if c.isJSON {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.Header().Del("Smithy-Protocol")
		body, _ = json.Marshal(plain(out)) // texts and numbers can be encoded
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // fails only if the client went away
}

// plain returns a value as JSON has it.
func plain(v cbor.Value) any {
	switch v := v.(type) {
	case cbor.Map:
		out := map[string]any{}
		for k, v := range v {
			out[k] = plain(v)
		}
		return out
	case cbor.List:
		out := []any{}
		for _, v := range v {
			out = append(out, plain(v))
		}
		return out
	case *cbor.Tag: // a time
		return v.Value
	}
	return v
}
