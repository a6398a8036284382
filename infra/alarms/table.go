package alarms

import (
	"slices"
	"strconv"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/app/deploy/settings"
)

// quiet makes missing data ring no alarm: many metrics have no data yet, or only when something went wrong. Where
// silence is the fault, an expression compares it with a metric that AWS itself publishes.
const quiet = "notBreaching"

const (
	above = "GreaterThanThreshold"
	below = "LessThanThreshold"
)

// alarm is one row. Texts may use the names of Watched.names in braces; whoever is woken reads them first, and finds
// more in the section of that name in the runbook.
type alarm struct {
	name  string
	guard settings.Role // rolling out this role stops and goes back while it rings; "" for none
	means string
	do    string

	metrics    []metric
	expression string // over the ids of metrics; "" if there is only one

	compare    string
	threshold  float64
	period     int // seconds
	datapoints int // that must be over the threshold
	of         int // of this many periods
	missing    string
}

type metric struct {
	id, namespace, name string
	stat                string // Maximum, Sum, ... or a percentile such as p95
	dimensions          pulumi.StringMap
}

// one is the metric of a row that computes nothing.
func one(namespace, name, stat string, dimensions pulumi.StringMap) []metric {
	return []metric{{"m", namespace, name, stat, dimensions}}
}

// rows is everything that can wake somebody.
func (w Watched) rows() []alarm {
	return slices.Concat(w.photos(), w.processes(), w.machines(), w.table())
}

// photos are late or lost for users.
func (w Watched) photos() []alarm {
	queue := pulumi.StringMap{"QueueName": w.Queue}
	dead := pulumi.StringMap{"QueueName": w.DeadLetters}
	worker := w.own(settings.Worker)
	return []alarm{
		// One is enough, at once: it is a photo that will not be finished without a person.
		{name: "dead-letters", means: "Photos failed at every attempt and wait in the dead-letter queue for a person.",
			do:      "imagery dlq ls -table {table} -bucket {bucket} -queue-url {queueUrl}; mend the cause; imagery dlq redrive with the same flags.",
			metrics: one("AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", dead),
			compare: above, period: 60, datapoints: 1, of: 1, missing: quiet},
		// Five minutes is twice what a message that was lost with its worker waits before it is seen again.
		{name: "queue-age", means: "A photo waits in the queue for more than five minutes: workers are too few, stuck, or without rights.",
			do:      "imagery status --stack {stack}; aws autoscaling describe-scaling-activities --auto-scaling-group-name {workerGroup}; aws logs tail {workerLogs}.",
			metrics: one("AWS/SQS", "ApproximateAgeOfOldestMessage", "Maximum", queue),
			compare: above, threshold: 300, period: 60, datapoints: 3, of: 5, missing: quiet},
		// The reconciler repairs after five and ten minutes; what is older it could not repair. The queue's own
		// age leaves out messages that were received three times, so it cannot see this.
		// Workers that are heard, but of which none completes a pass, count as lag, too: lost messages are not repaired
		// then. Before the first worker is heard there is no value.
		{name: "lag", means: "A user waits for a photo for more than 15 minutes, or no worker repairs what messages lost.",
			do: "imagery status --stack {stack} names the oldest image; imagery why ID --stack {stack}; " +
				"aws logs tail {workerLogs} --since 30m.",
			metrics: []metric{{"oldest", settings.MetricNamespace, settings.MetricOldestUnfinished, "Maximum", worker},
				{"beats", settings.MetricNamespace, settings.MetricHeartbeat, "Sum", worker}},
			expression: "IF(FILL(oldest, -1) < 0, IF(beats > 0, 901, 0), oldest)",
			compare:    above, threshold: 900, period: 300, datapoints: 2, of: 2, missing: quiet},
	}
}

