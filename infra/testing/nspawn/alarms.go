package nspawn

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Alarm is a metric alarm of CloudWatch over what the services of one role count of themselves. Without data it is
// quiet, as the alarms are that judge a release.
type Alarm struct {
	Name       string
	Role       string            // whose lines count
	Metrics    map[string]Metric // by id
	Expression string            // over the ids, in CloudWatch's words; empty: the only metric as it is
	Threshold  float64           // above which a period is bad
	Period     time.Duration
	Datapoints int // bad ones, of the last Of periods, that make it ring
	Of         int
}

// Metric is a metric with a statistic: Sum, or a percentile such as p95.
type Metric struct{ Name, Stat string }

// Watch evaluates alarms at the end of each of their periods until stop is closed, and tells set what it finds:
// whether the alarm rings, and the values of the periods, the oldest first.
func (h *Host) Watch(stop <-chan struct{}, alarms []Alarm, set func(name string, rings bool, reason string)) {
	b := &metricLog{host: h, at: map[string]int64{}}
	history := map[string][]float64{} // by alarm; not a number: no data
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
			// Periods are those of the clock, as CloudWatch's are.
			if end := time.Now().Truncate(a.Period); end.After(ended.Truncate(a.Period)) {
				last := append(history[a.Name], a.value(b, end.Add(-a.Period), end))
				history[a.Name] = last[max(0, len(last)-a.Of):]
				set(a.Name, a.rings(history[a.Name]),
					fmt.Sprintf("threshold %.4g, the last periods had %.4g", a.Threshold, history[a.Name]))
			}
		}
		ended = time.Now()
		b.forget(ended.Add(-2 * longest))
	}
}

func (a Alarm) rings(history []float64) bool {
	bad := 0
	for _, v := range history {
		if v > a.Threshold {
			bad++
		}
	}
	return bad >= a.Datapoints
}

// value is that of one period; NaN without data.
func (a Alarm) value(b *metricLog, from, to time.Time) float64 {
	values := map[string]float64{}
	for id, m := range a.Metrics {
		v := m.of(b.values(a.Role, m.Name, from, to))
		if a.Expression == "" {
			return v
		}
		values[id] = v
	}
	return Calculate(a.Expression, values)
}

// Calculate evaluates an expression of CloudWatch over the values of its metrics in one period. NaN is a missing value.
func Calculate(expression string, values map[string]float64) float64 {
	e, err := parser.ParseExpr(expression)
	if err != nil {
		panic(fmt.Errorf("expression %s: %w", expression, err)) // a test's alarms are those of the program
	}
	return calculate(e, values)
}

// enough is the fewest values for which CloudWatch documents p95 as significant.
const enough = 10 / (1 - 0.95)

func (m Metric) of(values []float64) float64 {
	percent, isPercentile := strings.CutPrefix(m.Stat, "p")
	switch {
	case len(values) == 0:
		return math.NaN()
	case isPercentile:
		p, err := strconv.ParseFloat(percent, 64)
		if err != nil {
			panic(err)
		}
		if float64(len(values)) < enough {
			return math.NaN()
		}
		slices.Sort(values)
		return values[int(math.Ceil(p/100*float64(len(values))))-1]
	case m.Stat == "Sum":
		sum := 0.0
		for _, v := range values {
			sum += v
		}
		return sum
	}
	panic("no statistic of the program's alarms: " + m.Stat)
}

// calculate knows as much of CloudWatch's metric math as the program's alarms use; its grammar is a part of Go's. What
// is computed from missing data is missing.
func calculate(e ast.Expr, of map[string]float64) float64 {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return calculate(e.X, of)
	case *ast.Ident:
		if v, known := of[e.Name]; known {
			return v
		}
	case *ast.BasicLit:
		if v, err := strconv.ParseFloat(e.Value, 64); err == nil {
			return v
		}
	case *ast.BinaryExpr:
		x, y := calculate(e.X, of), calculate(e.Y, of)
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
	case *ast.UnaryExpr:
		if e.Op == token.SUB {
			return -calculate(e.X, of)
		}
	case *ast.CallExpr:
		name, _ := e.Fun.(*ast.Ident)
		switch {
		case name != nil && name.Name == "FILL" && len(e.Args) == 2:
			if v := calculate(e.Args[0], of); !math.IsNaN(v) {
				return v
			}
			return calculate(e.Args[1], of)
		case name != nil && name.Name == "IF" && len(e.Args) == 3:
			switch cond := calculate(e.Args[0], of); {
			case math.IsNaN(cond):
				return cond
			case cond != 0:
				return calculate(e.Args[1], of)
			}
			return calculate(e.Args[2], of)
		}
	}
	panic(fmt.Sprintf("not known of CloudWatch's metric math: %T", e))
}
