package cloudwatch

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/encoding/cbor"
)

// Handler returns a handler of CloudWatch's protocols: Smithy's RPC v2 with CBOR, and JSON. It serves the calls about
// states. All others pass to store, which has the alarms of API.
func (s *Alarms) Handler(store http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client went away
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		switch c := requestOf(r, body); c.operation {
		case "SetAlarmState":
			c.write(w, cbor.Map{}, s.SetState(r.Context(), input[cloudwatch.SetAlarmStateInput](c)))
		case "DescribeAlarmHistory":
			items := cbor.List{}
			for _, item := range s.History(input[cloudwatch.DescribeAlarmHistoryInput](c)) {
				items = append(items, cbor.Map{"AlarmName": cbor.String(*item.AlarmName),
					"AlarmType": cbor.String(item.AlarmType), "HistoryItemType": cbor.String(item.HistoryItemType),
					"Timestamp":      stamp(*item.Timestamp),
					"HistorySummary": cbor.String(*item.HistorySummary), "HistoryData": cbor.String(*item.HistoryData)})
			}
			c.write(w, cbor.Map{"AlarmHistoryItems": items}, nil)
		case "PutMetricAlarm":
			answer, in := httptest.NewRecorder(), input[cloudwatch.PutMetricAlarmInput](c)
			if err := s.Put(r.Context(), aws.ToString(in.AlarmName), func() { store.ServeHTTP(answer, r) }); err != nil {
				c.write(w, nil, err)
				return
			}
			maps.Copy(w.Header(), answer.Header())
			w.WriteHeader(answer.Code)
			_, _ = w.Write(answer.Body.Bytes()) // fails only if the client went away
		default:
			store.ServeHTTP(w, r)
		}
	})
}

// Target is the name of the service in the header X-Amz-Target of the JSON protocol, with a dot after it.
const Target = "GraniteServiceVersion20100801."

// request is a call of the API.
type request struct {
	operation string
	isJSON    bool
	json      []byte // its parameters, also of a call in CBOR
}

func requestOf(r *http.Request, body []byte) request {
	operation, isJSON := strings.CutPrefix(r.Header.Get("X-Amz-Target"), Target)
	if !isJSON {
		_, operation, _ = strings.Cut(r.URL.Path, "/operation/")
		v, _ := cbor.Decode(body)
		body, _ = json.Marshal(Plain(v))
	}
	return request{operation, isJSON, body}
}

// input returns the parameters of a call. The store answers to a body that cannot be read.
func input[I any](c request) *I {
	in := new(I)
	_ = json.Unmarshal(c.json, in)
	return in
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
		body, _ = json.Marshal(Plain(out)) // texts and numbers can be encoded
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // fails only if the client went away
}

// Plain returns a CBOR value as encoding/json would decode it; a number or a truth value keeps its type. A time is a
// number.
func Plain(v cbor.Value) any {
	switch v := v.(type) {
	case cbor.String:
		return string(v)
	case cbor.List:
		out := make([]any, len(v))
		for i := range v {
			out[i] = Plain(v[i])
		}
		return out
	case cbor.Map:
		out := map[string]any{}
		for k, member := range v {
			out[k] = Plain(member)
		}
		return out
	case *cbor.Tag:
		return v.Value
	}
	return v
}
