package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/infra/testing/pulumitest"
)

// published runs a variant and returns its outputs, and their values once all of them are known.
func published(t *testing.T, variant string) (outputs []output, values map[string]any) {
	t.Helper()
	b := binary(t, "a release")
	g, err := pulumitest.Run(func(ctx *pulumi.Context) error {
		cfg, err := configOf(ctx)
		if err != nil {
			return err
		}
		s, err := Build(ctx, cfg, b, &fakeRoller{})
		if err != nil {
			return err
		}
		s.rollOut(ctx, &fakeRoller{})
		outputs = s.outputs()
		all := pulumi.Map{}
		for _, o := range outputs {
			all[o.name] = o.value
		}
		return ctx.RegisterResource("test:index:Outputs", "outputs", all, new(pulumi.CustomResourceState))
	}, "test", t.TempDir(), keysOf(variants[variant]))
	if err != nil {
		t.Fatal(err)
	}
	return outputs, g.Of("Outputs")[0].Inputs
}

func TestOutputs(t *testing.T) {
	outputs, got := published(t, "prod")
	if outputs[0].name != "url" {
		t.Error("the first output is not the url")
	}
	release := strings.Split(graphOf(t, "prod").Of("BucketObjectv2")[0].Text("key"), "/")[1]
	for name, want := range map[string]string{
		"url": "point a name that the certificate covers at LoadBalancer.imagery-test-lb.dnsName (CNAME or alias record), " +
			"then use https://<that name>",
		"balancerUrl": "https://LoadBalancer.imagery-test-lb.dnsName", "albDns": "LoadBalancer.imagery-test-lb.dnsName",
		"imagesBucket": "BucketV2.imagery-test-images.id", "releaseBucket": "BucketV2.imagery-test-releases.id",
		"table": "Table.imagery-test-images.name", "queueUrl": "Queue.imagery-test-queue.url",
		"dlqUrl":      "Queue.imagery-test-dead-letters.url",
		"serverGroup": "imagery-test-server", "workerGroup": "imagery-test-worker",
		"templateVersions": "map[server:7 worker:7]",
		"rolloutWorker":    "release " + release[:12] + " runs as version 7",
		"rolloutServer":    "release " + release[:12] + " runs as version 7",
		"guardAlarms": "map[server:[MetricAlarm.imagery-test-server-errors.name " +
			"MetricAlarm.imagery-test-server-latency.name] worker:[MetricAlarm.imagery-test-worker-failures.name]]",
		"alarmTopic": "Topic.imagery-test-alarms.arn", "region": region, "azs": "[eu-central-1a eu-central-1b]",
		"egress":  "endpoints",
		"release": release,
	} {
		if fmt.Sprint(got[name]) != want {
			t.Errorf("%s is %v, want %s", name, got[name], want)
		}
	}
	if s := fmt.Sprint(got["alarmSubscription"]); !strings.HasPrefix(s,
		"PENDING: open the link that AWS sent to ops@example.com") {
		t.Errorf("alarmSubscription: %s", s)
	}
	_, dev := published(t, "dev")
	if s := fmt.Sprint(dev["alarmSubscription"]); !strings.HasPrefix(s, "none") {
		t.Errorf("alarmSubscription without an address: %s", s)
	}
	if cost := fmt.Sprint(got["monthlyCostUsd"]); !strings.Contains(cost, priceDate) ||
		!strings.Contains(cost, "total:") || !strings.Contains(cost, "dominates:") {
		t.Errorf("monthlyCostUsd: %s", cost)
	}
	for _, o := range outputs {
		if got[o.name] == nil || o.doc == "" {
			t.Errorf("%s has no value or no explanation", o.name)
		}
	}
	const plain = "http://LoadBalancer.imagery-test-lb.dnsName"
	if dev["url"] != plain || dev["balancerUrl"] != plain {
		t.Errorf("without a certificate: url %v, balancerUrl %v", dev["url"], dev["balancerUrl"])
	}
}
