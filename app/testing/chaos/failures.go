package main

import (
	"fmt"
	"regexp"
	"strings"
)

// failure is a row of docs/failures.md: something that Imagery needs, and what follows when it dies.
type failure struct {
	what string
	// kind: "tolerated" (users notice a delay at most), "redundant" (a moment of errors until the other one has
	// it all), "single" (nothing is lost, but nothing goes on without it).
	kind  string
	sees  string // what users notice
	heals string // who mends it, and what a person has to do
	// measured finds the time in the output of scripts/boot-test and of the tests in app/testing/e2e; it has one group, the
	// seconds. attack names a row of this program instead, the one on AWS's emulators. Without both, why says why not.
	measured, attack string
	why              string
	test             string // FOLDER TestName that shows it; "" only if nobody but AWS can
}

// The folders that most tests are in.
const e2e, infra, domain = "app/testing/e2e", "infra", "app/imagery"

// notOurs is why nothing is measured where AWS itself fails as a whole.
const notOurs = "AWS's to mend"

// failures lists every dependency, from the client to the region.
func failures() []failure {
	return append(append(ofProcesses(), ofMachines()...), ofServices()...)
}

// ofProcesses dies with one program.
func ofProcesses() []failure {
	return []failure{
		{what: "the client, or its line", kind: "tolerated", sees: "the page goes on with the bytes that it kept; other clients repeat",
			heals: "every request may be repeated", why: "as long as the client is away", test: "app/testing/browser TestReloadWhileSending"},
		{what: "a server process", kind: "tolerated", sees: "requests in work are cut, and succeed when repeated",
			heals: "the service manager starts it again", measured: `kill -9 in \S*server: ready again after ([\d.]+) s`, test: infra + " TestMachines"},
		{what: "a worker process", kind: "tolerated", sees: "its photos are late by the visibility timeout",
			heals: "the service manager starts it again, another worker gets the messages", measured: `kill -9 in \S*worker: ready again after ([\d.]+) s`, test: infra + " TestMachines"},
		{what: "a worker that hangs", kind: "tolerated", sees: "its photos are late by the visibility timeout",
			heals: "the watchdog kills it; what it does when it thaws changes nothing of others", measured: `frozen worker: the watchdog had it ready again after ([\d.]+) s`, test: e2e + " TestFrozenWorker"},
		{what: "every process at once", kind: "tolerated", sees: "errors until they are back; everything accepted is kept",
			heals: "the service manager", attack: sigkillAll, test: e2e + " TestKillEverything"},
		{what: "a photo that kills its worker", kind: "tolerated", sees: "that photo ends failed and says so, no other one does",
			heals: "deliveries are counted, suspects run alone", measured: `a photo killed every worker, .* after ([\d.]+) s`, test: e2e + " TestPoison"},
		{what: "memory", kind: "tolerated", sees: "503 with Retry-After when there is no room for an upload",
			heals: "bytes are admitted, not hoped for; beyond that systemd's limit ends the process", why: "nothing exceeds its budget", test: "app/worker TestMemoryIsBounded"},
		{what: "the leading reconciler", kind: "tolerated", sees: "nothing; hints that were lost are late",
			heals: "another worker takes the lease", attack: "reconciler before-hint", test: domain + " TestOneLeaderAndTakeover"},
		{what: "a clock", kind: "tolerated", sees: "nothing; hints are sent too early or too late",
			heals: "versions decide, never times", why: "until it is set", test: domain + " TestClocksMayDiffer"},
	}
}

// ofMachines dies with hosts, disks, networks and what is installed on them.
func ofMachines() []failure {
	return []failure{
		{what: "an instance: host, power", kind: "tolerated", sees: "requests that it had are cut, and succeed when repeated",
			heals: "health checks take it out, Auto Scaling replaces it", measured: `lost their power: full again after ([\d.]+) s`, test: infra + " TestMachines"},
		{what: "a zone, or its network", kind: "redundant", sees: "as above, half of the capacity until it is replaced",
			heals: "the balancer asks the other zone, Auto Scaling fills it", measured: `a zone was off the network: full again after ([\d.]+) s`, test: infra + " TestMachines"},
		{what: "an instance's disk, when full", kind: "tolerated", sees: "nothing",
			heals: "only logs are on it; they are rotated, and their size has a limit", why: "no request fails",
			test: infra + " TestMachines"},
		{what: "a bad release", kind: "tolerated", sees: "nothing; the old one serves",
			heals: "the launch gate, then the rollout's guards; mend it and deploy", measured: `wrong hash: rolled back by the controller in ([\d.]+) s`, test: infra + " TestMachines"},
		{what: "a release that is bad only under load", kind: "tolerated", sees: "slow or failing answers of new instances, until they go",
			heals: "the guard alarms; both groups go back to the release before", measured: `slow under load: rolled back by the controller in ([\d.]+) s`, test: infra + " TestMachines"},
		{what: "whoever deploys, in the middle of it", kind: "tolerated", sees: "nothing",
			heals: "AWS goes on by itself, the next `pulumi up` finds where things stand", why: "at the next `pulumi up`", test: "app/deploy/rollout TestKilledAtEachCall"},
		{what: "a missing right", kind: "tolerated", sees: "nothing, if it is missing at boot; else photos are late",
			heals: "the launch gate holds new instances back; later it counts as an outage", measured: `missing right: abandoned after ([\d.]+) s`, test: e2e + " TestFaultMatrix"},
		{what: "a boot that hangs", kind: "tolerated", sees: "nothing",
			heals: "the launch hook's time ends it", measured: `hanging boot: abandoned after ([\d.]+) s`, test: infra + " TestMachines"},
		{what: "the log agent, CloudWatch", kind: "tolerated", sees: "nothing",
			heals: "a timer installs it until it works, and an alarm on silent instances rings; the service asks neither",
			why:   "nothing waits for it", test: infra + "/release TestAgentInstallationIsRetried"},
		{what: "a laptop's disk", kind: "single", sees: "503 while it is full; without it the photos are gone",
			heals: "a full disk counts as a bad moment; keep a copy of the folder", why: "as long as it is full", test: "app/store/local TestFailedPutLeavesNothing"},
		{what: "a laptop's fleet process", kind: "tolerated", sees: "no connection until it is started again",
			heals: "its children stop with it, nothing accepted is lost", attack: sigkillAll, test: "app/fleet TestChildrenDieWithTheFleet"},
		{what: "a laptop's process that is frozen", kind: "single", sees: "503 if it holds the table's write lock; without the lock slow answers",
			heals: "the fleet kills it and starts it again", measured: `a server froze with the write lock, .* after ([\d.]+) s`, test: e2e + " TestFrozenServerWithTheLock"},
	}
}

