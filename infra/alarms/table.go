package alarms

import (
	"slices"
	"strconv"
	"time"

	"imagery/app/deploy/settings"
)

const (
	above = "GreaterThanThreshold"
	below = "LessThanThreshold"
)

// alarm is one alarm definition. Texts and the values of dimensions may use the keys of Watched.Names in braces. The
// runbook has a section with the alarm's name.
//
// Missing data is good: many metrics have data only after the first use, or only after an error. Where missing data is
// the fault itself, an expression compares the metric with one that AWS publishes.
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
}

type metric struct {
	id         string
	of         source
	name, stat string // Maximum, Sum, ... or a percentile such as p95
}

// source holds what the metrics of one resource have in common.
type source struct {
	namespace  string
	dimensions map[string]string
}

// one returns the metric of an alarm without an expression.
func one(of source, name, stat string) []metric { return []metric{{"m", of, name, stat}} }

var (
	servers      = writtenBy(settings.Server)
	workers      = writtenBy(settings.Worker)
	queue        = source{"AWS/SQS", map[string]string{"QueueName": "{queue}"}}
	deadLetters  = source{"AWS/SQS", map[string]string{"QueueName": "{deadLetters}"}}
	serverGroup  = source{"AWS/AutoScaling", map[string]string{"AutoScalingGroupName": "{serverGroup}"}}
	workerGroup  = source{"AWS/AutoScaling", map[string]string{"AutoScalingGroupName": "{workerGroup}"}}
	loadBalancer = source{"AWS/ApplicationELB", map[string]string{"LoadBalancer": "{balancer}"}}
	targets      = source{"AWS/ApplicationELB",
		map[string]string{"LoadBalancer": "{balancer}", "TargetGroup": "{targets}"}}
	wholeTable = source{"AWS/DynamoDB", map[string]string{"TableName": "{table}"}}
)

// writtenBy returns the source of the metrics that the instances of a role write themselves.
func writtenBy(role settings.Role) source {
	return source{settings.MetricNamespace,
		map[string]string{settings.DimensionStack: "{stack}", settings.DimensionRole: string(role)}}
}

// requests returns the source of the metrics that DynamoDB counts for each operation.
func requests(operation string) source {
	return source{"AWS/DynamoDB", map[string]string{"TableName": "{table}", "Operation": operation}}
}

// rows returns all alarm definitions.
func (w Watched) rows() []alarm {
	return slices.Concat(photos, processes, w.machines(), table)
}

// photos lists the alarms on photos that are late or not processed.
var photos = []alarm{
	// One message is enough: its photo will not be processed without manual action.
	{name: "dead-letters", means: "One or more photos failed every processing attempt and are in the dead-letter " +
		"queue. They need manual action.",
		do: "imagery dlq ls -table {table} -bucket {bucket} -queue-url {queueUrl}; fix the cause; imagery dlq " +
			"redrive with the same flags.",
		metrics: one(deadLetters, "ApproximateNumberOfMessagesVisible", "Maximum"),
		compare: above, period: 60, datapoints: 1, of: 1},
	// Five minutes is twice the time after which a message of a worker that died is received again.
	{name: "queue-age", means: "A photo has waited in the queue for more than five minutes: there are too few " +
		"workers, or they are stuck or lack permissions.",
		do: "imagery status --stack {stack}; aws autoscaling describe-scaling-activities --auto-scaling-group-name " +
			"{workerGroup}; aws logs tail {workerLogs}.",
		metrics: one(queue, "ApproximateAgeOfOldestMessage", "Maximum"),
		compare: above, threshold: 300, period: 60, datapoints: 3, of: 5},
	// The reconciler resends lost hints after five and ten minutes; an older image could not be repaired. The queue's
	// own age metric leaves out messages that were received three times, so it does not show this.
	// Heartbeats without a completed reconciler pass count as lag, too, since lost hints are then not repaired.
	// Before the first heartbeat there is no value.
	{name: "lag", means: "A photo has been unfinished for more than 15 minutes, or no worker completes a reconciler " +
		"pass, which resends lost messages.",
		do: "imagery status --stack {stack} names the oldest image; imagery why ID --stack {stack}; " +
			"aws logs tail {workerLogs} --since 30m.",
		metrics: []metric{{"oldest", workers, settings.MetricOldestUnfinished, "Maximum"},
			{"beats", workers, settings.MetricHeartbeat, "Sum"}},
		expression: "IF(FILL(oldest, -1) < 0, IF(beats > 0, 901, 0), oldest)",
		compare:    above, threshold: 900, period: 300, datapoints: 2, of: 2},
}

