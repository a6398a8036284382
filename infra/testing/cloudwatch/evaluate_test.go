package cloudwatch

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// errorsAlarm is in ALARM after m of n bad minutes.
func errorsAlarm(m, n int32) types.MetricAlarm {
	return types.MetricAlarm{AlarmName: aws.String("errors"), Namespace: aws.String("N"), MetricName: aws.String("errors"),
		AlarmArn: aws.String("arn:aws:cloudwatch:us-east-1:123456789012:alarm:errors"), ActionsEnabled: aws.Bool(true),
		Dimensions: []types.Dimension{{Name: aws.String("stack"), Value: aws.String("s")}}, Statistic: types.StatisticSum,
		Period: aws.Int32(60), EvaluationPeriods: &n, DatapointsToAlarm: &m, Threshold: aws.Float64(1),
		ComparisonOperator: types.ComparisonOperatorGreaterThanThreshold, StateValue: "before"}
}

// put adds the data of periods, oldest first: X breaches, 0 does not, and - is missing.
func put(s *Store, end time.Time, period time.Duration, periods string) {
	m := Metric{"N", "errors", map[string]string{"stack": "s"}}
	for i, c := range periods {
		at := end.Add(-period * time.Duration(len(periods)-i))
		switch c {
		case 'X':
			s.Put(Datum{m, at, 1}, Datum{m, at.Add(period - 1), 1})
		case '0':
			s.Put(Datum{m, at, 1})
		}
	}
}

// TestMissingData has the tables of "How alarm state is evaluated when data is missing".
func TestMissingData(t *testing.T) {
	const ok, alarm, retain = types.StateValueOk, types.StateValueAlarm, "before"
	const insufficient = types.StateValueInsufficientData
	end := time.Unix(6000, 0)
	for _, c := range []struct {
		m                                        int32
		points                                   string
		missing, ignore, breaching, notBreaching types.StateValue
	}{
		{3, "0-X-X", ok, ok, ok, ok},
		{3, "0----", ok, ok, ok, ok},
		{3, "-----", insufficient, retain, alarm, ok},
		{3, "0XX-X", alarm, alarm, alarm, alarm},
		{3, "----X", insufficient, retain, alarm, ok},
		{3, "X----", alarm, retain, alarm, ok},
		{2, "0-X-X", alarm, alarm, alarm, alarm},
		{2, "00X0X", alarm, alarm, alarm, alarm},
		{2, "0-X--", ok, ok, alarm, ok},
		{2, "----0", ok, ok, alarm, ok},
		{2, "----X", insufficient, retain, alarm, ok},
		{3, "XX0XX", ok, ok, ok, ok}, // only the newest three count
	} {
		for treatment, want := range map[string]types.StateValue{"missing": c.missing, "ignore": c.ignore,
			"breaching": c.breaching, "notBreaching": c.notBreaching, "": c.missing} {
			var s Store
			put(&s, end, 6*time.Second, c.points)
			a := errorsAlarm(c.m, 3)
			a.TreatMissingData = &treatment
			points, err := s.Points(a, end, 10)
			if err != nil {
				t.Fatal(err)
			}
			if got := Evaluate(a, points); got.State != want {
				t.Errorf("%d of 3, %s, %q: %+v, want %s", c.m, c.points, treatment, got, want)
			}
		}
	}
}

// TestTyposNeverFire: each part of a metric's identity counts.
func TestTyposNeverFire(t *testing.T) {
	end := time.Unix(6000, 0)
	for name, change := range map[string]func(*types.MetricAlarm){
		"":          func(*types.MetricAlarm) {},
		"name":      func(a *types.MetricAlarm) { a.MetricName = aws.String("error") },
		"namespace": func(a *types.MetricAlarm) { a.Namespace = aws.String("M") },
		"value":     func(a *types.MetricAlarm) { a.Dimensions[0].Value = aws.String("t") },
		"dimension": func(a *types.MetricAlarm) { a.Dimensions[0].Name = aws.String("stak") },
		"one more": func(a *types.MetricAlarm) {
			a.Dimensions = append(a.Dimensions, types.Dimension{Name: aws.String("role"), Value: aws.String("r")})
		},
		"expression": func(a *types.MetricAlarm) {
			a.Metrics = []types.MetricDataQuery{{Id: aws.String("result"), Expression: aws.String("m * 2")}, {
				Id: aws.String("m"), MetricStat: &types.MetricStat{Period: aws.Int32(60), Stat: aws.String("Sum"),
					Metric: &types.Metric{Namespace: aws.String("N"), MetricName: aws.String("error")}}}}
		},
	} {
		var s Store
		put(&s, end, time.Minute, "XXX")
		a := errorsAlarm(3, 3)
		a.TreatMissingData = aws.String("notBreaching")
		change(&a)
		points, err := s.Points(a, end, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := Evaluate(a, points); (got.State == types.StateValueAlarm) != (name == "") {
			t.Errorf("a typo in %q: %+v", name, got)
		}
	}
}

func TestComparisons(t *testing.T) {
	for operator, want := range map[types.ComparisonOperator][3]bool{ // below, at and above the threshold
		types.ComparisonOperatorGreaterThanThreshold:          {false, false, true},
		types.ComparisonOperatorGreaterThanOrEqualToThreshold: {false, true, true},
		types.ComparisonOperatorLessThanThreshold:             {true, false, false},
		types.ComparisonOperatorLessThanOrEqualToThreshold:    {true, true, false},
	} {
		a := errorsAlarm(1, 1)
		a.ComparisonOperator = operator
		for i, v := range []float64{0, 1, 2} {
			if got := Evaluate(a, []Point{{Value: v}}); (got.State == types.StateValueAlarm) != want[i] ||
				!strings.Contains(got.Reason, "Threshold Crossed") {
				t.Errorf("%v %s 1: %+v", v, operator, got)
			}
		}
	}
	a := errorsAlarm(1, 1)
	a.ComparisonOperator = types.ComparisonOperatorGreaterThanUpperThreshold
	if _, err := (&Store{}).Points(a, time.Now(), 1); err == nil {
		t.Error("an operator that is not implemented was evaluated")
	}
}

// TestPercentileOfFew: p95 of fewer than 200 values changes nothing.
func TestPercentileOfFew(t *testing.T) {
	a := errorsAlarm(1, 1)
	a.Statistic, a.ExtendedStatistic, a.Threshold = "", aws.String("p95"), aws.Float64(500)
	a.EvaluateLowSampleCountPercentile, a.TreatMissingData = aws.String("ignore"), aws.String("notBreaching")
	end := time.Unix(6000, 0)
	for _, c := range []struct {
		slow, all int
		want      types.StateValue
	}{{21, 400, types.StateValueAlarm}, {20, 400, types.StateValueOk}, {199, 199, "before"},
		{200, 200, types.StateValueAlarm}, {0, 0, types.StateValueOk}} {
		var s Store
		for n := range c.all {
			v := 10.0
			if n < c.slow {
				v = 900
			}
			s.Put(Datum{Metric{"N", "errors", map[string]string{"stack": "s"}}, end.Add(-time.Second), v})
		}
		points, err := s.Points(a, end, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := Evaluate(a, points); got.State != c.want {
			t.Errorf("%d slow of %d: %+v, want %s", c.slow, c.all, got, c.want)
		}
	}
}