// ofServices is away with one of AWS's.
func ofServices() []failure {
	return []failure{
		{what: "DynamoDB", kind: "single", sees: "503 with Retry-After within 10 s; accepted photos are late",
			heals: "messages come back for ten minutes and more, then the reconciler sends them", measured: `dynamodb was away .* ([\d.]+) s after it was back`, test: e2e + " TestOutages"},
		{what: "S3", kind: "single", sees: "uploads get 503, states are answered; accepted photos are late",
			heals: "as above", measured: `s3 was away .* ([\d.]+) s after it was back`, test: e2e + " TestOutages"},
		{what: "SQS", kind: "single", sees: "uploads succeed, and are processed later",
			heals: "the reconciler sends the hints again", measured: `sqs was away .* ([\d.]+) s after it was back`, test: e2e + " TestOutages"},
		{what: "all messages of the queue", kind: "tolerated", sees: "photos are late",
			heals: "the reconciler sends the hints again", attack: purgedQueue, test: domain + " TestLostHintsAreSentAgainAtDoublingIntervals"},
		{what: "an endpoint or NAT gateway", kind: "redundant", sees: "as SQS, for the instances of its zone (with one NAT gateway: of all zones)",
			heals: "AWS; `natPerAz` and `endpoints` have one in each zone", why: notOurs, test: e2e + " TestOutages"},
		{what: "credentials, the metadata service", kind: "tolerated", sees: "photos are late",
			heals: "refused calls count as a bad moment", why: "repeated at once", test: e2e + " TestFaultMatrix"},
		{what: "the load balancer", kind: "redundant", sees: "no connection; photos in the queue are processed",
			heals: "it has a node in each zone; beyond that AWS", why: notOurs},
		{what: "Auto Scaling, EC2's control plane", kind: "tolerated", sees: "nothing; the dead are not replaced",
			heals: "AWS; what runs goes on", why: notOurs},
		{what: "SNS, the mail of on-call", kind: "single", sees: "nothing; nobody is told of alarms",
			heals: "a person: try the alarms before you need them", why: notOurs},
		{what: "the region", kind: "single", sees: "no connection",
			heals: "AWS; the table has backups to any second of 35 days, originals and results have one copy", why: notOurs},
	}
}

// times finds how long each failure took to recover from; its error names those that nobody has measured.
func times(all []failure, rows []*row, logs string) ([]string, error) {
	found := make([]string, len(all))
	var missing []string
	for i, f := range all {
		if m := regexp.MustCompile(f.measured).FindStringSubmatch(logs); f.measured != "" && m != nil {
			found[i] = m[1] + " s"
		}
		for _, r := range rows {
			if r.backend == onAWS && f.attack == r.attack.String() {
				found[i] = seconds(r.recovered)
			}
		}
		if f.why != "" {
			found[i] = f.why
		}
		if found[i] == "" {
			missing = append(missing, f.what)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("no output given tells the time of: %s", strings.Join(missing, "; "))
	}
	return found, nil
}

// failureTable renders the failures in Markdown, with their times.
func failureTable(all []failure, found []string) string {
	var b strings.Builder
	b.WriteString("| What dies | | What users see | What mends it | Recovered in | Shown by |\n|---|---|---|---|--:|---|\n")
	for i, f := range all {
		shown := "nobody but AWS"
		if folder, name, ok := strings.Cut(f.test, " "); ok {
			shown = "`" + name + "` in `" + folder + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", f.what, f.kind, f.sees, f.heals, found[i], shown)
	}
	return b.String()
}
