package main

import (
	"fmt"
	"slices"
	"strings"

	"imagery/app/deploy/settings"
	"imagery/infra/testing/pulumitest"
)

var alarmProperties = []property{
	{name: "alarms look at outputs of this stack, never at typed names",
		check: func(g *pulumitest.Graph) error {
			for _, a := range g.Of("MetricAlarm") {
				for _, d := range dimensionsOf(a) {
					for k, v := range d {
						typed := k == "Operation" || k == settings.DimensionStack && v == "test" || k == settings.DimensionRole &&
							slices.Contains(roles, v.(string))
						if !typed && !slices.ContainsFunc(g.Resources, func(r *pulumitest.Resource) bool { return owns(r, v.(string)) }) {
							return fmt.Errorf("%s looks at %s %v", a.Name, k, v)
						}
					}
				}
				if len(dimensionsOf(a)) == 0 {
					return fmt.Errorf("%s looks at nothing", a.Name)
				}
			}
			return nil
		}, damage: func(g *pulumitest.Graph) {
			g.One("MetricAlarm", "-dead-letters").Set("dimensions.QueueName", "imagery-dlq")
		}},
	{name: "each alarm looks at what its name says", check: func(g *pulumitest.Graph) error {
		q, dead := g.One("Queue", "-queue"), g.One("Queue", "-dead-letters")
		for name, want := range map[string]string{
			"-dead-letters": pulumitest.Mark(dead.Type, dead.Name, "name"),
			"-queue-age":    pulumitest.Mark(q.Type, q.Name, "name"),
		} {
			if got := g.One("MetricAlarm", name).Text("dimensions.QueueName"); got != want {
				return fmt.Errorf("%s looks at %s", name, got)
			}
		}
		for _, role := range roles {
			a, group := g.One("MetricAlarm", "-"+role+"s-low"), g.One(asg, "-"+role)
			if a.Text("dimensions.AutoScalingGroupName") != group.Text("name") ||
				a.Number("threshold") != group.Number("minSize") || a.Text("metricName") != "GroupInServiceInstances" {
				return fmt.Errorf("%s looks at another group or number", a.Name)
			}
			a = g.One("MetricAlarm", "-"+role+"s-silent")
			var seen []string
			for _, d := range dimensionsOf(a) {
				seen = append(seen, fmt.Sprint(d["AutoScalingGroupName"], d[settings.DimensionRole]))
			}
			if want := []string{group.Text("name") + "<nil>", "<nil>" + role}; !slices.Equal(seen, want) {
				return fmt.Errorf("%s looks at %v, not at %v", a.Name, seen, want)
			}
		}
		return nil
	}, damage: func(g *pulumitest.Graph) {
		g.One("MetricAlarm", "-queue-age").Set("dimensions.QueueName",
			g.One("MetricAlarm", "-dead-letters").Text("dimensions.QueueName"))
	}},
	{name: "every alarm tells the topic, also when it is over", check: func(g *pulumitest.Graph) error {
		t := g.Of("Topic")[0]
		for _, a := range g.Of("MetricAlarm") {
			for _, p := range []string{"alarmActions", "okActions"} {
				if !slices.Equal(a.Texts(p), []string{pulumitest.Mark(t.Type, t.Name, "arn")}) {
					return fmt.Errorf("%s: %s %v", a.Name, p, a.Texts(p))
				}
			}
		}
		return nil
	}, damage: set("MetricAlarm", "alarmActions", []any{})},
	{name: "every alarm says what it means and what to type", check: func(g *pulumitest.Graph) error {
		for _, a := range g.Of("MetricAlarm") {
			d := a.Text("alarmDescription")
			if !strings.Contains(d, ". Do: ") || !strings.Contains(d, " More: docs/runbook.md#") ||
				strings.ContainsAny(d, "{}") || len(d) > 1024 {
				return fmt.Errorf("%s: %q", a.Name, d)
			}
		}
		return nil
	}, damage: set("MetricAlarm", "alarmDescription", "{table}")},
	fixed("MetricAlarm", "treatMissingData", "notBreaching", "breaching"), // no alarm rings because it has no data yet
	{name: "a group that fills for the first time rings nothing", check: func(g *pulumitest.Graph) error {
		for _, role := range roles {
			a := g.One("MetricAlarm", "-"+role+"s-low")
			points := a.Number("datapointsToAlarm")
			if a.Number("period")*points < 600 || points != a.Number("evaluationPeriods") {
				return fmt.Errorf("%s rings within ten minutes", a.Name)
			}
		}
		return nil
	}, damage: func(g *pulumitest.Graph) { g.One("MetricAlarm", "-servers-low").Set("datapointsToAlarm", 3.0) }},
	{name: "CloudWatch may publish to the topic, for this account only, and no key stands between",
		check: func(g *pulumitest.Graph) error {
			p := g.Of("TopicPolicy")[0].Text("policy")
			if g.Of("Topic")[0].Get("kmsMasterKeyId") != nil {
				return fmt.Errorf("the topic has a key")
			}
			for _, want := range []string{`"Service":["cloudwatch.amazonaws.com"]`, `"sns:Publish"`,
				`"aws:SourceAccount":["111122223333"]`, ":alarm:*"} {
				if !strings.Contains(p, want) {
					return fmt.Errorf("the policy lacks %s: %s", want, p)
				}
			}
			return nil
		}, damage: set("Topic", "kmsMasterKeyId", "alias/aws/sns")},
}

// dimensionsOf collects the dimensions of an alarm, of one metric or of several.
func dimensionsOf(a *pulumitest.Resource) []map[string]any {
	var out []map[string]any
	if d, ok := a.Get("dimensions").(map[string]any); ok {
		out = append(out, d)
	}
	queries, _ := a.Get("metricQueries").([]any)
	for i := range queries {
		if d, ok := a.Get(fmt.Sprintf("metricQueries.%d.metric.dimensions", i)).(map[string]any); ok {
			out = append(out, d)
		}
	}
	return out
}

// owns reports whether a value is a name that the cloud, or the program, gave to this resource.
func owns(r *pulumitest.Resource, value string) bool {
	for _, p := range []string{"name", "arnSuffix"} {
		if value == pulumitest.Mark(r.Type, r.Name, p) {
			return true
		}
	}
	return r.Type == asg && r.Text("name") == value
}