// processes lists the alarms on metrics that servers and workers write themselves. Only these guard a rollout: dead
// letters stay until an operator acts and would block the release that fixes them, and the load balancer's latency and
// 5xx metrics include long polls, slow uploads and planned refusals.
var processes = []alarm{
	// Below 50 requests a minute the error rate is not significant.
	{name: "server-errors", guard: settings.Server, means: "More than 2 % of the requests fail with an unplanned 5xx.",
		do: "imagery status --stack {stack}; aws logs tail {serverLogs} --filter-pattern ERROR; if a new release caused " +
			"it, deploy the previous one.",
		metrics: []metric{{"requests", servers, settings.MetricRequests, "Sum"},
			{"errors", servers, settings.MetricServerErrors, "Sum"}},
		expression: "IF(requests > 50, 100 * FILL(errors, 0) / requests, 0)",
		compare:    above, threshold: 2, period: 60, datapoints: 2, of: 3},
	// A few uploads over slow connections are normal, one request in twenty is not.
	{name: "server-latency", guard: settings.Server,
		means:   "One request in twenty takes more than five seconds, not counting long polls.",
		do:      "imagery status --stack {stack}; check the table's latency on the dashboard; aws logs tail {serverLogs}.",
		metrics: one(servers, settings.MetricRequestTime, "p95"),
		compare: above, threshold: 5000, period: 60, datapoints: 3, of: 3},
	// Not a guard: a server without free memory is meant to refuse uploads.
	{name: "server-full", means: "Servers refuse uploads because their memory is in use. Clients retry, but there are " +
		"too few servers.",
		do:      "imagery status --stack {stack}; raise serverMax, or lower requestsPerTarget, and run pulumi up.",
		metrics: one(servers, settings.MetricPlanned503, "Sum"),
		compare: above, threshold: 10, period: 60, datapoints: 3, of: 5},
	// Half, since users may upload broken photos; the alarm detects a release that fails on all of them.
	{name: "worker-failures", guard: settings.Worker, means: "More than half of the jobs fail or are retried.",
		do: "imagery status --stack {stack}; aws logs tail {workerLogs} --filter-pattern ERROR; if a new release caused " +
			"it, deploy the previous one, then imagery requeue --failed --since 2h --stack {stack}.",
		metrics: []metric{{"jobs", workers, settings.MetricJobs, "Sum"},
			{"retried", workers, settings.MetricJobsRetried, "Sum"},
			{"lost", workers, settings.MetricJobsGivenUp, "Sum"}},
		expression: "IF(jobs > 20, 100 * (FILL(retried, 0) + FILL(lost, 0)) / jobs, 0)",
		compare:    above, threshold: 50, period: 60, datapoints: 3, of: 3},
}

