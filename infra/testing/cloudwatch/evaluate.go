package cloudwatch

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// Point is the value of an alarm's metric or expression in one period. NaN: it is missing.
type Point struct {
	Begin time.Time
	Value float64
	// Few is set for a percentile of too few values, which counts as missing.
	Few bool
}

// extraPeriods is the number of periods that are retrieved in addition to the evaluation periods: "When evaluating
// alarm state, CloudWatch attempts to retrieve a higher number of data points than specified by Evaluation Periods. The
// exact number depends" on the alarm; in the documentation's tables it is 5 for 3.
const extraPeriods = 2

// Source is a metric of an alarm.
type Source struct {
	Metric
	ID        string // in the expression
	Statistic string
	Period    time.Duration
}

// Sources returns the metrics of an alarm, and the expression that is compared with the threshold: of an alarm on one
// metric, the metric itself.
func Sources(a types.MetricAlarm) (all []Source, expression string) {
	if len(a.Metrics) == 0 {
		return []Source{{metricOf(a.Namespace, a.MetricName, a.Dimensions), "m",
			string(a.Statistic) + aws.ToString(a.ExtendedStatistic), seconds(a.Period)}}, "m"
	}
	for _, q := range a.Metrics {
		if s := q.MetricStat; s != nil {
			all = append(all, Source{metricOf(s.Metric.Namespace, s.Metric.MetricName, s.Metric.Dimensions),
				aws.ToString(q.Id), aws.ToString(s.Stat), seconds(s.Period)})
		} else {
			expression = aws.ToString(q.Expression)
		}
	}
	return all, expression
}

func seconds(n *int32) time.Duration { return time.Duration(aws.ToInt32(n)) * time.Second }

// Period returns the period of an alarm: "Each metric must be using the same period."
func Period(a types.MetricAlarm) (period time.Duration) {
	if sources, _ := Sources(a); len(sources) > 0 {
		period = sources[0].Period
	}
	return period
}

// Points returns the points of an alarm's evaluation range that ends at a time, newest first.
func (s *Store) Points(a types.MetricAlarm, end time.Time, factor int) ([]Point, error) {
	period := Period(a) / time.Duration(factor)
	if _, known := comparisons[a.ComparisonOperator]; !known || period <= 0 {
		return nil, fmt.Errorf("alarm %s has the period %s and the operator %q", aws.ToString(a.AlarmName), Period(a),
			a.ComparisonOperator)
	}
	var out []Point
	for range int(aws.ToInt32(a.EvaluationPeriods)) + extraPeriods {
		begin := end.Add(-period)
		p, err := s.point(a, begin, end)
		if err != nil {
			return nil, fmt.Errorf("alarm %s: %w", aws.ToString(a.AlarmName), err)
		}
		out, end = append(out, p), begin
	}
	return out, nil
}

// point returns the value of one period.
func (s *Store) point(a types.MetricAlarm, from, to time.Time) (p Point, err error) {
	p.Begin = from
	sources, expression := Sources(a)
	byID := map[string]float64{}
	for _, source := range sources {
		values := s.values(source.Metric, from, to)
		v, err := Statistic(source.Statistic, values)
		if err != nil {
			return p, err
		}
		if aws.ToString(a.EvaluateLowSampleCountPercentile) == "ignore" && len(values) > 0 &&
			few(source.Statistic, len(values)) {
			p.Few, v = true, math.NaN()
		}
		byID[source.ID] = v
	}
	p.Value, err = Calculate(expression, byID)
	return p, err
}

// Statistic returns a statistic of values; NaN without values.
func Statistic(name string, values []float64) (float64, error) {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	rank, isPercentile := percentile(name)
	switch {
	case !isPercentile && !slices.Contains([]string{"Sum", "SampleCount", "Average", "Minimum", "Maximum"}, name):
		return 0, fmt.Errorf("the statistic %q is not implemented", name)
	case len(values) == 0:
		return math.NaN(), nil
	case isPercentile:
		slices.Sort(values)
		return values[max(0, int(math.Ceil(rank*float64(len(values))))-1)], nil
	case name == "Minimum":
		return slices.Min(values), nil
	case name == "Maximum":
		return slices.Max(values), nil
	case name == "Average":
		return sum / float64(len(values)), nil
	case name == "SampleCount":
		return float64(len(values)), nil
	}
	return sum, nil
}

// percentile returns the rank of a statistic such as p95.
func percentile(name string) (rank float64, is bool) {
	text, is := strings.CutPrefix(name, "p")
	percent, err := strconv.ParseFloat(text, 64)
	return percent / 100, is && err == nil
}

// few reports whether n values are too few for a percentile: "For percentiles between 0.5 (inclusive) and 1.00
// (exclusive), this setting is used when there are fewer than 10/(1-percentile) data points", and below 0.5 "fewer than
// 10/percentile".
func few(stat string, n int) bool {
	rank, is := percentile(stat)
	if rank >= 0.5 {
		rank = 1 - rank
	}
	return is && float64(n)*rank < 10-1e-6
}

