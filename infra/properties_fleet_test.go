package main

import (
	"fmt"
	"slices"
	"strings"

	"imagery/app/deploy/settings"
	"imagery/infra/compute"
	"imagery/infra/testing/pulumitest"
)

// fleetGroups are the Auto Scaling groups; "Group" alone would find more.
func fleetGroups(g *pulumitest.Graph) []*pulumitest.Resource {
	return g.Of("aws:autoscaling/group:Group")
}

const asg = "aws:autoscaling/group:Group"

// bootNeeds lists the resources that must exist before the first instance: a boot that meets a missing piece fails for
// good.
var bootNeeds = map[string]string{
	"RolePolicy": "-boot", "InstanceProfile": "", "BucketObjectv2": "-release", "BucketPolicy": "-releases-policy",
	"LogGroup": "",
	"Table":    "-images", "Queue": "-queue", "VpcEndpoint": "-s3", "RouteTableAssociation": "-private-1",
	"SecurityGroupEgressRule": "-to-s3",
}

var fleetProperties = []property{
	fixed("LaunchTemplate", "metadataOptions.httpTokens", "required", "optional"),
	fixed("LaunchTemplate", "metadataOptions.httpPutResponseHopLimit", "1", 2.0),
	fixed("LaunchTemplate", "blockDeviceMappings.0.ebs.encrypted", "true", "false"),
	fixed("LaunchTemplate", "blockDeviceMappings.0.ebs.volumeType", "gp3", "gp2"),
	fixed("LaunchTemplate", "instanceInitiatedShutdownBehavior", "terminate", "stop"),
	{name: "templates tag what the provider's tags do not reach",
		check: func(g *pulumitest.Graph) error {
			for _, l := range g.Of("LaunchTemplate") {
				for i, kind := range []string{"instance", "volume", "network-interface"} {
					at := fmt.Sprintf("tagSpecifications.%d.", i)
					if l.Text(at+"resourceType") != kind || l.Text(at+"tags.stack") != "test" ||
						l.Text(at+"tags.project") != "imagery" {
						return fmt.Errorf("%s: %v", l.Name, l.Get("tagSpecifications"))
					}
				}
			}
			return nil
		}, damage: set("LaunchTemplate", "tagSpecifications.1.tags.stack", nil)},
	{name: "the provider tags everything",
		check: func(g *pulumitest.Graph) error {
			if p := g.Of("pulumi:providers:aws")[0]; !strings.Contains(p.Text("defaultTags"), "imagery") ||
				p.Text("region") != region {
				return fmt.Errorf("%v", p.Inputs)
			}
			return nil
		}, damage: func(g *pulumitest.Graph) { g.Of("pulumi:providers:aws")[0].Set("defaultTags", nil) }},
	{name: "burstable instances boot at full speed: they get no launch credits, so that standard mode would throttle them",
		check: func(g *pulumitest.Graph) error {
			for _, l := range g.Of("LaunchTemplate") {
				want := ""
				if strings.HasPrefix(l.Text("instanceType"), "t") {
					want = "unlimited"
				}
				if l.Text("creditSpecification.cpuCredits") != want {
					return fmt.Errorf("%s: %s with credits %q", l.Name, l.Text("instanceType"),
						l.Text("creditSpecification.cpuCredits"))
				}
			}
			return nil
		}, damage: func(g *pulumitest.Graph) {
			g.One("LaunchTemplate", "-server").Set("creditSpecification.cpuCredits", "standard")
		}},
	{name: "a template is of its own role: profile, firewall, image",
		check: func(g *pulumitest.Graph) error {
			for _, role := range roles {
				l, p := g.One("LaunchTemplate", "-"+role), g.One("InstanceProfile", "-"+role)
				if l.Text("iamInstanceProfile.arn") != pulumitest.Mark(p.Type, p.Name, "arn") ||
					p.Text("role") != pulumitest.Mark("aws:iam/role:Role", p.Name, "name") ||
					!slices.Equal(l.Texts("vpcSecurityGroupIds"), []string{group(g, "-"+role)}) ||
					!strings.HasPrefix(l.Text("imageId"), "ami-") || l.Get("networkInterfaces") != nil {
					return fmt.Errorf("%s: %v", l.Name, l.Inputs)
				}
			}
			return nil
		}, damage: func(g *pulumitest.Graph) {
			g.One("LaunchTemplate", "-worker").Set("iamInstanceProfile.arn", "InstanceProfile.imagery-test-server.arn")
		}},
	{name: "groups start from a numbered version of their own template",
		check: func(g *pulumitest.Graph) error {
			for _, role := range roles {
				a, l := g.One(asg, "-"+role), g.One("LaunchTemplate", "-"+role)
				if a.Text("launchTemplate.id") != l.ID || a.Text("launchTemplate.version") != "7" ||
					a.Get("launchTemplate.name") != nil {
					return fmt.Errorf("%s: %v", a.Name, a.Get("launchTemplate"))
				}
			}
			return nil
		}, damage: set(asg, "launchTemplate.version", "$Latest")},
	{name: "no refresh by the provider, no size, no wait for capacity",
		check: func(g *pulumitest.Graph) error {
			for _, a := range fleetGroups(g) {
				for _, p := range []string{"instanceRefresh", "desiredCapacity", "minElbCapacity", "waitForElbCapacity",
					"availabilityZones", "mixedInstancesPolicy", "launchConfiguration"} {
					if a.Get(p) != nil {
						return fmt.Errorf("%s has %s", a.Name, p)
					}
				}
				if a.Text("waitForCapacityTimeout") != "0" || a.DeleteTimeout != "30m" {
					return fmt.Errorf("%s waits %q, deletes in %q", a.Name, a.Text("waitForCapacityTimeout"), a.DeleteTimeout)
				}
			}
			return nil
		}, damage: set(asg, "desiredCapacity", 2.0)},
	{name: "hooks exist at creation, and as twins that can be edited",
		check: func(g *pulumitest.Graph) error {
			for _, a := range fleetGroups(g) {
				for i, want := range [][2]string{{compute.LaunchHook, "ABANDON"}, {compute.TerminateHook, "CONTINUE"}} {
					at := fmt.Sprintf("initialLifecycleHooks.%d.", i)
					twin := g.One("LifecycleHook", a.Name+"-"+want[0])
					if a.Text(at+"name") != want[0] || a.Text(at+"defaultResult") != want[1] ||
						twin.Text("autoscalingGroupName") != a.Text("name") {
						return fmt.Errorf("%s: hook %v", a.Name, a.Get(at[:len(at)-1]))
					}
					for _, p := range []string{"name", "defaultResult", "heartbeatTimeout", "lifecycleTransition"} {
						if twin.Text(p) != a.Text(at+p) {
							return fmt.Errorf("%s: %s of the twins differs", twin.Name, p)
						}
					}
				}
			}
			return nil
		}, damage: set(asg, "initialLifecycleHooks.0.defaultResult", "CONTINUE")},
	{name: "a stop fits into the terminate hook, a job into a stop",
		check: func(g *pulumitest.Graph) error {
			for _, h := range g.Of("LifecycleHook") {
				if h.Text("name") == compute.TerminateHook &&
					(h.Number("heartbeatTimeout") <= settings.StopTimeout.Seconds() || settings.StopTimeout <= settings.JobTimeout) {
					return fmt.Errorf("%s: %v s", h.Name, h.Number("heartbeatTimeout"))
				}
			}
			return nil
		}, damage: func(g *pulumitest.Graph) { g.One("LifecycleHook", "worker-terminate").Set("heartbeatTimeout", 60.0) }},
	{name: "replacements launch before they terminate",
		check: func(g *pulumitest.Graph) error {
			for _, a := range fleetGroups(g) {
				least, most := a.Number("instanceMaintenancePolicy.minHealthyPercentage"),
					a.Number("instanceMaintenancePolicy.maxHealthyPercentage")
				if least != 100 || most < 110 || most > 200 || a.Number("minSize")*most/100 < a.Number("minSize")+1 {
					return fmt.Errorf("%s: %v to %v percent of %v", a.Name, least, most, a.Number("minSize"))
				}
			}
			return nil
		}, damage: set(asg, "instanceMaintenancePolicy.maxHealthyPercentage", 110.0)},
	{name: "servers are judged by the balancer, workers by EC2",
		check: func(g *pulumitest.Graph) error {
			s, w := g.One(asg, "-server"), g.One(asg, "-worker")
			tg := g.Of("TargetGroup")[0]
			if s.Text("healthCheckType") != "ELB" ||
				!slices.Equal(s.Texts("targetGroupArns"), []string{pulumitest.Mark(tg.Type, tg.Name, "arn")}) ||
				w.Text("healthCheckType") != "EC2" || len(w.Texts("targetGroupArns")) != 0 {
				return fmt.Errorf("server %s, worker %s", s.Text("healthCheckType"), w.Text("healthCheckType"))
			}
			return nil
		}, damage: func(g *pulumitest.Graph) { g.One(asg, "-server").Set("healthCheckType", "EC2") }},
	{name: "groups count what scaling and alarms ask for, and tag instances",
		check: func(g *pulumitest.Graph) error {
			for _, a := range fleetGroups(g) {
				if !slices.Contains(a.Texts("enabledMetrics"), "GroupInServiceInstances") {
					return fmt.Errorf("%s: %v", a.Name, a.Texts("enabledMetrics"))
				}
				for i := range a.Get("tags").([]any) {
					if a.Text(fmt.Sprintf("tags.%d.propagateAtLaunch", i)) != "true" {
						return fmt.Errorf("%s: %v", a.Name, a.Get("tags"))
					}
				}
			}
			return nil
		}, damage: set(asg, "enabledMetrics", []any{"GroupMinSize"})},
	{name: "the first instance finds all that its boot needs",
		check: func(g *pulumitest.Graph) error {
			for _, a := range fleetGroups(g) {
				for kind, suffix := range bootNeeds {
					if !a.DependsOn(kind, suffix) {
						return fmt.Errorf("%s does not wait for %s %s", a.Name, kind, suffix)
					}
				}
			}
			for _, kind := range []string{"Listener", "SecurityGroupIngressRule"} {
				if !g.One(asg, "-server").DependsOn(kind, "") {
					return fmt.Errorf("servers do not wait for %s", kind)
				}
			}
			return nil
		}, damage: func(g *pulumitest.Graph) {
			a := g.One(asg, "-server")
			a.Dependencies = slices.DeleteFunc(a.Dependencies,
				func(urn string) bool { return strings.Contains(urn, "RolePolicy") })
		}},
	{name: "a way out exists before the first instance", check: func(g *pulumitest.Graph) error {
		for _, a := range fleetGroups(g) {
			for _, r := range slices.Concat(g.Of("NatGateway"), g.Of("Route"), g.Of("VpcEndpoint")) {
				if !a.DependsOn(r.Type[strings.LastIndex(r.Type, ":")+1:], r.Name) {
					return fmt.Errorf("%s does not wait for %s", a.Name, r.Name)
				}
			}
		}
		return nil
	}, damage: func(g *pulumitest.Graph) { fleetGroups(g)[1].Dependencies = nil }, in: "natPerAz"},
	{name: "servers scale by requests to their own target group", check: func(g *pulumitest.Graph) error {
		p, b, tg := g.One("Policy", "-server-scaling"), g.Of("LoadBalancer")[0], g.Of("TargetGroup")[0]
		want := pulumitest.Mark(b.Type, b.Name, "arnSuffix") + "/" + pulumitest.Mark(tg.Type, tg.Name, "arnSuffix")
		if p.Text("targetTrackingConfiguration.predefinedMetricSpecification.resourceLabel") != want ||
			p.Text("autoscalingGroupName") != g.One(asg, "-server").Text("name") ||
			!p.DependsOn("Listener", "") {
			return fmt.Errorf("%v", p.Inputs)
		}
		return nil
	}, damage: func(g *pulumitest.Graph) {
		g.One("Policy", "-server-scaling").Set("targetTrackingConfiguration.predefinedMetricSpecification.resourceLabel",
			"app/x/1/targetgroup/y/2")
	}},
	{name: "workers scale by waiting and flying messages of their queue, and one result",
		check: func(g *pulumitest.Graph) error {
			p, q := g.One("Policy", "-worker-scaling"), g.One("Queue", "-queue")
			at := "targetTrackingConfiguration.customizedMetricSpecification.metrics"
			results, names := 0, map[string]string{}
			for i := range p.Get(at).([]any) {
				m := fmt.Sprintf("%s.%d.", at, i)
				if p.Text(m+"returnData") != "false" {
					results++
				}
				names[p.Text(m+"metricStat.metric.metricName")] = p.Text(m + "metricStat.metric.dimensions.0.value")
			}
			queue := pulumitest.Mark(q.Type, q.Name, "name")
			if results != 1 || names["ApproximateNumberOfMessagesVisible"] != queue ||
				names["ApproximateNumberOfMessagesNotVisible"] != queue ||
				names["GroupInServiceInstances"] != g.One(asg, "-worker").Text("name") {
				return fmt.Errorf("%d results over %v", results, names)
			}
			return nil
		}, damage: func(g *pulumitest.Graph) {
			g.One("Policy", "-worker-scaling").Set(
				"targetTrackingConfiguration.customizedMetricSpecification.metrics.1.returnData", nil)
		}},
	{name: "log groups forget in time", check: func(g *pulumitest.Graph) error {
		for _, l := range g.Of("LogGroup") {
			if !slices.Contains(retentions, int(l.Number("retentionInDays"))) {
				return fmt.Errorf("%s: %v days", l.Name, l.Number("retentionInDays"))
			}
		}
		if len(g.Of("LogGroup")) != 2 {
			return fmt.Errorf("%d log groups", len(g.Of("LogGroup")))
		}
		return nil
	}, damage: set("LogGroup", "retentionInDays", 0.0)},
}