// machines returns the instance health alarms.
func (w Watched) machines() []alarm {
	return []alarm{
		// Only responses that the load balancer generates; servers count their own.
		{name: "balancer-errors",
			means: "The load balancer itself returns 5xx: no healthy server accepts the request, or a server closes " +
				"connections early.",
			do: "imagery status --stack {stack}; aws elbv2 describe-target-health --target-group-arn {targetGroup}; aws " +
				"logs tail {serverLogs}.",
			metrics: one(loadBalancer, "HTTPCode_ELB_5XX_Count", "Sum"),
			compare: above, threshold: 10, period: 60, datapoints: 3, of: 5},
		{name: "servers-unhealthy", means: "A server fails its health check and will be replaced.",
			do:      "imagery status --stack {stack}; aws elbv2 describe-target-health --target-group-arn {targetGroup}.",
			metrics: one(targets, "UnHealthyHostCount", "Maximum"),
			compare: above, period: 60, datapoints: 3, of: 3},
		// The group's own metric exists, with value 0, from its creation. Ten minutes are longer than the first boot and
		// than the three minutes of a replacement. The load balancer reports its metric for each of its nodes, and a node
		// that AWS adds has no healthy server at first.
		{name: "servers-low", means: "Fewer servers in service than serverMin, " + strconv.Itoa(w.ServerMin) +
			": losing one more may be an outage.",
			do: "imagery status --stack {stack}; " +
				"aws autoscaling describe-scaling-activities --auto-scaling-group-name {serverGroup}.",
			metrics: one(serverGroup, inService, "Minimum"),
			compare: below, threshold: float64(w.ServerMin), period: 60, datapoints: 10, of: 10},
		{name: "workers-low", means: "Fewer workers in service than workerMin, " + strconv.Itoa(w.WorkerMin) + ".",
			do: "imagery status --stack {stack}; aws autoscaling describe-scaling-activities --auto-scaling-group-name " +
				"{workerGroup}.",
			metrics: one(workerGroup, inService, "Minimum"),
			compare: below, threshold: float64(w.WorkerMin), period: 60, datapoints: 10, of: 10},
		silent(settings.Server, servers, serverGroup),
		silent(settings.Worker, workers, workerGroup),
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
func silent(role settings.Role, instances, group source) alarm {
	each := strconv.Itoa(int(silentPeriod / settings.HeartbeatEvery))
	return alarm{name: string(role) + "s-silent",
		means: "A " + string(role) + " in service sends no logs and no metrics: alarms and rollouts cannot detect its " +
			"failures.",
		do: "imagery status --stack {stack}; aws logs tail {" + string(role) + "Logs} --since 5m --filter-pattern " +
			"heartbeat; replace the instance without a line with aws autoscaling " +
			"terminate-instance-in-auto-scaling-group (group {" + string(role) + "Group}).",
		metrics: []metric{{"instances", group, inService, "Minimum"},
			{"beats", instances, settings.MetricHeartbeat, "Sum"}},
		expression: "instances - FILL(beats, 0) / " + each,
		compare:    above, threshold: 0.5, period: int(silentPeriod / time.Second), datapoints: 3, of: 3}
}

// table lists the alarms on the DynamoDB table.
var table = []alarm{
	// Events of the whole table; ThrottledRequests is counted per operation only.
	{name: "table-throttled", means: "DynamoDB throttles requests to {table}. They are retried, so photos are delayed.",
		do: "imagery status --stack {stack}; aws logs tail {serverLogs}: is one image requested again and again?",
		metrics: []metric{{"reads", wholeTable, "ReadThrottleEvents", "Sum"},
			{"writes", wholeTable, "WriteThrottleEvents", "Sum"}},
		expression: "FILL(reads, 0) + FILL(writes, 0)",
		compare:    above, period: 60, datapoints: 3, of: 5},
	{name: "table-errors", means: "DynamoDB returns 5xx for {table}. Requests are retried, so photos are delayed.",
		do: "imagery doctor --stack {stack}; check health.aws.amazon.com for the region; no data is lost meanwhile.",
		metrics: []metric{{"gets", requests("GetItem"), "SystemErrors", "Sum"},
			{"puts", requests("PutItem"), "SystemErrors", "Sum"}, {"updates", requests("UpdateItem"), "SystemErrors", "Sum"},
			{"queries", requests("Query"), "SystemErrors", "Sum"}},
		expression: "FILL(gets, 0) + FILL(puts, 0) + FILL(updates, 0) + FILL(queries, 0)",
		compare:    above, period: 60, datapoints: 3, of: 5},
}
