package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"imagery/app/deploy/settings"
	"imagery/infra/edge"
	"imagery/infra/policy"
	"imagery/infra/testing/pulumitest"
)

var dataProperties = []property{
	{name: "each bucket is private, TLS-only, encrypted and swept, one call after the other",
		check: func(g *pulumitest.Graph) error {
			for _, b := range g.Of("BucketV2") {
				if err := bucketIsSafe(g, b); err != nil {
					return fmt.Errorf("%s: %w", b.Name, err)
				}
			}
			return nil
		}, damage: func(g *pulumitest.Graph) { g.Of("BucketPolicy")[1].Dependencies = nil }},
	fixed("BucketPublicAccessBlock", "restrictPublicBuckets", "true", false),
	fixed("BucketPublicAccessBlock", "blockPublicAcls", "true", false),
	fixed("BucketPublicAccessBlock", "blockPublicPolicy", "true", false),
	fixed("BucketPublicAccessBlock", "ignorePublicAcls", "true", false),
	fixed("BucketOwnershipControls", "rule.objectOwnership", "BucketOwnerEnforced", "ObjectWriter"),
	fixed("BucketServerSideEncryptionConfigurationV2", "rules.0.applyServerSideEncryptionByDefault.sseAlgorithm", "AES256",
		"aws:kms"),
	{name: "bucket policies deny what comes without TLS 1.2",
		check: func(g *pulumitest.Graph) error {
			for _, p := range g.Of("BucketPolicy") {
				for _, want := range []string{`"aws:SecureTransport":["false"]`, `"s3:TlsVersion":["1.2"]`, `"Effect":"Deny"`} {
					if !strings.Contains(p.Text("policy"), want) {
						return fmt.Errorf("%s lacks %s", p.Name, want)
					}
				}
			}
			return nil
		}, damage: set("BucketPolicy", "policy", "{}")},
	{name: "lifecycle rules have an id, a filter and one purpose",
		check: func(g *pulumitest.Graph) error {
			for _, l := range g.Of("BucketLifecycleConfigurationV2") {
				for i := range l.Get("rules").([]any) {
					at := fmt.Sprintf("rules.%d.", i)
					_, filter := l.Get(at + "filter").(map[string]any)
					if !filter || l.Text(at+"id") == "" || l.Text(at+"status") != "Enabled" || l.Get(at+"prefix") != nil ||
						(l.Get(at+"expiration") == nil) == (l.Get(at+"abortIncompleteMultipartUpload") == nil) {
						return fmt.Errorf("%s: %v", l.Name, l.Get(at[:len(at)-1]))
					}
				}
			}
			return nil
		}, damage: set("BucketLifecycleConfigurationV2", "rules.0.filter", nil)},
	{name: "originals expire as configured, results and releases never",
		check: func(g *pulumitest.Graph) error {
			for _, l := range g.Of("BucketLifecycleConfigurationV2") {
				for i := range l.Get("rules").([]any) {
					prefix, days := l.Text(fmt.Sprintf("rules.%d.filter.prefix", i)),
						l.Number(fmt.Sprintf("rules.%d.expiration.days", i))
					switch {
					case days < 0, strings.Contains(l.Name, "access-logs"), prefix == "selftest/":
					case prefix != "upload/" || days != 30 || !strings.Contains(l.Name, "-images-"):
						return fmt.Errorf("%s removes %q after %v days", l.Name, prefix, days)
					}
				}
			}
			return nil
		}, damage: func(g *pulumitest.Graph) {
			g.One("BucketLifecycleConfigurationV2", "-images-lifecycle").Set("rules.2.filter.prefix", "processed/")
		}},
	fixed("Table", "billingMode", "PAY_PER_REQUEST", "PROVISIONED"),
	fixed("Table", "hashKey", "id", "key"),
	fixed("Table", "ttl.attributeName", "expires", "ttl"),
	fixed("Table", "pointInTimeRecovery.enabled", "true", false),
	fixed("Table", "globalSecondaryIndexes.0.name", "pending-index", "pending"),
	fixed("Table", "globalSecondaryIndexes.0.projectionType", "KEYS_ONLY", "ALL"),
	{name: "the table declares exactly the attributes of its keys",
		check: func(g *pulumitest.Graph) error {
			t := g.Of("Table")[0]
			keys := []string{t.Text("hashKey"), t.Text("globalSecondaryIndexes.0.hashKey"),
				t.Text("globalSecondaryIndexes.0.rangeKey")}
			var declared []string
			for i := range t.Get("attributes").([]any) {
				declared = append(declared, t.Text(fmt.Sprintf("attributes.%d.name", i)))
			}
			slices.Sort(keys)
			slices.Sort(declared)
			if !slices.Equal(keys, declared) {
				return fmt.Errorf("keys %v, attributes %v", keys, declared)
			}
			return nil
		}, damage: set("Table", "attributes.0.name", "version")},
	{name: "data is protected as configured",
		check: func(g *pulumitest.Graph) error {
			want := g.Of("Table")[0].Protect
			for _, r := range slices.Concat(g.Of("Queue"), []*pulumitest.Resource{g.One("BucketV2", "-images")}) {
				if r.Protect != want {
					return fmt.Errorf("%s: protected %t, the table %t", r.Name, r.Protect, want)
				}
			}
			for r, path := range map[string]string{"Table": "deletionProtectionEnabled",
				"LoadBalancer": "enableDeletionProtection"} {
				if g.Of(r)[0].Text(path) != fmt.Sprint(want) {
					return fmt.Errorf("%s: %s is not %t", r, path, want)
				}
			}
			if g.One("BucketV2", "-images").Text("forceDestroy") == fmt.Sprint(want) ||
				g.One("BucketV2", "-releases").Text("forceDestroy") != "true" {
				return fmt.Errorf("buckets: a destroy empties the wrong one")
			}
			return nil
		}, damage: func(g *pulumitest.Graph) { g.Of("Queue")[0].Protect = false }},
	{name: "queues are encrypted, dead letters outlive the queue, the redrive is what AWS gives back",
		check: queuesFit, damage: func(g *pulumitest.Graph) {
			q := g.One("Queue", "-queue")
			q.Set("redrivePolicy", strings.ReplaceAll(q.Text("redrivePolicy"), ":5}", `:"5"}`))
		}},
	{name: "a message stays hidden for longer than a job", check: queuesFit, damage: func(g *pulumitest.Graph) {
		g.One("Queue", "-queue").Set("visibilityTimeoutSeconds", 60.0)
	}},
	{name: "the release lies under its hash and is never deleted",
		check: func(g *pulumitest.Graph) error {
			o := g.Of("BucketObjectv2")[0]
			if !o.RetainOnDelete || !releaseKey.MatchString(o.Text("key")) || o.Get("source") == nil || o.Get("content") != nil {
				return fmt.Errorf("%s: retained %t, key %s", o.Name, o.RetainOnDelete, o.Text("key"))
			}
			return nil
		}, damage: func(g *pulumitest.Graph) { g.Of("BucketObjectv2")[0].RetainOnDelete = false }},
}

