package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"reflect"
	"strings"

	"imagery/infra/network"
)

// Config holds the configuration of a stack. LoadConfig checks all of it before the first resource is registered.
type Config struct {
	Project, Stack string
	Region         string      // aws:region, else AWS_REGION
	AWS            AWSSettings // every aws: key, the region included

	// The keys below.
	Profile                                    string
	VPCCIDR                                    netip.Prefix
	AZCount                                    int
	AZs                                        []string // pinned; empty: looked up
	Egress                                     network.Egress
	AllowedCIDRs                               []string
	Arch, ServerType, WorkerType               string
	ServerMin, ServerMax, WorkerMin, WorkerMax int
	RequestsPerTarget, BacklogPerWorker        int
	AMIID                                      string // pinned; empty: looked up
	AMIFollow                                  bool
	CertificateARN                             string
	AccessLogs, SSM, ProtectData               bool
	AlarmEmail                                 string
	LogRetentionDays, UploadExpireDays         int
	BootRetrySeconds, BakeSeconds              int
	Rollout, Smoke, Preflight                  string
	RolloutForce                               bool
	Artifact, AccountID                        string
	Tags                                       map[string]string
	PermissionsBoundary                        string // ARN of a policy
}

// Name returns the prefix of the names of all resources.
func (c Config) Name() string { return c.Project + "-" + c.Stack }

// Presets of `profile`.
const (
	Dev  = "dev"  // cheap; destroy deletes everything
	Prod = "prod" // private instances, protected data
)

// key is one configuration key.
type key struct {
	name      string // that of a field of Config, but for the case of its letters
	kind      string // of its value, for the documentation
	read      reader
	dev, prod string // default of each profile, as in a configuration file
	doc       string // purpose, and reason of the default
}

// same returns a key with the same default in both presets.
func same(name, kind string, read reader, def, doc string) key {
	return key{name, kind, read, def, def, doc}
}

// field returns a pointer to the key's field.
func (k key) field(c *Config) any {
	sameName := func(field string) bool { return strings.EqualFold(field, k.name) }
	return reflect.ValueOf(c).Elem().FieldByNameFunc(sameName).Addr().Interface()
}

