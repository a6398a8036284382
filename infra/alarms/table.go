package alarms

import (
	"slices"
	"strconv"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/app/deploy/settings"
)

// missingOK treats missing data as good: many metrics have data only after the first use, or only after an error.
// Where missing data is the fault itself, an expression compares the metric with one that AWS publishes.
const missingOK = "notBreaching"

const (
	above = "GreaterThanThreshold"
	below = "LessThanThreshold"
)

// alarm is one alarm definition. Texts may use the keys of Watched.names in braces. The runbook has a section with the
// alarm's name.
type alarm struct {
	name  string
	guard settings.Role // a rollout of this role rolls back while the alarm is in ALARM; "" for none
	means string
	do    string

	metrics    []metric
	expression string // over the ids of metrics; "" if there is only one

	compare    string
	threshold  float64
	period     int // seconds
	datapoints int // breaching periods that trigger the alarm
	of         int // out of this many periods
	missing    string
}

type metric struct {
	id, namespace, name string
	stat                string // Maximum, Sum, ... or a percentile such as p95
	dimensions          pulumi.StringMap
}

// one returns the metric of an alarm without an expression.
func one(namespace, name, stat string, dimensions pulumi.StringMap) []metric {
	return []metric{{"m", namespace, name, stat, dimensions}}
}

// rows returns all alarm definitions.
func (w Watched) rows() []alarm {
	return slices.Concat(w.photos(), w.processes(), w.machines(), w.table())
}

// photos returns the alarms on photos that are late or not processed.
func (w Watched) photos() []alarm {
	queue := pulumi.StringMap{"QueueName": w.Queue}
	dead := pulumi.StringMap{"QueueName": w.DeadLetters}
	worker := w.own(settings.Worker)
	return []alarm{
		// One message is enough: its photo will not be processed without manual action.
		{name: "dead-letters", means: "One or more photos failed every processing attempt and are in the dead-letter " +
			"queue. They need manual action.",
			do: "imagery dlq ls -table {table} -bucket {bucket} -queue-url {queueUrl}; fix the cause; imagery dlq " +
				"redrive with the same flags.",
			metrics: one("AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", dead),
			compare: above, period: 60, datapoints: 1, of: 1, missing: missingOK},
		// Five minutes is twice the time after which a message of a worker that died is received again.
		{name: "queue-age", means: "A photo has waited in the queue for more than five minutes: there are too few " +
			"workers, or they are stuck or lack permissions.",
			do: "imagery status --stack {stack}; aws autoscaling describe-scaling-activities --auto-scaling-group-name " +
				"{workerGroup}; aws logs tail {workerLogs}.",
			metrics: one("AWS/SQS", "ApproximateAgeOfOldestMessage", "Maximum", queue),
			compare: above, threshold: 300, period: 60, datapoints: 3, of: 5, missing: missingOK},
		// The reconciler resends lost hints after five and ten minutes; an older image could not be repaired. The queue's
		// own age metric leaves out messages that were received three times, so it does not show this.
		// Heartbeats without a completed reconciler pass count as lag, too, since lost hints are then not repaired.
		// Before the first heartbeat there is no value.
		{name: "lag", means: "A photo has been unfinished for more than 15 minutes, or no worker completes a reconciler " +
			"pass, which resends lost messages.",
			do: "imagery status --stack {stack} names the oldest image; imagery why ID --stack {stack}; " +
				"aws logs tail {workerLogs} --since 30m.",
			metrics: []metric{{"oldest", settings.MetricNamespace, settings.MetricOldestUnfinished, "Maximum", worker},
				{"beats", settings.MetricNamespace, settings.MetricHeartbeat, "Sum", worker}},
			expression: "IF(FILL(oldest, -1) < 0, IF(beats > 0, 901, 0), oldest)",
			compare:    above, threshold: 900, period: 300, datapoints: 2, of: 2, missing: missingOK},
	}
}

