package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"imagery/app/deploy/instances"
	"imagery/app/deploy/settings"
	"imagery/infra/data"
	"imagery/infra/edge"
	"imagery/infra/network"
	"imagery/infra/testing/pulumitest"
)

func load(t *testing.T, stack string, imagery map[string]string) (Config, []string, error) {
	t.Helper()
	return LoadConfig(Origin{Project: "imagery", Stack: stack, Region: region},
		func(key string) string { return imagery[key] })
}

func TestEmptyConfigurationIsAValidDevStack(t *testing.T) {
	c, warnings, err := load(t, "dev", nil)
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	if c.Profile != Dev || c.Egress != network.Public || c.ProtectData || c.ServerMin != 2 || c.WorkerMin != 2 ||
		c.WorkerType != instances.DevWorker {
		t.Errorf("%+v", c)
	}
}

func TestKeysOverrideThePreset(t *testing.T) {
	c, _, err := load(t, "live", map[string]string{"profile": "prod", "workerMin": "3", "alarmEmail": "a@b.example"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Egress != network.Endpoints || !c.ProtectData || c.ServerMin != 2 || c.WorkerMin != 3 ||
		c.WorkerType != instances.ProdWorker {
		t.Errorf("%+v", c)
	}
}

// Each row is one wrong value. The error must name the key, and no resource may be registered.
func TestRefusals(t *testing.T) {
	for problem, keys := range map[string]map[string]string{
		`imagery:profile "test"`:                     {"profile": "test"},
		"imagery:egress":                             {"egress": "none"},
		"it must be a /16 to /22":                    {"vpcCidr": "10.0.0.0/24"},
		"bits after its prefix":                      {"vpcCidr": "10.0.1.0/16"},
		"is not within 10.0.0.0/8":                   {"vpcCidr": "8.8.0.0/16"},
		"imagery:azCount":                            {"azCount": "4"},
		"names 1 zones":                              {"azs": "eu-central-1a"},
		"named twice":                                {"azs": "eu-central-1a,eu-central-1a"},
		`"us-east-1a" is not a zone of eu-central-1`: {"azs": `["us-east-1a","eu-central-1b"]`},
		"is not an IPv4 range":                       {"allowedCidrs": "1.2.3.4"},
		"1001 ranges need 1001 inbound rules":        {"allowedCidrs": ranges(1001)},
		"501 ranges need 1002 inbound rules":         {"allowedCidrs": ranges(501), "certificateArn": certificate},
		"quota L-0EA8095F":                           {"allowedCidrs": ranges(1200)},
		"imagery:arch":                               {"arch": "riscv"},
		"serverType t3.small is amd64":               {"serverType": "t3.small"},
		"is not one of the known instance types":     {"workerType": "x9.huge"},
		"serverMax 2 must be above":                  {"serverMax": "2"},
		"workerMin":                                  {"workerMin": "0"},
		"prod needs at least 2":                      {"profile": "prod", "serverMin": "1"},
		"imagery:requestsPerTarget":                  {"requestsPerTarget": "many"},
		"is not an image id":                         {"amiId": "al2023"},
		"set one of them":                            {"amiId": "ami-0123456789abcdef0", "amiFollow": "true"},
		"not the ARN of an ACM certificate":          {"certificateArn": "mine"},
		"certificateArn is in region us-east-1": {
			"certificateArn": "arn:aws:acm:us-east-1:111122223333:certificate/x"},
		"imagery:accessLogs":                                    {"accessLogs": "yes"},
		"is not an e-mail address":                              {"alarmEmail": "me"},
		"is not a period that CloudWatch accepts":               {"logRetentionDays": "8"},
		"must be above 14, the days that a dead letter is kept": {"uploadExpireDays": "14"},
		"imagery:rollout":                                       {"rollout": "fast"},
		"imagery:bakeSeconds":                                   {"bakeSeconds": "-1"},
		"imagery:bootRetrySeconds":                              {"bootRetrySeconds": "5"},
	} {
		g, err := pulumitest.Run(program(fakeBuild{"never built"}, nil), "test", t.TempDir(), keysOf(keys))
		if err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%v: %v, want %q", keys, err, problem)
		}
		if len(g.Resources) > 0 {
			t.Errorf("%v: registered %s", keys, g.Resources[0].URN())
		}
	}
}

// ranges lists n ranges for allowedCidrs.
func ranges(n int) string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("10.%d.%d.0/24", i/256, i%256))
	}
	return strings.Join(out, ",")
}

// As many rules as AWS can allow are accepted, and the program creates as many as the preflight counts.
func TestRulesUpToTheQuotaAreAccepted(t *testing.T) {
	for certificateARN, n := range map[string]int{"": 60, certificate: 500} {
		config := map[string]string{"allowedCidrs": ranges(n), "certificateArn": certificateARN}
		g := run(t, "test", config, binary(t, "a release"))
		rules := opens(g, "SecurityGroupIngressRule", group(g, "-lb"))
		if len(rules) != edge.InboundRules(n, certificateARN) {
			t.Errorf("%d ranges make %d rules", n, len(rules))
		}
	}
}

