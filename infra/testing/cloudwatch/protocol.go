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

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/smithy-go"
)

// Target is the name of the service in the header X-Amz-Target of the JSON protocol, with a dot after it.
const Target = "GraniteServiceVersion20100801."

// Handler returns a handler of CloudWatch's JSON protocol. It serves the calls about states. All others pass to store,
// which has the alarms of API.
func (s *Alarms) Handler(store http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client went away
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		switch strings.TrimPrefix(r.Header.Get("X-Amz-Target"), Target) {
		case "SetAlarmState":
			write(w, struct{}{}, s.SetState(r.Context(), input[cloudwatch.SetAlarmStateInput](body)))
		case "DescribeAlarmHistory":
			items := []any{}
			for _, item := range s.History(input[cloudwatch.DescribeAlarmHistoryInput](body)) {
				items = append(items, map[string]any{"AlarmName": item.AlarmName, "AlarmType": item.AlarmType,
					"HistoryItemType": item.HistoryItemType, "Timestamp": float64(item.Timestamp.UnixMilli()) / 1000,
					"HistorySummary": item.HistorySummary, "HistoryData": item.HistoryData})
			}
			write(w, map[string]any{"AlarmHistoryItems": items}, nil)
		case "PutMetricAlarm":
			answer, in := httptest.NewRecorder(), input[cloudwatch.PutMetricAlarmInput](body)
			if err := s.Put(r.Context(), aws.ToString(in.AlarmName), func() { store.ServeHTTP(answer, r) }); err != nil {
				write(w, nil, err)
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

// input returns the parameters of a call, without those that cannot be read.
func input[I any](body []byte) *I {
	in := new(I)
	_ = json.Unmarshal(body, in)
	return in
}

func write(w http.ResponseWriter, out any, err error) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	if err != nil {
		api := smithy.APIError(&smithy.GenericAPIError{Code: "InternalServiceFault", Message: err.Error()})
		errors.As(err, &api)
		w.WriteHeader(http.StatusBadRequest)
		out = map[string]string{"__type": api.ErrorCode(), "message": api.ErrorMessage()}
	}
	_ = json.NewEncoder(w).Encode(out) // fails only if the client went away
}
