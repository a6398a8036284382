// Package alarms creates a stack's CloudWatch alarms, the SNS topic that they notify, and a dashboard.
package alarms

import (
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/sns"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/app/deploy/settings"
	"imagery/infra/must"
	"imagery/infra/policy"
)

// Runbook is the page with a section for each alarm.
const Runbook = "docs/runbook.md"

// Watched describes the monitored stack.
type Watched struct {
	Stack, Region, AccountID, Partition string
	Email                               string // empty: no notifications
	ServerMin, WorkerMin                int
	// Names holds the values of the placeholders in texts and dimensions. They are outputs of the resources: an alarm on
	// a mistyped name would never fire.
	Names pulumi.StringMap
}

// Alarms is the component.
type Alarms struct {
	pulumi.ResourceState

	Topic        *sns.Topic
	Subscription *sns.TopicSubscription // nil without an address
	// Guards holds, by role, the names of the alarms that roll a release back.
	Guards map[settings.Role]pulumi.StringArray
}

// Watch creates the topic, an alarm for each row of the table, and the dashboard.
func Watch(ctx *pulumi.Context, name string, w Watched, opts ...pulumi.ResourceOption) *Alarms {
	a := &Alarms{Guards: map[settings.Role]pulumi.StringArray{}}
	must.OK(ctx.RegisterComponentResource("imagery:infra:Alarms", name, a, opts...))
	a.topic(ctx, name, w)
	for _, row := range w.rows() {
		args := row.args(w)
		args.AlarmDescription = w.filled(row.text())
		// The topic also receives the return to OK.
		args.AlarmActions, args.OkActions = pulumi.Array{a.Topic.Arn}, pulumi.Array{a.Topic.Arn}
		made := must.Get(cloudwatch.NewMetricAlarm(ctx, name+"-"+row.name, args, pulumi.Parent(a)))
		if row.guard != "" {
			a.Guards[row.guard] = append(a.Guards[row.guard], made.Name)
		}
	}
	must.Get(cloudwatch.NewDashboard(ctx, name, &cloudwatch.DashboardArgs{
		DashboardName: pulumi.String(name), DashboardBody: w.filled(dashboard(w.Region)),
	}, pulumi.Parent(a)))
	must.OK(ctx.RegisterResourceOutputs(a, pulumi.Map{"topic": a.Topic.Arn}))
	return a
}

// text returns the alarm description, which CloudWatch limits to 1024 characters.
func (r alarm) text() string {
	return r.means + " Do: " + r.do + " More: " + Runbook + "#" + r.name
}

// args returns the provider's arguments: a single metric, or an expression over several.
func (r alarm) args(w Watched) *cloudwatch.MetricAlarmArgs {
	args := &cloudwatch.MetricAlarmArgs{
		ComparisonOperator: pulumi.String(r.compare), Threshold: pulumi.Float64(r.threshold),
		EvaluationPeriods: pulumi.Int(r.of), DatapointsToAlarm: pulumi.Int(r.datapoints),
		TreatMissingData: pulumi.String("notBreaching"),
	}
	if r.expression == "" {
		m := r.metrics[0]
		args.Namespace, args.MetricName = pulumi.String(m.of.namespace), pulumi.String(m.name)
		args.Period, args.Dimensions = pulumi.Int(r.period), w.dimensions(m)
		if strings.HasPrefix(m.stat, "p") {
			args.ExtendedStatistic = pulumi.String(m.stat)
			args.EvaluateLowSampleCountPercentiles = pulumi.String("ignore") // a percentile of three requests is not significant
		} else {
			args.Statistic = pulumi.String(m.stat)
		}
		return args
	}
	queries := cloudwatch.MetricAlarmMetricQueryArray{cloudwatch.MetricAlarmMetricQueryArgs{
		Id: pulumi.String("result"), Expression: pulumi.String(r.expression), Label: pulumi.String(r.name),
		ReturnData: pulumi.Bool(true),
	}}
	for _, m := range r.metrics {
		queries = append(queries, cloudwatch.MetricAlarmMetricQueryArgs{
			Id: pulumi.String(m.id), ReturnData: pulumi.Bool(false),
			Metric: cloudwatch.MetricAlarmMetricQueryMetricArgs{
				Namespace: pulumi.String(m.of.namespace), MetricName: pulumi.String(m.name), Stat: pulumi.String(m.stat),
				Period: pulumi.Int(r.period), Dimensions: w.dimensions(m)}})
	}
	args.MetricQueries = queries
	return args
}

func (w Watched) dimensions(m metric) pulumi.StringMap {
	out := pulumi.StringMap{}
	for name, value := range m.of.dimensions {
		out[name] = w.filled(value)
	}
	return out
}

// topic creates the topic without encryption by a KMS key: CloudWatch has no access to the AWS managed key of SNS, and
// notifications would be lost.
func (a *Alarms) topic(ctx *pulumi.Context, name string, w Watched) {
	a.Topic = must.Get(sns.NewTopic(ctx, name+"-alarms", &sns.TopicArgs{}, pulumi.Parent(a)))
	document := a.Topic.Arn.ApplyT(func(arn string) string {
		return policy.JSON(policy.Statement{
			Sid: "Alarms", Effect: policy.Allow, Principal: policy.Principals{"Service": {"cloudwatch.amazonaws.com"}},
			Action: []string{"sns:Publish"}, Resource: []string{arn},
			Condition: policy.Conditions{
				"ArnLike": {"aws:SourceArn": {
					"arn:" + w.Partition + ":cloudwatch:" + w.Region + ":" + w.AccountID + ":alarm:*"}},
				"StringEquals": {"aws:SourceAccount": {w.AccountID}},
			},
		})
	}).(pulumi.StringOutput)
	must.Get(sns.NewTopicPolicy(ctx, name+"-alarms", &sns.TopicPolicyArgs{Arn: a.Topic.Arn, Policy: document},
		pulumi.Parent(a)))
	if w.Email != "" {
		a.Subscription = must.Get(sns.NewTopicSubscription(ctx, name+"-alarms", &sns.TopicSubscriptionArgs{
			Topic: a.Topic.Arn, Protocol: pulumi.String("email"), Endpoint: pulumi.String(w.Email),
		}, pulumi.Parent(a)))
	}
}

// filled replaces the placeholders in a text, so that commands can be pasted unchanged. The result depends only on the
// resources that the text names.
func (w Watched) filled(text string) pulumi.StringOutput {
	used := pulumi.StringMap{}
	for name, value := range w.Names {
		if strings.Contains(text, "{"+name+"}") {
			used[name] = value
		}
	}
	return used.ToStringMapOutput().ApplyT(func(names map[string]string) string {
		return fill(text, names)
	}).(pulumi.StringOutput)
}

func fill(text string, names map[string]string) string {
	for name, value := range names {
		text = strings.ReplaceAll(text, "{"+name+"}", value)
	}
	return text
}
