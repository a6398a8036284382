package main

import (
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"imagery/infra/testing/cloudwatch"
	"imagery/infra/testing/pulumitest"
)

// missing is a period without a datapoint.
var missing = math.NaN()

// metricAlarm returns an alarm of the program as CloudWatch describes it.
func metricAlarm(of *pulumitest.Resource) types.MetricAlarm {
	dimensions := func(path string) (out []types.Dimension) {
		all, _ := of.Get(path).(map[string]any)
		for name, value := range all {
			out = append(out, types.Dimension{Name: &name, Value: aws.String(value.(string))})
		}
		return out
	}
	number := func(path string) *int32 { return aws.Int32(int32(of.Number(path))) }
	text := func(path string) *string { return aws.String(of.Text(path)) }
	a := types.MetricAlarm{AlarmName: &of.Name, Threshold: aws.Float64(of.Number("threshold")),
		ComparisonOperator: types.ComparisonOperator(of.Text("comparisonOperator")),
		EvaluationPeriods:  number("evaluationPeriods"), DatapointsToAlarm: number("datapointsToAlarm"),
		TreatMissingData: text("treatMissingData"), StateValue: types.StateValueOk, StateReason: aws.String("")}
	if of.Text("metricName") != "" {
		a.Namespace, a.MetricName, a.Dimensions = text("namespace"), text("metricName"), dimensions("dimensions")
		a.Statistic, a.ExtendedStatistic = types.Statistic(of.Text("statistic")), text("extendedStatistic")
		a.Period, a.EvaluateLowSampleCountPercentile = number("period"), text("evaluateLowSampleCountPercentiles")
	}
	queries, _ := of.Get("metricQueries").([]any)
	for n := range queries {
		at := "metricQueries." + strconv.Itoa(n) + "."
		q := types.MetricDataQuery{Id: text(at + "id")}
		if of.Text(at+"expression") != "" {
			q.Expression = text(at + "expression")
		} else {
			q.MetricStat = &types.MetricStat{Period: number(at + "metric.period"), Stat: text(at + "metric.stat"),
				Metric: &types.Metric{Namespace: text(at + "metric.namespace"), MetricName: text(at + "metric.metricName"),
					Dimensions: dimensions(at + "metric.dimensions")}}
		}
		a.Metrics = append(a.Metrics, q)
	}
	return a
}

// rings plays values, period after period, to an alarm of the program whose metrics have these ids, and returns the
// number of the first period at whose end it rings; 0 if it never does.
func rings(t *testing.T, of *pulumitest.Resource, ids []string, periods [][]float64) int {
	t.Helper()
	a := metricAlarm(of)
	sources, _ := cloudwatch.Sources(a)
	metrics := map[string]cloudwatch.Metric{}
	for _, s := range sources {
		metrics[s.ID] = s.Metric
	}
	end := time.Unix(0, 0)
	var s cloudwatch.Store
	for n, values := range periods {
		for i, id := range ids {
			if !math.IsNaN(values[i]) {
				s.Put(cloudwatch.Datum{Metric: metrics[id], At: end, Value: values[i]})
			}
		}
		end = end.Add(cloudwatch.Period(a))
		points, err := s.Points(a, end, 1)
		if err != nil {
			t.Fatal(err)
		}
		if cloudwatch.Evaluate(a, points).State == types.StateValueAlarm {
			return n + 1
		}
	}
	return 0
}

// The alarms for which silence was the fault ring for it, and neither at the first `up` nor in a rollout. Each value is
// that of a period: five minutes, but one for the alarms on few instances. Data that arrives late is there when the
// period is looked at again, so that only what is missing for good is missing here, but for the cases that say so.
func TestAlarmsOnSilence(t *testing.T) {
	g := graphOf(t, "prod")
	repeat := func(n int, values ...float64) (out [][]float64) {
		for range n {
			out = append(out, values)
		}
		return out
	}
	join := func(parts ...[][]float64) (out [][]float64) {
		for _, p := range parts {
			out = append(out, p...)
		}
		return out
	}
	silent, low := []string{"instances", "beats"}, []string{"m"}
	lag := []string{"oldest", "beats"}
	for name, c := range map[string]struct {
		alarm   string
		ids     []string
		periods [][]float64
		want    int // period at whose end it rings; 0: never
	}{
		"no data at all": {"-servers-silent", silent, repeat(12, missing, missing), 0},
		"first boot": {"-servers-silent", silent,
			join(repeat(2, 0, missing), repeat(1, 0, 4), repeat(12, 2, 10)), 0},
		"first boot, agent takes ten more": {"-servers-silent", silent,
			join(repeat(1, 0, missing), repeat(2, 2, missing), repeat(12, 2, 10)), 0},
		"all is well": {"-workers-silent", silent, repeat(100, 8, 40), 0},
		"a beat falls into the next period": {"-servers-silent", silent,
			join(repeat(3, 2, 9), repeat(3, 2, 11), repeat(3, 2, 8)), 0},
		"a rollout, old and new beat": {"-servers-silent", silent,
			join(repeat(2, 2, 10), repeat(2, 2, 14), repeat(2, 2, 10)), 0},
		"growth": {"-servers-silent", silent,
			join(repeat(2, 2, 10), repeat(1, 2, 13), repeat(5, 3, 15)), 0},
		"a minute of a large group is late": {"-workers-silent", silent,
			join(repeat(5, 8, 40), repeat(1, 8, 32), repeat(5, 8, 40)), 0},
		"one of two is silent":             {"-servers-silent", silent, join(repeat(4, 2, 10), repeat(4, 2, 5)), 7},
		"one of eight is silent":           {"-workers-silent", silent, join(repeat(4, 8, 40), repeat(4, 8, 35)), 7},
		"all are silent":                   {"-workers-silent", silent, join(repeat(4, 2, 10), repeat(4, 2, missing)), 7},
		"one is silent from the beginning": {"-workers-silent", silent, join(repeat(2, 0, missing), repeat(4, 2, 5)), 5},

		"low: no data at all":  {"-servers-low", low, repeat(30, missing), 0},
		"low: first boot":      {"-servers-low", low, join(repeat(8, 0), repeat(1, 1), repeat(30, 2)), 0},
		"low: a death":         {"-workers-low", low, join(repeat(5, 2), repeat(4, 1), repeat(5, 2)), 0},
		"low: no boot works":   {"-servers-low", low, repeat(30, 0), 10},
		"low: one is not back": {"-workers-low", low, join(repeat(5, 2), repeat(20, 1)), 15},

		"lag: no data at all":         {"-lag", lag, repeat(12, missing, missing), 0},
		"lag: first boot":             {"-lag", lag, join(repeat(2, missing, missing), repeat(5, 0, 10)), 0},
		"lag: a photo is late":        {"-lag", lag, join(repeat(2, 0, 10), repeat(3, 1000, 10)), 4},
		"lag: a lease changes hands":  {"-lag", lag, join(repeat(2, 0, 10), repeat(1, missing, 10), repeat(2, 0, 10)), 0},
		"lag: no pass completes":      {"-lag", lag, join(repeat(2, 0, 10), repeat(3, missing, 10)), 4},
		"lag: silence is not its own": {"-lag", lag, join(repeat(2, 0, 10), repeat(3, missing, missing)), 0},
	} {
		if got := rings(t, g.One("MetricAlarm", c.alarm), c.ids, c.periods); got != c.want {
			t.Errorf("%s: %s rings at the end of period %d, want %d", name, c.alarm, got, c.want)
		}
	}
}