// processes report on themselves, and only they judge a release: dead letters stay until a person looks, and
// would block the release that mends them; the balancer's times and 5xx count long polls, slow uploads and
// planned refusals.
func (w Watched) processes() []alarm {
	server, worker := w.own(settings.Server), w.own(settings.Worker)
	own := settings.MetricNamespace
	return []alarm{
		// A ratio needs a crowd: below 50 requests a minute one failure says nothing about a release.
		{name: "server-errors", guard: settings.Server, means: "More than 2 % of the requests end in an unplanned 5xx.",
			do: "imagery status --stack {stack}; aws logs tail {serverLogs} --filter-pattern ERROR; if a release did it, deploy the one before.",
			metrics: []metric{{"requests", own, settings.MetricRequests, "Sum", server},
				{"errors", own, settings.MetricServerErrors, "Sum", server}},
			expression: "IF(requests > 50, 100 * FILL(errors, 0) / requests, 0)",
			compare:    above, threshold: 2, period: 60, datapoints: 2, of: 3, missing: quiet},
		// An upload from a slow line is slow; that one in twenty is so is not.
		{name: "server-latency", guard: settings.Server, means: "One request in twenty takes more than five seconds, long polls left out.",
			do:      "imagery status --stack {stack}; look at the table's and bucket's latency on the dashboard; aws logs tail {serverLogs}.",
			metrics: one(own, settings.MetricRequestTime, "p95", server),
			compare: above, threshold: 5000, period: 60, datapoints: 3, of: 3, missing: quiet},
		// No guard: refusing for want of room is what a server should do.
		{name: "server-full", means: "Servers refuse uploads for want of memory: clients repeat them, but there are too few servers.",
			do:      "imagery status --stack {stack}; raise serverMax, or lower requestsPerTarget, and run pulumi up.",
			metrics: one(own, settings.MetricPlanned503, "Sum", server),
			compare: above, threshold: 10, period: 60, datapoints: 3, of: 5, missing: quiet},
		// Half, since bad photos are the users' right; a release that fails all of them is meant here.
		{name: "worker-failures", guard: settings.Worker, means: "More than half of the jobs fail or are tried again.",
			do: "imagery status --stack {stack}; aws logs tail {workerLogs} --filter-pattern ERROR; if a release did it, deploy the one before, then imagery requeue --failed --since 2h --stack {stack}.",
			metrics: []metric{{"jobs", own, settings.MetricJobs, "Sum", worker}, {"retried", own, settings.MetricJobsRetried, "Sum", worker},
				{"lost", own, settings.MetricJobsGivenUp, "Sum", worker}},
			expression: "IF(jobs > 20, 100 * (FILL(retried, 0) + FILL(lost, 0)) / jobs, 0)",
			compare:    above, threshold: 50, period: 60, datapoints: 3, of: 3, missing: quiet},
	}
}

// machines are too few or ill.
func (w Watched) machines() []alarm {
	targets := pulumi.StringMap{"LoadBalancer": w.Balancer, "TargetGroup": w.Targets}
	servers := pulumi.StringMap{"AutoScalingGroupName": w.ServerGroup}
	workers := pulumi.StringMap{"AutoScalingGroupName": w.WorkerGroup}
	return []alarm{
		// Only the balancer's own answers; those of the servers are counted by the servers.
		{name: "balancer-errors", means: "The load balancer itself answers 5xx: no server takes a request, or one closes connections.",
			do:      "imagery status --stack {stack}; aws elbv2 describe-target-health --target-group-arn {targetGroup}; aws logs tail {serverLogs}.",
			metrics: one("AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", "Sum", pulumi.StringMap{"LoadBalancer": w.Balancer}),
			compare: above, threshold: 10, period: 60, datapoints: 3, of: 5, missing: quiet},
		{name: "servers-unhealthy", means: "A server fails its health check and is about to be replaced.",
			do:      "imagery status --stack {stack}; aws elbv2 describe-target-health --target-group-arn {targetGroup}.",
			metrics: one("AWS/ApplicationELB", "UnHealthyHostCount", "Maximum", targets),
			compare: above, period: 60, datapoints: 3, of: 3, missing: quiet},
		// The group's own number, which is there, and 0, from the moment when the group is made: ten minutes outlast the
		// first boot, and the three of a replacement after a death. The balancer's number would come from each of its
		// nodes, and a node that AWS adds knows no healthy server at first.
		{name: "servers-low", means: "Fewer servers in service than serverMin, " + strconv.Itoa(w.ServerMin) +
			": one more death may be an outage.",
			do: "imagery status --stack {stack}; " +
				"aws autoscaling describe-scaling-activities --auto-scaling-group-name {serverGroup}.",
			metrics: one("AWS/AutoScaling", inService, "Minimum", servers),
			compare: below, threshold: float64(w.ServerMin), period: 60, datapoints: 10, of: 10, missing: quiet},
		{name: "workers-low", means: "Fewer workers in service than workerMin, " + strconv.Itoa(w.WorkerMin) + ".",
			do:      "imagery status --stack {stack}; aws autoscaling describe-scaling-activities --auto-scaling-group-name {workerGroup}.",
			metrics: one("AWS/AutoScaling", inService, "Minimum", workers),
			compare: below, threshold: float64(w.WorkerMin), period: 60, datapoints: 10, of: 10, missing: quiet},
		w.silent("servers-silent", settings.Server, servers, "{serverLogs}", "{serverGroup}"),
		w.silent("workers-silent", settings.Worker, workers, "{workerLogs}", "{workerGroup}"),
	}
}

