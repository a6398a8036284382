package alarms

import (
	"encoding/json"
	"maps"
	"slices"

	"imagery/app/deploy/settings"
	"imagery/infra/must"
)

// chart is one widget of the dashboard.
type chart struct {
	title   string
	metrics []metric
}

// charts go from what users feel to what may be the cause, two in a row.
var charts = []chart{
	{"Age of the oldest unfinished photo, s", graphs(workers, "Maximum", settings.MetricOldestUnfinished)},
	{"Requests, errors, refusals per minute",
		graphs(servers, "Sum", settings.MetricRequests, settings.MetricServerErrors, settings.MetricPlanned503)},
	{"Request time, ms, 95 %", graphs(servers, "p95", settings.MetricRequestTime)},
	{"Jobs per minute",
		graphs(workers, "Sum", settings.MetricJobsDone, settings.MetricJobsGivenUp, settings.MetricJobsRetried)},
	{"Queue and dead letters", slices.Concat(
		graphs(queue, "Maximum", "ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible"),
		graphs(deadLetters, "Maximum", "ApproximateNumberOfMessagesVisible"))},
	{"Wait and work of a job, ms, 95 %", graphs(workers, "p95", settings.MetricQueueWait, settings.MetricJobTime)},
	{"Instances in service",
		slices.Concat(graphs(serverGroup, "Average", inService), graphs(workerGroup, "Average", inService))},
	{"Table latency, ms, 95 %", slices.Concat(graphs(requests("GetItem"), "p95", "SuccessfulRequestLatency"),
		graphs(requests("UpdateItem"), "p95", "SuccessfulRequestLatency"))},
}

func graphs(of source, stat string, names ...string) []metric {
	var out []metric
	for _, n := range names {
		out = append(out, metric{"", of, n, stat})
	}
	return out
}

// dashboard returns the body of the CloudWatch dashboard, with placeholders.
func dashboard(region string) string {
	// A line of a chart is [namespace, name, dimension, value, ..., {stat}], all in one list.
	type properties struct {
		Title   string  `json:"title"`
		Region  string  `json:"region"`
		View    string  `json:"view"`
		Period  int     `json:"period"`
		Metrics [][]any `json:"metrics"`
	}
	type widget struct {
		Type       string     `json:"type"`
		X          int        `json:"x"`
		Y          int        `json:"y"`
		Width      int        `json:"width"`
		Height     int        `json:"height"`
		Properties properties `json:"properties"`
	}
	var widgets []widget
	for i, c := range charts {
		p := properties{Title: c.title, Region: region, View: "timeSeries", Period: 60}
		for _, m := range c.metrics {
			line := []any{m.of.namespace, m.name}
			for _, k := range slices.Sorted(maps.Keys(m.of.dimensions)) {
				line = append(line, k, m.of.dimensions[k])
			}
			p.Metrics = append(p.Metrics, append(line, map[string]string{"stat": m.stat}))
		}
		widgets = append(widgets, widget{"metric", 12 * (i % 2), 6 * (i / 2), 12, 6, p})
	}
	return string(must.Get(json.Marshal(map[string]any{"widgets": widgets})))
}