// Result is the result of an evaluation.
type Result struct {
	State  types.StateValue
	Reason string
}

// Evaluate returns the state of an alarm with the points of its evaluation range, newest first. "No matter what value
// you set for how to treat missing data, ... the number of data points evaluated is equal to the value of Evaluation
// Periods. If fewer than the value of Datapoints to Alarm are breaching, the alarm state is set to OK. Otherwise, the
// alarm state is set to ALARM." Missing points are treated as the alarm says only if fewer real ones than Evaluation
// Periods are in the range.
func Evaluate(a types.MetricAlarm, points []Point) Result {
	// "If you specify ignore, the alarm state does not change during periods with too few data points to be
	// statistically significant."
	if len(points) > 0 && points[0].Few {
		return Result{a.StateValue, aws.ToString(a.StateReason)}
	}
	n, m := int(aws.ToInt32(a.EvaluationPeriods)), int(aws.ToInt32(cmp.Or(a.DatapointsToAlarm, a.EvaluationPeriods)))
	var present []Point
	bad, oldestBad := 0, -1
	for i, p := range points {
		if math.IsNaN(p.Value) || len(present) == n {
			continue
		}
		if present = append(present, p); breaches(a, p.Value) {
			bad, oldestBad = bad+1, i
		}
	}
	missing, treatment := n-len(present), treatMissing(a)
	if treatment == "breaching" {
		bad += missing
	}
	switch decided := missing == 0 || treatment == "breaching" || treatment == "notBreaching"; {
	case bad >= m:
		return Result{types.StateValueAlarm, reason(a, present, missing, bad, m)}
	case decided, bad < len(present): // of the latter, "the one existing data point is not breaching"
		return Result{types.StateValueOk, reason(a, present, missing, bad, m)}
	case treatment == "ignore": // "The current alarm state is maintained."
		return Result{a.StateValue, aws.ToString(a.StateReason)}
	case oldestBad >= m-1:
		// "The alarm goes to ALARM state even if missing data is treated as missing, because the oldest evaluated data
		// point is breaching and there aren't any non-breaching data points."
		return Result{types.StateValueAlarm, reason(a, present, missing, bad, m)}
	}
	return Result{types.StateValueInsufficientData,
		fmt.Sprintf("Insufficient Data: %d datapoints were unknown.", missing)}
}

// treatMissing returns how an alarm treats missing data: "The default behavior is missing." "Alarms that evaluate
// metrics in the AWS/DynamoDB namespace always ignore missing data even if you choose a different option".
func treatMissing(a types.MetricAlarm) string {
	treatment := aws.ToString(a.TreatMissingData)
	switch {
	case aws.ToString(a.Namespace) == "AWS/DynamoDB":
		return "ignore"
	case treatment == "":
		return "missing"
	}
	return treatment
}

// comparisons are the operators, without those of anomaly detection, which compare with a band.
var comparisons = map[types.ComparisonOperator]struct {
	holds func(v, threshold float64) bool
	text  string
}{
	types.ComparisonOperatorGreaterThanThreshold: {
		func(v, t float64) bool { return v > t }, "greater than"},
	types.ComparisonOperatorGreaterThanOrEqualToThreshold: {
		func(v, t float64) bool { return v >= t }, "greater than or equal to"},
	types.ComparisonOperatorLessThanThreshold: {
		func(v, t float64) bool { return v < t }, "less than"},
	types.ComparisonOperatorLessThanOrEqualToThreshold: {
		func(v, t float64) bool { return v <= t }, "less than or equal to"},
}

// breaches reports whether a value is on the wrong side of the threshold.
func breaches(a types.MetricAlarm, v float64) bool {
	return comparisons[a.ComparisonOperator].holds(v, aws.ToFloat64(a.Threshold))
}

// reason returns the reason of a state in CloudWatch's words.
func reason(a types.MetricAlarm, present []Point, missing, bad, m int) string {
	if len(present) == 0 {
		return fmt.Sprintf("Threshold Crossed: no datapoints were received for %d periods and %d missing datapoints were "+
			"treated as [%s].", missing, missing, treatMissing(a))
	}
	var texts []string
	for _, p := range present {
		texts = append(texts, fmt.Sprintf("%s (%s)", strconv.FormatFloat(p.Value, 'g', 6, 64),
			p.Begin.UTC().Format("02/01/06 15:04:05")))
	}
	compared := fmt.Sprintf("%s the threshold (%s)", comparisons[a.ComparisonOperator].text,
		strconv.FormatFloat(aws.ToFloat64(a.Threshold), 'g', 6, 64))
	if bad < m {
		return fmt.Sprintf("Threshold Crossed: %d datapoints [%s] were not %s.", len(present), strings.Join(texts, ", "),
			compared)
	}
	return fmt.Sprintf("Threshold Crossed: %d out of the last %d datapoints [%s] were %s (minimum %d datapoints for "+
		"OK -> ALARM transition).", bad, len(present)+missing, strings.Join(texts, ", "), compared, m)
}