// inService is the metric of a group that counts the instances in service.
const inService = "GroupInServiceInstances"

// silentPeriod is the period of the alarms on silent instances.
const silentPeriod = 5 * time.Minute

// silent rings when fewer heartbeats of a role arrive than its group has instances in service: the log of at least one
// does not leave its machine, and with it no metric that judges a release. The sum needs no metric for each instance.
// Half an instance is slack for heartbeats that fall into the next period, and three periods are what an agent may take
// to be installed: it ships what was written before, with the times at which it was written.
func (w Watched) silent(name string, role settings.Role, group pulumi.StringMap, logs, groupName string) alarm {
	each := strconv.Itoa(int(silentPeriod / settings.HeartbeatEvery))
	return alarm{name: name,
		means: "A " + string(role) + " in service sends no logs and no metrics: alarms and rollouts do not see it.",
		do: "imagery status --stack {stack}; " +
			"aws logs tail " + logs + " --since 5m --filter-pattern heartbeat" +
			"; replace the instance without a line with aws autoscaling terminate-instance-in-auto-scaling-group " +
			"(group " + groupName + ").",
		metrics: []metric{{"instances", "AWS/AutoScaling", inService, "Minimum", group},
			{"beats", settings.MetricNamespace, settings.MetricHeartbeat, "Sum", w.own(role)}},
		expression: "instances - FILL(beats, 0) / " + each,
		compare:    above, threshold: 0.5, period: int(silentPeriod / time.Second), datapoints: 3, of: 3, missing: quiet}
}

// table is the dependency that everything waits for.
func (w Watched) table() []alarm {
	table := pulumi.StringMap{"TableName": w.Table}
	return []alarm{
		// The events of the table as a whole; ThrottledRequests is counted by operation only.
		{name: "table-throttled", means: "DynamoDB refuses requests to {table}; they are repeated, so photos are late.",
			do: "imagery status --stack {stack}; aws logs tail {serverLogs}: is one image asked for all the time?",
			metrics: []metric{{"reads", "AWS/DynamoDB", "ReadThrottleEvents", "Sum", table},
				{"writes", "AWS/DynamoDB", "WriteThrottleEvents", "Sum", table}},
			expression: "FILL(reads, 0) + FILL(writes, 0)",
			compare:    above, period: 60, datapoints: 3, of: 5, missing: quiet},
		{name: "table-errors", means: "DynamoDB answers 5xx for {table}; requests are repeated, so photos are late.",
			do:      "imagery doctor --stack {stack}; look at health.aws.amazon.com for the region; nothing is lost while it lasts.",
			metrics: w.tableErrors(), expression: "FILL(gets, 0) + FILL(puts, 0) + FILL(updates, 0) + FILL(queries, 0)",
			compare: above, period: 60, datapoints: 3, of: 5, missing: quiet},
	}
}

// own are the dimensions of the metrics that a role writes itself.
func (w Watched) own(role settings.Role) pulumi.StringMap {
	return pulumi.StringMap{settings.DimensionStack: pulumi.String(w.Stack), settings.DimensionRole: pulumi.String(string(role))}
}

// tableErrors: DynamoDB counts its 5xx by operation only.
func (w Watched) tableErrors() []metric {
	var out []metric
	for _, o := range [][2]string{{"gets", "GetItem"}, {"puts", "PutItem"}, {"updates", "UpdateItem"}, {"queries", "Query"}} {
		out = append(out, metric{o[0], "AWS/DynamoDB", "SystemErrors", "Sum", pulumi.StringMap{"TableName": w.Table, "Operation": pulumi.String(o[1])}})
	}
	return out
}
