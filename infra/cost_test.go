package main

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"

	"imagery/app/deploy/settings"
)

func costOf(t *testing.T, keys map[string]string) Estimate {
	t.Helper()
	c, _, err := load(t, "x1", keys)
	if err != nil {
		t.Fatal(err)
	}
	return estimate(c)
}

func lineOf(t *testing.T, e Estimate, prefix string) float64 {
	t.Helper()
	for _, i := range e.items {
		if strings.HasPrefix(i.name, prefix) {
			return i.usd
		}
	}
	t.Fatalf("no line %s in %v", prefix, e.items)
	return 0
}

// Worked out by hand from the price list, 730 hours a month.
func TestEgressCosts(t *testing.T) {
	for _, row := range []struct {
		egress, zones, ssm string
		want               float64
	}{
		{"endpoints", "2", "false", 43.80}, {"endpoints", "3", "false", 65.70}, {"endpoints", "2", "true", 73.00},
		{"nat", "2", "false", 36.50}, {"natPerAz", "2", "false", 73.00}, {"natPerAz", "3", "false", 109.50},
		{"public", "2", "false", 14.60},
	} {
		keys := map[string]string{"egress": row.egress, "azCount": row.zones, "ssm": row.ssm}
		got := lineOf(t, costOf(t, keys), "egress")
		if math.Abs(got-row.want) > 0.005 {
			t.Errorf("%+v: %.2f", row, got)
		}
	}
}

func TestEstimateAddsUpAndNamesTheLargestLine(t *testing.T) {
	e := costOf(t, map[string]string{"profile": "prod"})
	sum := 0.0
	for i, line := range e.items {
		sum += line.usd
		if i > 0 && line.usd > e.items[i-1].usd {
			t.Errorf("%s comes after a smaller line", line.name)
		}
	}
	if math.Abs(sum-e.total) > 0.005 {
		t.Errorf("lines %.2f, total %.2f", sum, e.total)
	}
	for _, want := range []string{fmt.Sprintf("$%.0f a month", e.total), priceRegion, priceDate, e.items[0].name} {
		if !strings.Contains(e.String(), want) {
			t.Errorf("%q does not say %q", e, want)
		}
	}
	if dev := costOf(t, nil); dev.total >= e.total {
		t.Errorf("dev costs %.0f, prod %.0f", dev.total, e.total)
	}
}

// AWS bills an alarm by its metrics. Target tracking creates two alarms for each policy.
func TestAlarmsAreCounted(t *testing.T) {
	n := 0
	g := graphOf(t, "dev")
	for _, a := range g.Of("MetricAlarm") {
		n += len(dimensionsOf(a))
	}
	for _, p := range g.Of("Policy") {
		metrics, _ := p.Get("targetTrackingConfiguration.customizedMetricSpecification.metrics").([]any)
		n += 2 * max(1, len(metrics)-1) // the last one is the result
	}
	if n != alarmMetrics {
		t.Errorf("the alarms have %d metrics, the estimate %d", n, alarmMetrics)
	}
}

// CloudWatch bills each metric name once for every set of dimensions: stack and role.
func TestMetricsAreCounted(t *testing.T) {
	source, err := os.ReadFile("../app/deploy/settings/limits.go")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, m := range regexp.MustCompile(`(?m)^\tMetric\w+ += "([a-z]\w+)"`).FindAllStringSubmatch(string(source), -1) {
		if n++; m[1] == settings.MetricHeartbeat {
			n++ // of both roles
		}
	}
	if n != customMetrics {
		t.Errorf("the roles write %d metrics, the estimate says %d", n, customMetrics)
	}
}

// Worked out by hand: 4 t4g.micro and 4 t4g.small, 2 vCPUs each, of which AWS bills 90 % and 80 % at most.
func TestEstimateBoundsCreditsAndLogs(t *testing.T) {
	e := costOf(t, nil)
	want := map[string]float64{
		"instances":   730*(2*0.0084+2*0.0168+4*0.005) + 4*8*0.08,
		"logs":        600 * 4 * 60 * 730 * 670 / 1e9 * 0.5,
		"CPU credits": 730 * 0.04 * (4*2*0.9 + 4*2*0.8),
	}
	for _, i := range e.more {
		if math.Abs(i.usd-want[i.name]) > 0.005 {
			t.Errorf("%s: $%.2f, want $%.2f", i.name, i.usd, want[i.name])
		}
		if !strings.Contains(e.String(), fmt.Sprintf("$%.0f for %s", i.usd, i.name)) {
			t.Errorf("%q does not say what %s may cost", e, i.name)
		}
	}
	if len(e.more) != len(want) {
		t.Errorf("%+v", e.more)
	}
	if prod := costOf(t, map[string]string{"profile": "prod", "serverType": "c7g.medium"}); len(prod.more) != 2 {
		t.Errorf("types without credits: %+v", prod.more)
	}
}