// processes returns the alarms on metrics that servers and workers write themselves. Only these guard a rollout: dead
// letters stay until an operator acts and would block the release that fixes them, and the load balancer's latency and
// 5xx metrics include long polls, slow uploads and planned refusals.
func (w Watched) processes() []alarm {
	server, worker := w.own(settings.Server), w.own(settings.Worker)
	own := settings.MetricNamespace
	return []alarm{
		// Below 50 requests a minute the error rate is not significant.
		{name: "server-errors", guard: settings.Server, means: "More than 2 % of the requests fail with an unplanned 5xx.",
			do: "imagery status --stack {stack}; aws logs tail {serverLogs} --filter-pattern ERROR; if a new release caused " +
				"it, deploy the previous one.",
			metrics: []metric{{"requests", own, settings.MetricRequests, "Sum", server},
				{"errors", own, settings.MetricServerErrors, "Sum", server}},
			expression: "IF(requests > 50, 100 * FILL(errors, 0) / requests, 0)",
			compare:    above, threshold: 2, period: 60, datapoints: 2, of: 3, missing: missingOK},
		// A few uploads over slow connections are normal, one request in twenty is not.
		{name: "server-latency", guard: settings.Server,
			means:   "One request in twenty takes more than five seconds, not counting long polls.",
			do:      "imagery status --stack {stack}; check the table's latency on the dashboard; aws logs tail {serverLogs}.",
			metrics: one(own, settings.MetricRequestTime, "p95", server),
			compare: above, threshold: 5000, period: 60, datapoints: 3, of: 3, missing: missingOK},
		// Not a guard: a server without free memory is meant to refuse uploads.
		{name: "server-full", means: "Servers refuse uploads because their memory is in use. Clients retry, but there are " +
			"too few servers.",
			do:      "imagery status --stack {stack}; raise serverMax, or lower requestsPerTarget, and run pulumi up.",
			metrics: one(own, settings.MetricPlanned503, "Sum", server),
			compare: above, threshold: 10, period: 60, datapoints: 3, of: 5, missing: missingOK},
		// Half, since users may upload broken photos; the alarm detects a release that fails on all of them.
		{name: "worker-failures", guard: settings.Worker, means: "More than half of the jobs fail or are retried.",
			do: "imagery status --stack {stack}; aws logs tail {workerLogs} --filter-pattern ERROR; if a new release caused " +
				"it, deploy the previous one, then imagery requeue --failed --since 2h --stack {stack}.",
			metrics: []metric{{"jobs", own, settings.MetricJobs, "Sum", worker},
				{"retried", own, settings.MetricJobsRetried, "Sum", worker},
				{"lost", own, settings.MetricJobsGivenUp, "Sum", worker}},
			expression: "IF(jobs > 20, 100 * (FILL(retried, 0) + FILL(lost, 0)) / jobs, 0)",
			compare:    above, threshold: 50, period: 60, datapoints: 3, of: 3, missing: missingOK},
	}
}

// machines returns the instance health alarms.
func (w Watched) machines() []alarm {
	targets := pulumi.StringMap{"LoadBalancer": w.Balancer, "TargetGroup": w.Targets}
	servers := pulumi.StringMap{"AutoScalingGroupName": w.ServerGroup}
	workers := pulumi.StringMap{"AutoScalingGroupName": w.WorkerGroup}
	return []alarm{
		// Only responses that the load balancer generates; servers count their own.
		{name: "balancer-errors",
			means: "The load balancer itself returns 5xx: no healthy server accepts the request, or a server closes " +
				"connections early.",
			do: "imagery status --stack {stack}; aws elbv2 describe-target-health --target-group-arn {targetGroup}; aws " +
				"logs tail {serverLogs}.",
			metrics: one("AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", "Sum", pulumi.StringMap{"LoadBalancer": w.Balancer}),
			compare: above, threshold: 10, period: 60, datapoints: 3, of: 5, missing: missingOK},
		{name: "servers-unhealthy", means: "A server fails its health check and will be replaced.",
			do:      "imagery status --stack {stack}; aws elbv2 describe-target-health --target-group-arn {targetGroup}.",
			metrics: one("AWS/ApplicationELB", "UnHealthyHostCount", "Maximum", targets),
			compare: above, period: 60, datapoints: 3, of: 3, missing: missingOK},
		// The group's own metric exists, with value 0, from its creation. Ten minutes are longer than the first boot and
		// than the three minutes of a replacement. The load balancer reports its metric for each of its nodes, and a node
		// that AWS adds has no healthy server at first.
		{name: "servers-low", means: "Fewer servers in service than serverMin, " + strconv.Itoa(w.ServerMin) +
			": losing one more may be an outage.",
			do: "imagery status --stack {stack}; " +
				"aws autoscaling describe-scaling-activities --auto-scaling-group-name {serverGroup}.",
			metrics: one("AWS/AutoScaling", inService, "Minimum", servers),
			compare: below, threshold: float64(w.ServerMin), period: 60, datapoints: 10, of: 10, missing: missingOK},
		{name: "workers-low", means: "Fewer workers in service than workerMin, " + strconv.Itoa(w.WorkerMin) + ".",
			do: "imagery status --stack {stack}; aws autoscaling describe-scaling-activities --auto-scaling-group-name " +
				"{workerGroup}.",
			metrics: one("AWS/AutoScaling", inService, "Minimum", workers),
			compare: below, threshold: float64(w.WorkerMin), period: 60, datapoints: 10, of: 10, missing: missingOK},
		w.silent("servers-silent", settings.Server, servers, "{serverLogs}", "{serverGroup}"),
		w.silent("workers-silent", settings.Worker, workers, "{workerLogs}", "{workerGroup}"),
	}
}

