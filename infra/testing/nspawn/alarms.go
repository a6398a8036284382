package nspawn

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"slices"
	"strconv"
	"time"
)

// Alarm is a metric alarm of CloudWatch over the metrics of one role. Missing data does not count as bad, as in the
// alarms that guard a release.
type Alarm struct {
	Name           string
	Role           string
	Metrics        map[string]Metric // by id
	Expression     string            // metric math over the ids; empty: the only metric
	Threshold      float64           // above which a period is bad
	Period         time.Duration
	Datapoints, Of int // it is in ALARM once Datapoints of the last Of periods are bad
}

// Metric is a metric with a statistic: Sum, or a percentile such as p95.
type Metric struct{ Name, Stat string }

// Watch evaluates alarms at the end of each of their periods until stop is closed. It calls set with the result and the
// values of the last periods.
func (h *Host) Watch(stop <-chan struct{}, alarms []Alarm, set func(name string, inAlarm bool, reason string)) {
	b := &metricLog{host: h, at: map[string]int64{}}
	history := map[string][]float64{} // by alarm, oldest first; NaN: no data
	longest := slices.MaxFunc(alarms, func(a, b Alarm) int { return int(a.Period - b.Period) }).Period
	ended := time.Now()
	ticks := time.NewTicker(200 * time.Millisecond)
	defer ticks.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticks.C:
		}
		b.read()
		for _, a := range alarms {
			// Periods begin at multiples of their length, as in CloudWatch.
			if end := time.Now().Truncate(a.Period); end.After(ended.Truncate(a.Period)) {
				last := append(history[a.Name], a.value(b, end.Add(-a.Period), end))
				history[a.Name] = last[max(0, len(last)-a.Of):]
				set(a.Name, a.inAlarm(history[a.Name]),
					fmt.Sprintf("threshold %.4g, the last periods had %.4g", a.Threshold, history[a.Name]))
			}
		}
		ended = time.Now()
		b.forget(ended.Add(-2 * longest))
	}
}

func (a Alarm) inAlarm(history []float64) bool {
	bad := 0
	for _, v := range history {
		if v > a.Threshold {
			bad++
		}
	}
	return bad >= a.Datapoints
}

// value returns the value of one period; NaN without data.
func (a Alarm) value(b *metricLog, from, to time.Time) float64 {
	values := map[string]float64{}
	for id, m := range a.Metrics {
		values[id] = m.of(b.values(a.Role, m.Name, from, to))
		if a.Expression == "" {
			return values[id]
		}
	}
	return Calculate(a.Expression, values)
}

// enough is the fewest values for which CloudWatch documents p95 as significant.
const enough = 10 / (1 - 0.95)

// of returns the statistic of values; NaN without data.
func (m Metric) of(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	switch {
	case len(values) == 0, m.Stat == "p95" && float64(len(values)) < enough:
		return math.NaN()
	case m.Stat == "p95":
		slices.Sort(values)
		return values[int(math.Ceil(0.95*float64(len(values))))-1]
	case m.Stat == "Sum":
		return sum
	}
	panic("no statistic of the program's alarms: " + m.Stat)
}

// Calculate evaluates an expression of CloudWatch's metric math over the values of its metrics in one period. NaN is a
// missing value, and what is computed from missing data is missing. Calculate knows what the program's alarms use; that
// grammar is a part of Go's. It panics for anything else.
func Calculate(expression string, values map[string]float64) float64 {
	e, err := parser.ParseExpr(expression)
	if err != nil {
		panic(fmt.Errorf("expression %s: %w", expression, err))
	}
	return calculate(e, values)
}

func calculate(e ast.Expr, values map[string]float64) float64 {
	of := func(e ast.Expr) float64 { return calculate(e, values) }
	switch e := e.(type) {
	case *ast.ParenExpr:
		return of(e.X)
	case *ast.Ident:
		if v, known := values[e.Name]; known {
			return v
		}
	case *ast.BasicLit:
		if v, err := strconv.ParseFloat(e.Value, 64); err == nil {
			return v
		}
	case *ast.UnaryExpr:
		if e.Op == token.SUB {
			return -of(e.X)
		}
	case *ast.BinaryExpr:
		x, y := of(e.X), of(e.Y)
		switch e.Op {
		case token.ADD:
			return x + y
		case token.SUB:
			return x - y
		case token.MUL:
			return x * y
		case token.QUO:
			return x / y
		case token.GTR, token.LSS:
			if e.Op == token.GTR && x > y || e.Op == token.LSS && x < y {
				return 1
			}
			return 0 * (x + y) // missing stays missing
		}
	case *ast.CallExpr:
		first := of(e.Args[0])
		switch name := fmt.Sprint(e.Fun); {
		case name == "FILL" && math.IsNaN(first):
			return of(e.Args[1])
		case name == "FILL", name == "IF" && math.IsNaN(first):
			return first
		case name == "IF" && first == 0:
			return of(e.Args[2])
		case name == "IF":
			return of(e.Args[1])
		}
	}
	panic(fmt.Sprintf("not known of CloudWatch's metric math: %T", e))
}
