package alarms

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/app/deploy/settings"
)

// chart is one widget of the dashboard.
type chart struct {
	title   string
	metrics []metric
}

// charts go from what users feel to what may be the cause, two in a row.
func (w Watched) charts() []chart {
	queue := func(name, stat string) metric {
		return metric{"", "AWS/SQS", name, stat, pulumi.StringMap{"QueueName": w.Queue}}
	}
	group := func(of pulumi.StringInput) metric {
		return metric{"", "AWS/AutoScaling", inService, "Average", pulumi.StringMap{"AutoScalingGroupName": of}}
	}
	server, worker := w.own(settings.Server), w.own(settings.Worker)
	mine := func(dimensions pulumi.StringMap, stat string, names ...string) []metric {
		var out []metric
		for _, n := range names {
			out = append(out, metric{"", settings.MetricNamespace, n, stat, dimensions})
		}
		return out
	}
	table := func(name, operation string) metric {
		return metric{"", "AWS/DynamoDB", name, "p95",
			pulumi.StringMap{"TableName": w.Table, "Operation": pulumi.String(operation)}}
	}
	return []chart{
		{"Age of the oldest unfinished photo, s", mine(worker, "Maximum", settings.MetricOldestUnfinished)},
		{"Requests, errors, refusals per minute",
			mine(server, "Sum", settings.MetricRequests, settings.MetricServerErrors, settings.MetricPlanned503)},
		{"Request time, ms, 95 %", mine(server, "p95", settings.MetricRequestTime)},
		{"Jobs per minute", mine(worker, "Sum", settings.MetricJobsDone, settings.MetricJobsGivenUp,
			settings.MetricJobsRetried)},
		{"Queue and dead letters",
			[]metric{queue("ApproximateNumberOfMessagesVisible", "Maximum"),
				queue("ApproximateNumberOfMessagesNotVisible", "Maximum"),
				{"", "AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", pulumi.StringMap{"QueueName": w.DeadLetters}}}},
		{"Wait and work of a job, ms, 95 %", mine(worker, "p95", settings.MetricQueueWait, settings.MetricJobTime)},
		{"Instances in service", []metric{group(w.ServerGroup), group(w.WorkerGroup)}},
		{"Table latency, ms, 95 %",
			[]metric{table("SuccessfulRequestLatency", "GetItem"), table("SuccessfulRequestLatency", "UpdateItem")}},
	}
}

// dashboard creates the CloudWatch dashboard.
func (a *Alarms) dashboard(ctx *pulumi.Context, name string, w Watched) error {
	// Names arrive together, in the order in which the charts ask for them.
	var inputs []any
	charts := w.charts()
	for _, c := range charts {
		for _, m := range c.metrics {
			inputs = append(inputs, m.dimensions)
		}
	}
	body := pulumi.All(inputs...).ApplyT(func(values []any) (string, error) {
		next := 0
		return render(w.Region, charts, func() map[string]string {
			next++
			return values[next-1].(map[string]string)
		})
	}).(pulumi.StringOutput)
	_, err := cloudwatch.NewDashboard(ctx, name,
		&cloudwatch.DashboardArgs{DashboardName: pulumi.String(name), DashboardBody: body}, pulumi.Parent(a))
	return err
}

// render returns the dashboard body; dimensions returns the dimensions of the next metric.
func render(region string, charts []chart, dimensions func() map[string]string) (string, error) {
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
			line := []any{m.namespace, m.name}
			d := dimensions()
			for _, k := range slices.Sorted(maps.Keys(d)) {
				line = append(line, k, d[k])
			}
			p.Metrics = append(p.Metrics, append(line, map[string]string{"stat": m.stat}))
		}
		widgets = append(widgets, widget{"metric", 12 * (i % 2), 6 * (i / 2), 12, 6, p})
	}
	b, err := json.Marshal(map[string]any{"widgets": widgets})
	if err != nil {
		return "", fmt.Errorf("render the dashboard: %w", err)
	}
	return string(b), nil
}
