package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"imagery/infra/testing/pulumitest"
)

// suffix stands for the characters that Pulumi appends to a logical name.
const suffix = "-0123abc"

// physical is the name that AWS will see, for types where the program leaves it to Pulumi.
func physical(r *pulumitest.Resource) string {
	if n := r.Text("name"); n != "" {
		return n
	}
	return r.Name + suffix
}

// provider holds the rules that the AWS provider checks when it plans, which a mock does not run. Each returns a
// complaint or "".
var provider = map[string]func(r *pulumitest.Resource) string{
	"LoadBalancer": func(r *pulumitest.Resource) string {
		return firstText(form(physical(r), `^[0-9A-Za-z][0-9A-Za-z-]{0,30}[0-9A-Za-z]$`),
			not(strings.HasPrefix(physical(r), "internal-"), "reserved prefix"),
			oneOf(r, "desyncMitigationMode", "monitor", "defensive", "strictest"), exactlyOne(r, "subnets", "subnetMappings"))
	},
	"TargetGroup": func(r *pulumitest.Resource) string {
		return firstText(form(physical(r), `^[0-9A-Za-z][0-9A-Za-z-]{0,30}[0-9A-Za-z]$`),
			between(r, "deregistrationDelay", 0, 3600),
			between(r, "healthCheck.interval", 5, 300), between(r, "healthCheck.timeout", 2, r.Number("healthCheck.interval")-1),
			between(r, "healthCheck.healthyThreshold", 2, 10), between(r, "healthCheck.unhealthyThreshold", 2, 10),
			form(r.Text("healthCheck.path"), `^/.{0,999}$`), oneOf(r, "protocol", "HTTP", "HTTPS"), between(r, "port", 1, 65535),
			form(r.Text("vpcId"), `.`),
			not(r.Get("slowStart") != nil &&
				r.Text("loadBalancingAlgorithmType") == "least_outstanding_requests", "slow start with least outstanding"))
	},
	"Listener": func(r *pulumitest.Resource) string {
		return firstText(not(r.Text("defaultActions.0.type") == "forward" &&
			r.Text("defaultActions.0.targetGroupArn") == "", "forwards nowhere"),
			not(r.Text("defaultActions.0.type") == "redirect" && r.Get("defaultActions.0.redirect") == nil, "redirects nowhere"),
			not(r.Text("protocol") == "HTTPS" && r.Text("certificateArn") == "", "no certificate"))
	},
	"autoscaling/group:Group": func(r *pulumitest.Resource) string {
		return firstText(exactlyOne(r, "launchTemplate", "mixedInstancesPolicy", "launchConfiguration"),
			exactlyOne(r, "launchTemplate.id", "launchTemplate.name"),
			form(physical(r), `^.{1,255}$`), between(r, "instanceMaintenancePolicy.maxHealthyPercentage", 100, 200),
			between(r, "instanceMaintenancePolicy.minHealthyPercentage",
				r.Number("instanceMaintenancePolicy.maxHealthyPercentage")-100, 100),
			not(r.Get("availabilityZones") != nil, "zones and subnets"),
			not(r.Get("trafficSources") != nil, "traffic sources and target groups"),
			between(r, "maxSize", r.Number("minSize"), 1000))
	},
	"LifecycleHook": func(r *pulumitest.Resource) string { return between(r, "heartbeatTimeout", 30, 7200) },
	"Policy": func(r *pulumitest.Resource) string {
		at := "targetTrackingConfiguration."
		label := r.Text(at + "predefinedMetricSpecification.resourceLabel")
		return firstText(exactlyOne(r, at+"customizedMetricSpecification", at+"predefinedMetricSpecification"),
			not(len(label) > 1023, "label too long"),
			not(r.Get("cooldown") != nil, "cooldown belongs to simple scaling"), between(r, at+"targetValue", 1, 1e9))
	},
	"LaunchTemplate": func(r *pulumitest.Resource) string {
		return firstText(form(physical(r), `^[0-9A-Za-z()./_-]{3,125}$`),
			between(r, "metadataOptions.httpPutResponseHopLimit", 1, 64), not(len(r.Text("description")) > 255, "description"))
	},
	"Queue": func(r *pulumitest.Resource) string {
		return firstText(form(physical(r), `^[0-9A-Za-z_-]{1,80}$`), between(r, "messageRetentionSeconds", 60, 1209600),
			optionally(r, "visibilityTimeoutSeconds", 0, 43200),
			optionally(r, "receiveWaitTimeSeconds", 0, 20), optionally(r, "maxMessageSize", 1024, 262144),
			isJSON(r.Text("redrivePolicy")))
	},
	"Table": func(r *pulumitest.Resource) string {
		return between(r, "pointInTimeRecovery.recoveryPeriodInDays", 1, 35)
	},
	"BucketV2": func(r *pulumitest.Resource) string {
		for _, inline := range []string{"versionings", "lifecycleRules", "policy", "serverSideEncryptionConfigurations",
			"acl", "grants"} {
			if r.Get(inline) != nil {
				return inline + " fights with the side resource"
			}
		}
		return form(physical(r), `^[0-9a-z][0-9a-z.-]{1,61}[0-9a-z]$`)
	},
	"Role": func(r *pulumitest.Resource) string {
		return firstText(form(physical(r), `^[\w+=,.@-]{1,64}$`), isJSON(r.Text("assumeRolePolicy")),
			not(r.Get("inlinePolicies") != nil || r.Get("managedPolicyArns") != nil, "exclusive policies"))
	},
	"RolePolicy": func(r *pulumitest.Resource) string {
		return firstText(form(physical(r), `^[\w+=,.@-]{1,128}$`), isJSON(r.Text("policy")),
			not(strings.HasPrefix(r.Text("role"), "arn:"), "role is a name"))
	},
	"InstanceProfile": func(r *pulumitest.Resource) string { return form(physical(r), `^[\w+=,.@-]{1,128}$`) },
	"MetricAlarm": func(r *pulumitest.Resource) string {
		queries, _ := r.Get("metricQueries").([]any)
		for i := range queries {
			if s := exactlyOne(r, fmt.Sprintf("metricQueries.%d.expression", i),
				fmt.Sprintf("metricQueries.%d.metric", i)); s != "" {
				return s
			}
		}
		if len(queries) == 0 {
			if s := firstText(exactlyOne(r, "statistic", "extendedStatistic"),
				form(r.Text("period"), `^(10|30|60|120|180|240|300)$`)); s != "" {
				return s
			}
		}
		return firstText(form(physical(r), `^.{1,255}$`), exactlyOne(r, "metricName", "metricQueries"),
			between(r, "evaluationPeriods", 1, 100),
			between(r, "datapointsToAlarm", 1, r.Number("evaluationPeriods")),
			not(len(r.Texts("alarmActions")) > 5, "too many actions"))
	},
	"Topic": func(r *pulumitest.Resource) string { return form(physical(r), `^[0-9A-Za-z_-]{1,256}$`) },
	"SecurityGroup": func(r *pulumitest.Resource) string {
		return form(r.Text("description"), `^[0-9A-Za-z_ .:/()#,@\[\]+=&;{}!$*-]{1,255}$`)
	},
	"LogGroup": func(r *pulumitest.Resource) string { return form(physical(r), `^[.\-_/#A-Za-z0-9]{1,512}$`) },
	"Dashboard": func(r *pulumitest.Resource) string {
		return firstText(form(r.Text("dashboardName"), `^[0-9A-Za-z_-]{1,255}$`), isJSON(r.Text("dashboardBody")))
	},
	"BucketPolicy": func(r *pulumitest.Resource) string { return isJSON(r.Text("policy")) },
	"TopicPolicy":  func(r *pulumitest.Resource) string { return isJSON(r.Text("policy")) },
}

