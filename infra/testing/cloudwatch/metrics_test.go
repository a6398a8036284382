package cloudwatch

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

// TestEmbedded: a line is a metric with exactly the namespace, the dimensions and the names that it declares.
func TestEmbedded(t *testing.T) {
	at := time.UnixMilli(1700000000000)
	line := `{"msg":"request","stack":"s","role":"server","ms":[12.5,3],"requests":1,"status":200,"zone":7,` +
		`"_aws":{"Timestamp":1700000000000,"CloudWatchMetrics":[{"Namespace":"Imagery","Dimensions":%s,` +
		`"Metrics":[{"Name":"ms","Unit":"Milliseconds"},{"Name":"requests"},{"Name":"msg"},{"Name":"absent"}]}]}}`
	of := func(m Metric, dimensions ...string) (out []float64) {
		s, m := Store{}, Metric{m.Namespace, m.Name, map[string]string{}}
		for n := 0; n < len(dimensions); n += 2 {
			m.Dimensions[dimensions[n]] = dimensions[n+1]
		}
		s.Put(Embedded(fmt.Appendf(nil, line, `[["stack","role"],[],["zone"]]`))...)
		return s.values(m, at, at.Add(time.Second))
	}
	requests, ms := Metric{Namespace: "Imagery", Name: "requests"}, Metric{Namespace: "Imagery", Name: "ms"}
	for name, c := range map[string]struct {
		got, want []float64
	}{
		"a list":               {of(ms, "stack", "s", "role", "server"), []float64{12.5, 3}},
		"a number":             {of(requests, "role", "server", "stack", "s"), []float64{1}},
		"no dimensions":        {of(requests), []float64{1}},
		"fewer dimensions":     {of(requests, "stack", "s"), nil},
		"another value":        {of(requests, "stack", "s", "role", "worker"), nil},
		"another name":         {of(Metric{Namespace: "Imagery", Name: "request"}, "stack", "s", "role", "server"), nil},
		"another namespace":    {of(Metric{Namespace: "imagery", Name: "requests"}, "stack", "s", "role", "server"), nil},
		"not declared":         {of(Metric{Namespace: "Imagery", Name: "status"}, "stack", "s", "role", "server"), nil},
		"a text":               {of(Metric{Namespace: "Imagery", Name: "msg"}, "stack", "s", "role", "server"), nil},
		"no text as dimension": {of(requests, "zone", ""), nil},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	for _, other := range []string{"panic: no JSON", `{"msg":"started","requests":1}`} {
		if got := Embedded([]byte(other)); got != nil {
			t.Errorf("%s: %v", other, got)
		}
	}
}

func TestForget(t *testing.T) {
	s, m, at := Store{}, Metric{Name: "m"}, time.Unix(100, 0)
	s.Put(Datum{m, at, 1}, Datum{m, at.Add(time.Second), 2}, Datum{Metric{Name: "other"}, at, 3})
	s.Forget(at.Add(time.Second))
	if got := s.values(m, time.Unix(0, 0), at.Add(time.Hour)); !slices.Equal(got, []float64{2}) || len(s.data) != 1 {
		t.Errorf("%v are left, %d metrics", got, len(s.data))
	}
}

// The sums of CloudWatch that the stack's alarms use.
func TestCalculate(t *testing.T) {
	const ratio = "IF(requests > 50, 100 * (FILL(errors, 0) + FILL(lost, 0)) / requests, 0)"
	for name, c := range map[string]struct {
		expression       string
		requests, errors float64
		want             float64
	}{
		"many":               {ratio, 100, 3, 3},
		"no failures":        {ratio, 100, math.NaN(), 0},
		"too few":            {ratio, 50, 50, 0},
		"no data is silent":  {ratio, math.NaN(), math.NaN(), math.NaN()},
		"less":               {"IF(FILL(requests, -1) < 0, 901, requests)", math.NaN(), 0, 901},
		"missing stays so":   {"requests - errors", 1, math.NaN(), math.NaN()},
		"minus and brackets": {"-(requests - errors) * 2", 1, 3, 4},
	} {
		got, err := Calculate(c.expression,
			map[string]float64{"requests": c.requests, "errors": c.errors, "lost": math.NaN()})
		if err != nil || got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%s: %v, want %v, %v", name, got, c.want, err)
		}
	}
	for _, bad := range []string{"typo + 1", "SUM(requests)", "FILL(requests)", "requests % 2", "requests +",
		"!requests"} {
		if got, err := Calculate(bad, map[string]float64{"requests": 1}); err == nil {
			t.Errorf("%s is %v", bad, got)
		}
	}
}

func TestStatistic(t *testing.T) {
	for name, want := range map[string]float64{"Sum": 12, "Average": 3, "Minimum": 1, "Maximum": 5, "SampleCount": 4,
		"p50": 2, "p75": 4, "p99.9": 5} {
		if got, err := Statistic(name, []float64{5, 1, 4, 2}); err != nil || got != want {
			t.Errorf("%s is %v, want %v, %v", name, got, want, err)
		}
		if got, err := Statistic(name, nil); err != nil || !math.IsNaN(got) {
			t.Errorf("%s of nothing is %v, %v", name, got, err)
		}
	}
	if got, err := Statistic("tm90", []float64{1}); err == nil {
		t.Errorf("tm90 is %v", got)
	}
}
