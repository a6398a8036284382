package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// failure is a row of docs/failures.md: the failure of something that Imagery depends on, and its consequences.
type failure struct {
	what string
	// class is "tolerated" (users notice a delay at most), "redundant" (some errors until another one of the same kind
	// has taken over) or "single" (no accepted photo is lost, but nothing works without it).
	class    string
	impact   string // what users notice
	recovery string // what recovers it, and what a person has to do
	// measured is a pattern that finds the recovery time in the output of scripts/boot-test or of the tests in
	// app/testing/e2e; its only group is the time in seconds. scenario is set instead if the time is that of a row of
	// this program, on the AWS emulators. reason is set instead if there is no time.
	measured, scenario string
	reason             string
	test               string // "FOLDER TestName"; empty only for failures of AWS as a whole
}

// Folders of most tests.
const e2e, infra, domain = "app/testing/e2e", "infra", "app/imagery"

// awsRecovers is the reason that there is no recovery time where AWS itself fails as a whole.
const awsRecovers = "depends on AWS"

// failures returns all rows, from the client to the region.
func failures() []failure {
	return slices.Concat(processFailures(), machineFailures(), serviceFailures())
}

// processFailures returns the failures of a single program.
func processFailures() []failure {
	return []failure{
		{what: "the client or its connection", class: "tolerated",
			impact:   "the page continues with the bytes that it stored; other clients repeat their requests",
			recovery: "every request may be repeated", reason: "as long as the client is away",
			test: "app/testing/browser TestReloadWhileSending"},
		{what: "a server process", class: "tolerated",
			impact:   "requests in progress are cut, and succeed when repeated",
			recovery: "the service manager restarts it", measured: `kill -9 in \S*server: ready again after ([\d.]+) s`,
			test: infra + " TestMachines"},
		{what: "a worker process", class: "tolerated", impact: "its photos are late by the visibility timeout",
			recovery: "the service manager restarts it, another worker receives the messages",
			measured: `kill -9 in \S*worker: ready again after ([\d.]+) s`, test: infra + " TestMachines"},
		{what: "a worker that hangs", class: "tolerated", impact: "its photos are late by the visibility timeout",
			recovery: "the watchdog kills it; what it writes after it resumes changes no image that another worker finished",
			measured: `frozen worker: the watchdog had it ready again after ([\d.]+) s`, test: e2e + " TestFrozenWorker"},
		{what: "every process at once", class: "tolerated",
			impact:   "errors until they are back; no accepted photo is lost",
			recovery: "the service manager restarts them", scenario: sigkillAll, test: e2e + " TestKillEverything"},
		{what: "a photo that kills its worker", class: "tolerated",
			impact:   "this photo ends `failed` with a reason; no other photo fails",
			recovery: "deliveries are counted; a photo that may have killed a worker is processed alone",
			measured: `a photo killed every worker, .* after ([\d.]+) s`, test: e2e + " TestPoison"},
		{what: "memory", class: "tolerated",
			impact:   "503 with Retry-After when there is no memory for an upload",
			recovery: "memory is reserved before it is used; above its limit systemd restarts the process",
			reason:   "no process exceeds its budget", test: "app/worker TestMemoryIsBounded"},
		{what: "the leading reconciler", class: "tolerated", impact: "nothing; hints that were lost are sent again later",
			recovery: "another worker takes the lease", scenario: "reconciler before-hint",
			test: domain + " TestOneLeaderAndTakeover"},
		{what: "a clock", class: "tolerated", impact: "nothing; hints are sent again too early or too late",
			recovery: "decisions depend on versions, never on times", reason: "until it is set",
			test: domain + " TestClocksMayDiffer"},
	}
}

// machineFailures returns the failures of hosts, disks, networks and of what is installed on them.
func machineFailures() []failure {
	return []failure{
		{what: "an instance: host, power", class: "tolerated",
			impact:   "requests in progress there are cut, and succeed when repeated",
			recovery: "health checks remove it from the load balancer, Auto Scaling replaces it",
			measured: `lost their power: full again after ([\d.]+) s`, test: infra + " TestMachines"},
		{what: "an availability zone or its network", class: "redundant",
			impact:   "as above, and half of the capacity until it is replaced",
			recovery: "the load balancer uses the other zone, Auto Scaling launches instances there",
			measured: `a zone was off the network: full again after ([\d.]+) s`, test: infra + " TestMachines"},
		{what: "a full disk of an instance", class: "tolerated", impact: "nothing",
			recovery: "the disk holds only logs; they are rotated and their size is limited",
			reason:   "no request fails", test: infra + " TestMachines"},
		{what: "a bad release", class: "tolerated", impact: "nothing; the old release serves",
			recovery: "the launch gate, then the rollout's guard alarms; fix it and deploy again",
			measured: `wrong hash: rolled back by the controller in ([\d.]+) s`, test: infra + " TestMachines"},
		{what: "a release that fails only under load", class: "tolerated",
			impact:   "slow or failing answers of the new instances until they are removed",
			recovery: "the guard alarms; both groups return to the previous release",
			measured: `slow under load: rolled back by the controller in ([\d.]+) s`, test: infra + " TestMachines"},
		{what: "the deployer's machine during a rollout", class: "tolerated", impact: "nothing",
			recovery: "AWS continues on its own; the next `pulumi up` continues from the state that it finds",
			reason:   "at the next `pulumi up`", test: "app/deploy/rollout TestKilledAtEachCall"},
		{what: "a missing IAM permission", class: "tolerated",
			impact:   "nothing if it is missing at boot; otherwise photos are late",
			recovery: "the launch gate keeps new instances out of service; later it is handled like an outage",
			measured: `missing right: abandoned after ([\d.]+) s`, test: e2e + " TestFaultMatrix"},
		{what: "a boot that hangs", class: "tolerated", impact: "nothing",
			recovery: "the launch hook times out and the instance is replaced",
			measured: `hanging boot: abandoned after ([\d.]+) s`, test: infra + " TestMachines"},
		{what: "the log agent, CloudWatch", class: "tolerated", impact: "nothing",
			recovery: "a timer installs the agent until it works, and an alarm reports instances without logs; " +
				"the service does not depend on either",
			reason: "nothing waits for it", test: infra + "/release TestAgentInstallationIsRetried"},
		{what: "the disk of a laptop", class: "single",
			impact:   "503 while it is full; if it is lost, the photos are lost",
			recovery: "a full disk is handled as a transient error; keep a copy of the folder",
			reason:   "as long as it is full", test: "app/store/local TestFailedPutLeavesNothing"},
		{what: "the fleet process of a laptop", class: "tolerated", impact: "no connection until it is started again",
			recovery: "its children stop with it; no accepted photo is lost", scenario: sigkillAll,
			test: "app/fleet TestChildrenDieWithTheFleet"},
		{what: "a frozen process of a laptop", class: "single",
			impact:   "503 if it holds the write lock of the table, otherwise slow answers",
			recovery: "the fleet kills and restarts it",
			measured: `a server froze with the write lock, .* after ([\d.]+) s`,
			test:     e2e + " TestFrozenServerWithTheLock"},
	}
}