// keys lists all keys in the order of the documentation.
var keys = []key{
	same("profile", "dev \\| prod", choice(Dev, Prod), Dev, "the preset; it sets the default of every other key"),
	{"egress", "endpoints \\| nat \\| natPerAz \\| public", choice(network.Modes...), string(network.Public),
		string(network.Endpoints), "how instances reach AWS: private endpoints (no path to the internet at all), one NAT " +
			"gateway, one per zone, or public addresses without inbound access"},
	same("vpcCidr", "CIDR", readVPC, "10.42.0.0/16", "address range of the network, /16 to /22; it cannot change later"),
	same("azCount", "2 \\| 3", integer(2, 3), "2", "number of availability zones; a load balancer needs two"),
	same("azs", "list", list, "", "the zones by name, `us-east-1a,us-east-1b`; empty: looked up at the first `up` and "+
		"kept. To add a zone, first pin the output `azs`, then raise azCount and append the zone in the same `up`: the "+
		"position of a zone in the list decides its address range"),
	same("allowedCidrs", "list", list, "0.0.0.0/0", "address ranges that may reach the load balancer; the default quota "+
		"of an account allows 60, with HTTPS 30 (quota L-0EA8095F)"),
	same("certificateArn", "ARN", text, "", "ACM certificate of the same region: HTTPS, and HTTP redirects to it"),
	same("accessLogs", "bool", boolean, "false", "keep the load balancer's access logs for logRetentionDays in a "+
		"separate bucket"),
	same("arch", "arm64 \\| amd64", choice("arm64", "amd64"), "arm64", "CPU architecture of both instance types (arm64 "+
		"costs about a fifth less); on a deployed stack change it together with amiId or amiFollow"),
	{"serverType", "instance type", text, "t4g.micro", "t4g.small", "instance type of the servers, which need little " +
		"CPU: they only transfer bytes"},
	{"workerType", "instance type", text, "t4g.small", "c7g.medium", "instance type of the workers. Servers reject an " +
		"upload that needs more memory than a worker of this type has for one photo, and the error names a size that " +
		"passes; from t4g.small up every allowed photo passes. t4g.micro and t3.micro (613 MiB for one photo) would do " +
		"for all but lossy WebP with alpha and turned progressive CMYK JPEGs near 50 megapixels. In dev burstable, with " +
		"CPU credits `unlimited` (the cost estimate shows their maximum); in prod a whole core, since filtering needs " +
		"only CPU"},
	same("serverMin", "count", integer(1, 100), "2", "minimum number of servers; with two, the loss of one is no outage"),
	{"serverMax", "count", integer(1, 100), "4", "6", "maximum number of servers; more than serverMin"},
	same("workerMin", "count", integer(1, 100), "2", "minimum number of workers; at least 1, or no photo would be "+
		"processed"),
	{"workerMax", "count", integer(1, 100), "4", "6", "maximum number of workers; more than workerMin"},
	same("requestsPerTarget", "count", integer(1, 1_000_000), "600", "scaling target of the servers: requests per "+
		"minute and server"),
	same("backlogPerWorker", "count", integer(1, 1_000_000), "50", "scaling target of the workers: messages per worker, "+
		"waiting and in flight; 50 are about a minute's work"),
	same("amiId", "AMI", text, "", "the machine image; empty: today's Amazon Linux 2023, looked up at the first `up` "+
		"and kept"),
	same("amiFollow", "bool", boolean, "false", "use a newer image when there is one: an `up` then replaces instances "+
		"without a new release"),
	same("ssm", "bool", boolean, "false", "shell access through Session Manager (egress endpoints then has two more "+
		"endpoints)"),
	same("alarmEmail", "address", text, "", "e-mail address that receives alarm notifications; AWS sends a confirmation "+
		"link that must be opened once"),
	{"protectData", "bool", boolean, "false", "true", "table, images, queues and load balancer cannot be deleted"},
	{"logRetentionDays", "days", integer(1, 3653), "7", "30", "retention of the log groups; one of the periods that " +
		"CloudWatch accepts"},
	same("uploadExpireDays", "days", integer(1, 3650), "30", "originals are deleted after this; more than the 14 days "+
		"of a dead letter, whose redrive needs the original"),
	same("bootRetrySeconds", "seconds", integer(30, 340), "300", "how long a booting instance retries requests that are "+
		"denied (its download, the self-test, the service's readiness): new permissions and endpoints take minutes to "+
		"apply; the launch hook allows 900 for the whole boot"),
	same("rollout", "wait \\| start \\| off", choice("wait", "start", "off"), "wait", "what `up` does with a new "+
		"release: roll it out and roll back on failure, only start the rollout, or nothing"),
	same("rolloutForce", "bool", boolean, "false", "roll out even if an alarm is firing, or this release failed before "+
		"or is blocked"),
	same("bakeSeconds", "seconds", integer(0, 3600), "180", "how long alarms and the smoke test watch a new release "+
		"after it entered service; a failure in that time rolls it back. Alarms need three minutes"),
	same("smoke", "on \\| off", choice("on", "off"), "on", "whether `up` sends photos through the load balancer while a "+
		"new release bakes; off where no instance boots, as in a rehearsal on an emulator"),
	same("preflight", "stop \\| warn", choice("stop", "warn"), "stop", "whether a problem that the preflight finds "+
		"stops the `up` or is only a warning"),
	same("artifact", "path", text, "", "a Linux binary to deploy instead of building ./app, relative to the project"),
	same("accountId", "12 digits", text, "", "the AWS account of this stack; with credentials of another account `up` "+
		"stops before it changes anything"),
	same("tags", "a=b,c=d or object", readTags, "", "tags of every resource that can have tags, beside `project`, "+
		"`stack` and `managed-by`; at most seven together with those of aws:defaultTags, since S3 objects have ten at most"),
	same("permissionsBoundary", "ARN", text, "", "permissions boundary of every role of the stack, if the account "+
		"requires one"),
}

// Origin identifies a stack. It comes from Pulumi's engine, not from the imagery: keys.
type Origin struct {
	Project, Stack, Region string
	AWS                    AWSSettings
	Given                  []string // names of all imagery: keys that are set, known or not
	Problems               []string // of the aws: keys
}

// LoadConfig reads every key through get ("" is unset), sets the others from the preset and checks them. The error is a
// *ConfigError that lists every problem. Warnings are about valid values that are probably unintended.
func LoadConfig(from Origin, get func(key string) string) (c Config, warnings []string, err error) {
	c = Config{Project: from.Project, Stack: from.Stack, Region: from.Region, AWS: from.AWS}
	c.AWS.Region = from.Region
	// The preset is needed before its own key is read. If it is misspelt, dev is used, and the loop reports the key.
	bad := append(unknown(from.Given), from.Problems...)
	prod := get("profile") == Prod
	for _, k := range keys {
		preset := k.dev
		if prod {
			preset = k.prod
		}
		if v := cmp.Or(strings.TrimSpace(get(k.name)), preset); v != "" {
			if err := k.read(k.field(&c), v); err != nil {
				bad = append(bad, fmt.Sprintf("imagery:%s %q: %v", k.name, v, err))
			}
		}
	}
	// A key that could not be read is zero, and the rules skip zero values.
	bad = append(bad, c.problems()...)
	if len(bad) > 0 {
		return Config{}, nil, &ConfigError{bad}
	}
	return c, c.warnings(), nil
}

// ConfigError lists every problem of a configuration.
type ConfigError struct{ Problems []string }

func (e *ConfigError) Error() string {
	return "the configuration is not valid; nothing was changed:\n  - " + strings.Join(e.Problems, "\n  - ")
}