func TestProviderWouldAccept(t *testing.T) {
	longest := strings.Repeat("x", maxNameLength-len("imagery-"))
	for variant, config := range variants {
		g := run(t, longest, config, binary(t, "a release"))
		for kind, rule := range provider {
			if len(g.Of(kind)) == 0 {
				t.Errorf("%s: no %s to check", variant, kind)
			}
			for _, r := range g.Of(kind) {
				if s := rule(r); s != "" {
					t.Errorf("%s: %s: %s", variant, r.URN(), s)
				}
			}
		}
	}
}

// The rules themselves must be able to say no.
func TestProviderWouldRefuse(t *testing.T) {
	for kind, damage := range map[string]func(r *pulumitest.Resource){
		"LoadBalancer": func(r *pulumitest.Resource) { r.Name = "imagery-a-stack-with-a-long-name-lb" },
		"TargetGroup":  func(r *pulumitest.Resource) { r.Set("healthCheck.timeout", 10.0) },
		"Listener": func(r *pulumitest.Resource) {
			r.Set("defaultActions.0.targetGroupArn", nil)
			r.Set("defaultActions.0.type", "forward")
		},
		"autoscaling/group:Group": func(r *pulumitest.Resource) { r.Set("launchTemplate.name", "x") },
		"LifecycleHook":           func(r *pulumitest.Resource) { r.Set("heartbeatTimeout", 10.0) },
		"LaunchTemplate":          func(r *pulumitest.Resource) { r.Set("name", "a b") },
		"Queue":                   func(r *pulumitest.Resource) { r.Set("redrivePolicy", "{") },
		"MetricAlarm":             func(r *pulumitest.Resource) { r.Set("datapointsToAlarm", 100.0) },
		"SecurityGroup":           func(r *pulumitest.Resource) { r.Set("description", "the server's") },
		"RolePolicy":              func(r *pulumitest.Resource) { r.Set("role", "arn:aws:iam::1:role/x") },
		"BucketV2":                func(r *pulumitest.Resource) { r.Name = "Images" },
	} {
		r := graphOf(t, "prod").Clone().Of(kind)[0]
		damage(r)
		if provider[kind](r) == "" {
			t.Errorf("%s: the damage was not noticed", kind)
		}
	}
}

func firstText(complaints ...string) string {
	for _, c := range complaints {
		if c != "" {
			return c
		}
	}
	return ""
}

func form(v, pattern string) string {
	return not(!regexp.MustCompile(pattern).MatchString(v), fmt.Sprintf("%q does not match %s", v, pattern))
}

func not(bad bool, complaint string) string {
	if bad {
		return complaint
	}
	return ""
}

func oneOf(r *pulumitest.Resource, path string, options ...string) string {
	return form(r.Text(path), "^("+strings.Join(options, "|")+")$")
}

func exactlyOne(r *pulumitest.Resource, paths ...string) string {
	n := 0
	for _, p := range paths {
		if r.Get(p) != nil {
			n++
		}
	}
	return not(n != 1, fmt.Sprintf("%d of %v are set", n, paths))
}

func between(r *pulumitest.Resource, path string, least, most float64) string {
	v := r.Number(path)
	return not(v < least || v > most, fmt.Sprintf("%s is %v, want %v to %v", path, v, least, most))
}

func optionally(r *pulumitest.Resource, path string, least, most float64) string {
	if r.Get(path) == nil {
		return ""
	}
	return between(r, path, least, most)
}

func isJSON(s string) string { return not(s != "" && !json.Valid([]byte(s)), "is no JSON: "+s) }