// serviceFailures returns the failures of AWS services.
func serviceFailures() []failure {
	return []failure{
		{what: "DynamoDB", class: "single", impact: "503 with Retry-After within 10 s; accepted photos are late",
			recovery: "messages are delivered again for at least ten minutes, then the reconciler sends hints again",
			measured: `dynamodb was away .* ([\d.]+) s after it was back`, test: e2e + " TestOutages"},
		{what: "S3", class: "single", impact: "uploads get 503, states are answered; accepted photos are late",
			recovery: "as above", measured: `s3 was away .* ([\d.]+) s after it was back`, test: e2e + " TestOutages"},
		{what: "SQS", class: "single", impact: "uploads succeed, and are processed later",
			recovery: "the reconciler sends the hints again",
			measured: `sqs was away .* ([\d.]+) s after it was back`, test: e2e + " TestOutages"},
		{what: "all messages of the queue", class: "tolerated", impact: "photos are late",
			recovery: "the reconciler sends the hints again", scenario: purgedQueue,
			test: domain + " TestLostHintsAreSentAgainAtDoublingIntervals"},
		{what: "a VPC endpoint or NAT gateway", class: "redundant",
			impact:   "as SQS, for the instances of its zone (with one NAT gateway: of all zones)",
			recovery: "AWS; `natPerAz` and `endpoints` have one in each zone", reason: awsRecovers,
			test: e2e + " TestOutages"},
		{what: "credentials, the metadata service", class: "tolerated", impact: "photos are late",
			recovery: "denied calls are handled as transient errors", reason: "repeated at once",
			test: e2e + " TestFaultMatrix"},
		{what: "the load balancer", class: "redundant", impact: "no connection; photos in the queue are processed",
			recovery: "it has a node in each zone; beyond that AWS", reason: awsRecovers},
		{what: "Auto Scaling, the control plane of EC2", class: "tolerated",
			impact: "nothing; failed instances are not replaced", recovery: "AWS; running instances continue",
			reason: awsRecovers},
		{what: "SNS, the e-mail of on-call", class: "single", impact: "nothing; nobody is notified of alarms",
			recovery: "a person: run `imagery alarms test` regularly", reason: awsRecovers},
		{what: "the region", class: "single", impact: "no connection",
			recovery: "AWS; the table can be restored to any second of the last 35 days, originals and results have one copy",
			reason:   awsRecovers},
	}
}

// times returns the recovery time of each failure; the error names those without a measurement.
func times(all []failure, rows []*row, logs string) ([]string, error) {
	found := make([]string, len(all))
	var missing []string
	for i, f := range all {
		if m := regexp.MustCompile(f.measured).FindStringSubmatch(logs); f.measured != "" && m != nil {
			found[i] = m[1] + " s"
		}
		for _, r := range rows {
			if r.backend == onAWS && f.scenario == r.scenario.String() {
				found[i] = seconds(r.recovered)
			}
		}
		if f.reason != "" {
			found[i] = f.reason
		}
		if found[i] == "" {
			missing = append(missing, f.what)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("the output has no recovery time of: %s; scripts/failures measures all of them",
			strings.Join(missing, "; "))
	}
	return found, nil
}

// failureTable renders the failures in Markdown, with their times.
func failureTable(all []failure, found []string) string {
	var b strings.Builder
	b.WriteString("| What fails | Class | What users notice | How it recovers | Recovered in | Shown by |\n" +
		"|---|---|---|---|--:|---|\n")
	for i, f := range all {
		shown := "not tested: only AWS can cause it"
		if folder, name, ok := strings.Cut(f.test, " "); ok {
			shown = "`" + name + "` in `" + folder + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", f.what, f.class, f.impact, f.recovery, found[i], shown)
	}
	return b.String()
}
