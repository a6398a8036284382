package nspawn

import (
	"fmt"
	"math"
	"testing"
	"time"

	"imagery/app/deploy/settings"
)

// The sums of CloudWatch that the stack's alarms use.
func TestCalculate(t *testing.T) {
	ratio := Alarm{Role: "server", Expression: "IF(requests > 50, 100 * (FILL(errors, 0) + FILL(lost, 0)) / requests, 0)",
		Metrics: map[string]Metric{"requests": {"requests", "Sum"}, "errors": {"errors", "Sum"}, "lost": {"lost", "Sum"}}}
	at := time.Unix(1_000_000, 0)
	for name, c := range map[string]struct {
		requests, errors int
		want             float64
	}{
		"a crowd":           {100, 3, 3},
		"no failures":       {100, 0, 0},
		"too few":           {50, 50, 0},
		"no data is silent": {0, 0, math.NaN()},
	} {
		b := &metricLog{}
		for n := range c.requests {
			b.entries = append(b.entries, entry{at, "server", "requests", 1}, entry{at, "worker", "requests", 1},
				entry{at.Add(time.Minute), "server", "requests", 1})
			if n < c.errors {
				b.entries = append(b.entries, entry{at, "server", "errors", 1})
			}
		}
		if got := ratio.value(b, at, at.Add(time.Minute)); got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestPercentile(t *testing.T) {
	slow := Alarm{Role: "server", Metrics: map[string]Metric{"m": {"ms", "p95"}}, Threshold: 500, Datapoints: 2, Of: 3}
	for _, c := range []struct {
		values, slow int
		want         float64
	}{{400, 0, 10}, {400, 20, 10}, {400, 21, 900}, {199, 199, math.NaN()}} {
		b := &metricLog{}
		for n := range c.values {
			v := 10.0
			if n < c.slow {
				v = 900
			}
			b.entries = append(b.entries, entry{time.Unix(0, 0), "server", "ms", v})
		}
		if got := slow.value(b, time.Unix(0, 0), time.Unix(1, 0)); got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%d slow of %d: %v, want %v", c.slow, c.values, got, c.want)
		}
	}
	if slow.inAlarm([]float64{900, 10, math.NaN()}) || !slow.inAlarm([]float64{900, 10, 900}) {
		t.Error("not in ALARM after two bad periods of three")
	}
}

// The metric log holds the numbers that the line declares as metrics, and no others.
func TestMetricLog(t *testing.T) {
	b := &metricLog{}
	line := func(namespace string) []byte {
		return fmt.Appendf(nil, `{"msg":"request","%s":"server","ms":12.5,"requests":1,"status":200,`+
			`"_aws":{"Timestamp":1700000000000,"CloudWatchMetrics":[`+
			`{"Namespace":"%s","Dimensions":[["stack","role"]],"Metrics":[`+
			`{"Name":"ms","Unit":"Milliseconds"},{"Name":"requests","Unit":"Count"}]}]}}`+"\n",
			settings.DimensionRole, namespace)
	}
	b.note(line(settings.MetricNamespace))
	b.note(line("Other"))
	b.note([]byte("panic: no JSON\n"))
	b.note([]byte(`{"msg":"started","requests":1}` + "\n"))
	at := time.UnixMilli(1700000000000)
	if got := b.values("server", "ms", at, at.Add(time.Second)); len(b.entries) != 2 || len(got) != 1 || got[0] != 12.5 {
		t.Errorf("%+v", b.entries)
	}
	if b.forget(at.Add(time.Second)); len(b.entries) != 0 {
		t.Errorf("kept %+v", b.entries)
	}
}