// bucketIsSafe wants the five side resources, each waiting for the one before.
func bucketIsSafe(g *pulumitest.Graph, b *pulumitest.Resource) error {
	before := ""
	for _, kind := range []string{"BucketOwnershipControls", "BucketPublicAccessBlock", "BucketPolicy",
		"BucketServerSideEncryptionConfigurationV2", "BucketLifecycleConfigurationV2"} {
		i := slices.IndexFunc(g.Of(kind), func(r *pulumitest.Resource) bool { return r.Text("bucket") == b.ID })
		if i < 0 {
			return fmt.Errorf("has no %s", kind)
		}
		if before != "" && !g.Of(kind)[i].DependsOn(before, "") {
			return fmt.Errorf("%s does not wait for %s", kind, before)
		}
		before = kind
	}
	return nil
}

func queuesFit(g *pulumitest.Graph) error {
	q, dead := g.One("Queue", "-queue"), g.One("Queue", "-dead-letters")
	for _, r := range []*pulumitest.Resource{q, dead} {
		if r.Text("sqsManagedSseEnabled") != "true" || r.Get("kmsMasterKeyId") != nil {
			return fmt.Errorf("%s is not encrypted by SQS", r.Name)
		}
	}
	if dead.Number("messageRetentionSeconds") <= q.Number("messageRetentionSeconds") ||
		dead.Number("messageRetentionSeconds") > 14*86400 {
		return fmt.Errorf("dead letters are kept %v s, messages %v s", dead.Number("messageRetentionSeconds"),
			q.Number("messageRetentionSeconds"))
	}
	if q.Number("visibilityTimeoutSeconds") <= settings.JobTimeout.Seconds() {
		return fmt.Errorf("hidden for %v s, a job takes %s", q.Number("visibilityTimeoutSeconds"), settings.JobTimeout)
	}
	want := fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, pulumitest.Mark(dead.Type, dead.Name, "arn"),
		settings.QueueMaxReceives)
	if q.Text("redrivePolicy") != want {
		return fmt.Errorf("redrive policy %s, want %s", q.Text("redrivePolicy"), want)
	}
	allow := g.Of("RedriveAllowPolicy")[0]
	want = fmt.Sprintf(`{"redrivePermission":"byQueue","sourceQueueArns":[%q]}`, pulumitest.Mark(q.Type, q.Name, "arn"))
	if allow.Text("redriveAllowPolicy") != want || allow.Text("queueUrl") != pulumitest.Mark(dead.Type, dead.Name, "url") {
		return fmt.Errorf("redrive allow policy %s on %s", allow.Text("redriveAllowPolicy"), allow.Text("queueUrl"))
	}
	return nil
}