func TestMisspeltKeysAreRefused(t *testing.T) {
	// as Pulumi's engine does
	t.Setenv("PULUMI_CONFIG", `{"imagery:workerMx":"9","imagery:egress":"nat","aws:region":"eu-central-1"}`)
	g, err := pulumitest.Run(program(binary(t, "a release"), &fakeRoller{}), "test", t.TempDir(),
		keysOf(map[string]string{"egress": "nat"}))
	if err == nil || !strings.Contains(err.Error(), "imagery:workerMx is not a key") ||
		strings.Contains(err.Error(), "egress") || len(g.Resources) > 0 {
		t.Errorf("%v, %d resources", err, len(g.Resources))
	}
}

func TestStackNamesThatAreTooLongAreRefused(t *testing.T) {
	for stack, ok := range map[string]bool{"dev": true, "rehearsal": true, "pull-4711": true,
		"my-long-feature-branch": false, "Dev": false, "a_b": false} {
		if _, _, err := load(t, stack, nil); (err == nil) != ok {
			t.Errorf("stack %q: %v", stack, err)
		}
	}
}

func TestAllProblemsAreReportedAtOnce(t *testing.T) {
	_, _, err := LoadConfig(Origin{Project: "imagery", Stack: "dev"}, func(key string) string {
		return map[string]string{"egress": "x", "azCount": "x", "workerType": "x9.huge", "uploadExpireDays": "1"}[key]
	})
	var all *ConfigError
	if !errors.As(err, &all) || len(all.Problems) != 5 {
		t.Fatalf("want the region and four keys, got %v", err)
	}
}

// When the compiler or AWS stops a run, only the provider is registered.
func TestLateErrorsCreateNothing(t *testing.T) {
	built := binary(t, "a release")
	for problem, run := range map[string]struct {
		build fakeBuild
		keys  map[string]string
	}{
		"hash the release":                   {fakeBuild{filepath.Join(t.TempDir(), "missing")}, nil},
		"1 zones of eu-central-1 offer both": {built, map[string]string{"imagery:workerType": pulumitest.ScarceType}},
	} {
		keys := keysOf(nil)
		maps.Copy(keys, run.keys)
		g, err := pulumitest.Run(program(run.build, &fakeRoller{}), "test", t.TempDir(), keys)
		if err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%v, want %q", err, problem)
		}
		if n := awsResources(g); n > 0 {
			t.Errorf("%s: registered %d resources", problem, n)
		}
	}
}

func TestWarnings(t *testing.T) {
	_, warnings, err := load(t, "live",
		map[string]string{"profile": "prod", "protectData": "false", "egress": "nat", "azCount": "3"})
	if err != nil || len(warnings) != 4 {
		t.Errorf("%v, warnings %q; want unprotected data, one NAT for three zones, plain HTTP, no address for alarms",
			err, warnings)
	}
	warned := func(imagery map[string]string) bool {
		_, warnings, err := load(t, "live", imagery)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, "plain HTTP") })
	}
	prod := map[string]string{"profile": "prod"}
	if !warned(prod) || warned(with(prod, "certificateArn", certificate)) || warned(nil) {
		t.Error("the warning about plain HTTP must appear exactly in prod without a certificate")
	}
}

func TestDefaultsAreReadable(t *testing.T) {
	for _, k := range keys {
		for _, v := range []string{k.dev, k.prod} {
			if c := new(Config); v != "" && k.read(k.field(c), v) != nil {
				t.Errorf("%s: default %q cannot be read", k.name, v)
			}
		}
		if k.doc == "" || k.kind == "" {
			t.Errorf("%s is not explained", k.name)
		}
	}
}

func TestExampleStackIsValid(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "Pulumi.dev.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var example struct{ Config map[string]string }
	if err := yaml.Unmarshal(b, &example); err != nil {
		t.Fatal(err)
	}
	known := map[string]string{}
	for k, v := range example.Config {
		name, ours := strings.CutPrefix(k, "imagery:")
		if ours && !slices.ContainsFunc(keys, func(k key) bool { return k.name == name }) {
			t.Errorf("%s is not a key", k)
		}
		known[name] = v
	}
	if _, _, err := LoadConfig(Origin{Project: "imagery", Stack: "dev", Region: example.Config["aws:region"]},
		func(k string) string { return known[k] }); err != nil {
		t.Error(err)
	}
}

func TestLimitsThatDependOnEachOther(t *testing.T) {
	if data.QueueDays >= data.DeadLetterDays {
		t.Error("a message that waited long would expire when it becomes a dead letter")
	}
	for _, name := range slices.Sorted(maps.Keys(instances.Types)) {
		i := instances.Types[name]
		if i.MemoryMiB < 1024 || i.Budget() >= i.GCLimit() || i.GCLimit() >= i.MemoryMiB<<20*85/100 {
			t.Errorf("%s: memory budget %d, GOMEMLIMIT %d of %d MiB", name, i.Budget()>>20, i.GCLimit()>>20,
				i.MemoryMiB)
		}
	}
	for _, preset := range []string{Dev, Prod} {
		c, _, err := load(t, "x1", map[string]string{"profile": preset})
		if err != nil {
			t.Fatal(err)
		}
		if most := instances.Types[c.WorkerType].PhotoMemory(); most < settings.LargestPeak(settings.DefaultMaxPixels) {
			t.Errorf("%s: a %s has %d MiB for one photo, too little for the largest", preset, c.WorkerType, most>>20)
		}
	}
}