// inService is the metric of a group that counts the instances in service.
const inService = "GroupInServiceInstances"

// silentPeriod is the period of the alarms on instances that send no logs.
const silentPeriod = 5 * time.Minute

// silent returns an alarm that fires when fewer heartbeats of a role arrive than its group has instances in service: at
// least one instance does not ship its log, and with it none of the metrics that guard a rollout. A sum over the role
// needs no metric for each instance. Half an instance is tolerance for heartbeats that fall into the next period. Three
// periods are the time for installing the agent, which then ships earlier lines with their original timestamps.
func (w Watched) silent(name string, role settings.Role, group pulumi.StringMap, logs, groupName string) alarm {
	each := strconv.Itoa(int(silentPeriod / settings.HeartbeatEvery))
	return alarm{name: name,
		means: "A " + string(role) + " in service sends no logs and no metrics: alarms and rollouts cannot detect its " +
			"failures.",
		do: "imagery status --stack {stack}; " +
			"aws logs tail " + logs + " --since 5m --filter-pattern heartbeat" +
			"; replace the instance without a line with aws autoscaling terminate-instance-in-auto-scaling-group " +
			"(group " + groupName + ").",
		metrics: []metric{{"instances", "AWS/AutoScaling", inService, "Minimum", group},
			{"beats", settings.MetricNamespace, settings.MetricHeartbeat, "Sum", w.own(role)}},
		expression: "instances - FILL(beats, 0) / " + each,
		compare:    above, threshold: 0.5, period: int(silentPeriod / time.Second), datapoints: 3, of: 3, missing: missingOK}
}

// table returns the alarms on the DynamoDB table.
func (w Watched) table() []alarm {
	table := pulumi.StringMap{"TableName": w.Table}
	return []alarm{
		// Events of the whole table; ThrottledRequests is counted per operation only.
		{name: "table-throttled", means: "DynamoDB throttles requests to {table}. They are retried, so photos are delayed.",
			do: "imagery status --stack {stack}; aws logs tail {serverLogs}: is one image requested again and again?",
			metrics: []metric{{"reads", "AWS/DynamoDB", "ReadThrottleEvents", "Sum", table},
				{"writes", "AWS/DynamoDB", "WriteThrottleEvents", "Sum", table}},
			expression: "FILL(reads, 0) + FILL(writes, 0)",
			compare:    above, period: 60, datapoints: 3, of: 5, missing: missingOK},
		{name: "table-errors", means: "DynamoDB returns 5xx for {table}. Requests are retried, so photos are delayed.",
			do:      "imagery doctor --stack {stack}; check health.aws.amazon.com for the region; no data is lost meanwhile.",
			metrics: w.tableErrors(), expression: "FILL(gets, 0) + FILL(puts, 0) + FILL(updates, 0) + FILL(queries, 0)",
			compare: above, period: 60, datapoints: 3, of: 5, missing: missingOK},
	}
}

// own returns the dimensions of the metrics that a role writes itself.
func (w Watched) own(role settings.Role) pulumi.StringMap {
	return pulumi.StringMap{settings.DimensionStack: pulumi.String(w.Stack),
		settings.DimensionRole: pulumi.String(string(role))}
}

// tableErrors returns one metric per operation, since DynamoDB counts its 5xx per operation only.
func (w Watched) tableErrors() []metric {
	var out []metric
	for _, o := range [][2]string{{"gets", "GetItem"}, {"puts", "PutItem"}, {"updates", "UpdateItem"},
		{"queries", "Query"}} {
		out = append(out, metric{o[0], "AWS/DynamoDB", "SystemErrors", "Sum",
			pulumi.StringMap{"TableName": w.Table, "Operation": pulumi.String(o[1])}})
	}
	return out
}