var edgeProperties = []property{
	{name: "HTTP forwards; with a certificate HTTPS forwards and HTTP redirects",
		check: func(g *pulumitest.Graph) error {
			tg := g.Of("TargetGroup")[0]
			forwards, redirects := 0, 0
			for _, l := range g.Of("Listener") {
				switch l.Text("defaultActions.0.type") {
				case "forward":
					forwards++
					if l.Text("defaultActions.0.targetGroupArn") != pulumitest.Mark(tg.Type, tg.Name, "arn") {
						return fmt.Errorf("%s forwards elsewhere", l.Name)
					}
					if len(g.Of("Listener")) == 2 &&
						(l.Text("certificateArn") == "" || !strings.Contains(l.Text("sslPolicy"), "TLS13-1-2")) {
						return fmt.Errorf("%s forwards without TLS 1.2", l.Name)
					}
				case "redirect":
					redirects++
					if l.Text("defaultActions.0.redirect.statusCode") != "HTTP_301" {
						return fmt.Errorf("%s: %v", l.Name, l.Get("defaultActions.0"))
					}
				}
			}
			if forwards != 1 || redirects != len(g.Of("Listener"))-1 {
				return fmt.Errorf("%d forward, %d redirect", forwards, redirects)
			}
			return nil
		}, damage: func(g *pulumitest.Graph) { g.One("Listener", "-https").Set("sslPolicy", "ELBSecurityPolicy-2016-08") }},
	{name: "HTTP redirects only when HTTPS answers",
		check: func(g *pulumitest.Graph) error {
			for _, l := range g.Of("Listener") {
				if l.Text("defaultActions.0.type") == "redirect" && !l.DependsOn("Listener", "-https") {
					return fmt.Errorf("%s does not wait for HTTPS", l.Name)
				}
			}
			return nil
		}, damage: func(g *pulumitest.Graph) { g.One("Listener", "-http").Dependencies = nil }},
	{name: "the balancer is in a public subnet of every zone, and waits for their routes",
		check: func(g *pulumitest.Graph) error {
			b := g.Of("LoadBalancer")[0]
			if n := len(b.Texts("subnets")); n != len(zonesOf(g)) || b.Get("subnetMappings") != nil ||
				strings.Contains(b.Text("subnets"), "private") {
				return fmt.Errorf("subnets %v", b.Texts("subnets"))
			}
			if !b.DependsOn("InternetGateway", "") || !b.DependsOn("Route", "-public-internet") ||
				!b.DependsOn("RouteTableAssociation", "-public-1") {
				return fmt.Errorf("does not wait")
			}
			return nil
		}, damage: func(g *pulumitest.Graph) { g.Of("LoadBalancer")[0].Dependencies = nil }},
	{name: "the balancer closes idle connections before the server does",
		check: func(g *pulumitest.Graph) error {
			if idle := g.Of("LoadBalancer")[0].Number("idleTimeout"); idle <= 0 || idle >= settings.IdleTimeout.Seconds() ||
				idle >= settings.ReadHeaderTimeout.Seconds() {
				return fmt.Errorf("balancer %v s, server %s and %s", idle, settings.IdleTimeout, settings.ReadHeaderTimeout)
			}
			return nil
		}, damage: set("LoadBalancer", "idleTimeout", 120.0)},
	{name: "draining outlasts the longest request and ends before a kill",
		check: func(g *pulumitest.Graph) error {
			if d := g.Of("TargetGroup")[0].Number("deregistrationDelay"); d <= settings.UploadTimeout.Seconds() ||
				d >= settings.StopTimeout.Seconds() || d != edge.DrainDelay.Seconds() {
				return fmt.Errorf("%v s", d)
			}
			return nil
		}, damage: set("TargetGroup", "deregistrationDelay", 30.0)},
	fixed("LoadBalancer", "dropInvalidHeaderFields", "true", false),
	fixed("LoadBalancer", "loadBalancerType", "application", "network"),
	fixed("TargetGroup", "healthCheck.path", "/healthz", "/readyz"),
	fixed("TargetGroup", "healthCheck.matcher", "200", "200-499"),
	fixed("TargetGroup", "port", "8080", 80.0),
	{name: "access logs have a bucket that lets exactly their sender in",
		check: func(g *pulumitest.Graph) error {
			b := g.Of("LoadBalancer")[0]
			if b.Get("accessLogs") == nil {
				return nil
			}
			p := g.One("BucketPolicy", "-access-logs-policy")
			var doc policy.Document
			if err := json.Unmarshal([]byte(p.Text("policy")), &doc); err != nil {
				return err
			}
			for _, s := range doc.Statement {
				if s.Effect == "Allow" && (!slices.Equal(s.Action, []string{"s3:PutObject"}) || s.Principal == "*") {
					return fmt.Errorf("allows %v to %v", s.Action, s.Principal)
				}
			}
			if !b.DependsOn("BucketPolicy", "-access-logs-policy") ||
				!strings.Contains(p.Text("policy"), "logdelivery.elasticloadbalancing") {
				return fmt.Errorf("the balancer does not wait for its bucket's policy")
			}
			return nil
		}, damage: func(g *pulumitest.Graph) {
			p := g.One("BucketPolicy", "-access-logs-policy")
			p.Set("policy", strings.ReplaceAll(p.Text("policy"), "s3:PutObject", "s3:GetObject"))
		}},
}

var releaseKey = regexp.MustCompile(`^releases/[0-9a-f]{64}/imagery$`)
