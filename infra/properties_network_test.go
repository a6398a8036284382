package main

import (
	"fmt"
	"slices"
	"strings"

	"imagery/infra/testing/pulumitest"
)

var networkProperties = []property{
	{name: "each firewall rule has one peer, and ports",
		check: func(g *pulumitest.Graph) error {
			for _, r := range rules(g) {
				n := 0
				for _, p := range peers {
					if r.Text(p) != "" {
						n++
					}
				}
				if n != 1 || r.Number("fromPort") < 1 || r.Number("fromPort") != r.Number("toPort") ||
					r.Text("ipProtocol") != "tcp" {
					return fmt.Errorf("%s has %d peers: %v", r.Name, n, r.Inputs)
				}
			}
			return nil
		}, damage: set("SecurityGroupEgressRule", "cidrIpv4", world)},
	// Rules are resources of their own, never inline.
	fixed("SecurityGroup", "ingress", "", []any{}),
	fixed("SecurityGroup", "egress", "", []any{}),
	{name: "no inbound connections to workers",
		check: func(g *pulumitest.Graph) error {
			if in := opens(g, "SecurityGroupIngressRule", group(g, "-worker")); len(in) > 0 {
				return fmt.Errorf("%s allows inbound connections", in[0].Name)
			}
			return nil
		}, damage: func(g *pulumitest.Graph) {
			g.One("SecurityGroupIngressRule", "-server-from-peer").Set("securityGroupId", group(g, "-worker"))
		}},
	{name: "only the load balancer may connect to a server",
		check: func(g *pulumitest.Graph) error {
			in := opens(g, "SecurityGroupIngressRule", group(g, "-server"))
			if len(in) != 1 || in[0].Text("referencedSecurityGroupId") != group(g, "-lb") || in[0].Text("fromPort") != "8080" {
				return fmt.Errorf("%d rules allow inbound connections", len(in))
			}
			out := opens(g, "SecurityGroupEgressRule", group(g, "-lb"))
			if len(out) != 1 || out[0].Text("referencedSecurityGroupId") != group(g, "-server") {
				return fmt.Errorf("the balancer reaches %d peers", len(out))
			}
			return nil
		}, damage: func(g *pulumitest.Graph) {
			g.One("SecurityGroupIngressRule", "-server-from-peer").Set("referencedSecurityGroupId", group(g, "-worker"))
		}},
	{name: "only the load balancer is open to addresses",
		check: func(g *pulumitest.Graph) error {
			for _, r := range g.Of("SecurityGroupIngressRule") {
				if r.Text("cidrIpv4") != "" && r.Text("securityGroupId") != group(g, "-lb") {
					return fmt.Errorf("%s opens %s", r.Name, r.Text("securityGroupId"))
				}
			}
			return nil
		}, damage: func(g *pulumitest.Graph) {
			g.One("SecurityGroupIngressRule", "lb-80-203.0.113.0/24").Set("securityGroupId", group(g, "-server"))
		}},
	{name: "each fleet reaches S3, DynamoDB and the other services by HTTPS", check: everyPathOut,
		damage: drop("SecurityGroupEgressRule", "-worker-to-endpoints")},
	{name: "a fleet without endpoints reaches the internet", check: everyPathOut,
		damage: drop("SecurityGroupEgressRule", "-server-to-internet"), in: "nat"},
	{name: "both gateway endpoints are on every route table",
		check: func(g *pulumitest.Graph) error {
			for _, service := range []string{"s3", "dynamodb"} {
				e := g.One("VpcEndpoint", "-"+service)
				if n := len(e.Texts("routeTableIds")); n != len(g.Of("RouteTable")) || e.Text("vpcEndpointType") != "Gateway" {
					return fmt.Errorf("%s is on %d route tables", e.Name, n)
				}
			}
			return nil
		}, damage: func(g *pulumitest.Graph) {
			e := g.One("VpcEndpoint", "-s3")
			e.Set("routeTableIds", e.Get("routeTableIds").([]any)[1:])
		}},
	{name: "an interface endpoint is in every zone, answers the usual name, and admits both fleets",
		check: func(g *pulumitest.Graph) error {
			for _, e := range g.Of("VpcEndpoint") {
				if e.Text("vpcEndpointType") != "Interface" {
					continue
				}
				if len(e.Texts("subnetIds")) != len(zonesOf(g)) || e.Text("privateDnsEnabled") != "true" {
					return fmt.Errorf("%s: %v", e.Name, e.Inputs)
				}
				for _, role := range roles {
					in := opens(g, "SecurityGroupIngressRule", e.Texts("securityGroupIds")[0])
					if !slices.ContainsFunc(in,
						func(r *pulumitest.Resource) bool { return r.Text("referencedSecurityGroupId") == group(g, "-"+role) }) {
						return fmt.Errorf("%s does not admit %ss", e.Name, role)
					}
				}
			}
			return nil
		}, damage: drop("SecurityGroupIngressRule", "worker-at-endpoints")},
	{name: "endpoints mode has every service that an instance calls, and no way to the internet",
		check: func(g *pulumitest.Graph) error {
			if len(g.Of("SecurityGroupEgressRule")) == 0 || !privateOnly(g) {
				return nil
			}
			for _, service := range []string{"sqs", "logs", "autoscaling"} {
				if !slices.ContainsFunc(g.Of("VpcEndpoint"),
					func(e *pulumitest.Resource) bool { return strings.HasSuffix(e.Text("serviceName"), "."+service) }) {
					return fmt.Errorf("no endpoint of %s", service)
				}
			}
			for _, r := range g.Of("Route") {
				if !strings.HasSuffix(r.Name, "-public-internet") {
					return fmt.Errorf("%s leads out", r.Name)
				}
			}
			return nil
		}, damage: drop("VpcEndpoint", "-autoscaling")},
	{name: "an endpoint admits what instances call on resources of this stack, S3 also the distribution's packages",
		check: endpointsAdmitOnlyOurs, damage: set("VpcEndpoint", "policy", nil)},
	{name: "an endpoint admits no bucket of others", check: endpointsAdmitOnlyOurs,
		damage: inPolicy("-s3", `"BucketV2.imagery-test-images.arn/upload/*"`, `"*"`), in: "nat"},
	{name: "an endpoint admits no keys of another account", check: endpointsAdmitOnlyOurs,
		damage: inPolicy("-ssmmessages", `,"Condition":{"StringEquals":{"aws:PrincipalAccount":["111122223333"]}}`, "")},
	{name: "an endpoint admits both roles' logs", check: endpointsAdmitOnlyOurs,
		damage: inPolicy("-logs", `,"arn:aws:logs:eu-central-1:111122223333:log-group:/imagery/test/server:*"`, "")},
	{name: "the S3 endpoint admits packages without credentials", check: endpointsAdmitOnlyOurs,
		damage: inPolicy("-s3", "al2023-repos-eu-central-1-de612dc2", "al2023-repos-us-east-1-de612dc2"), in: "dev"},
	{name: "subnets are in distinct zones and ranges",
		check: func(g *pulumitest.Graph) error {
			seen := map[string]bool{}
			for _, s := range g.Of("Subnet") {
				kind := strings.Split(s.Name, "-")[2]
				for _, key := range []string{kind + s.Text("availabilityZone"), s.Text("cidrBlock")} {
					if seen[key] {
						return fmt.Errorf("%s repeats %s", s.Name, key)
					}
					seen[key] = true
				}
			}
			return nil
		}, damage: func(g *pulumitest.Graph) {
			g.One("Subnet", "-private-1").Set("availabilityZone", g.One("Subnet", "-private-0").Text("availabilityZone"))
		}},
	{name: "every subnet has a route table of its kind",
		check: func(g *pulumitest.Graph) error {
			for _, s := range g.Of("Subnet") {
				found := false
				for _, a := range g.Of("RouteTableAssociation") {
					found = found || a.Text("subnetId") == s.ID &&
						strings.Contains(a.Text("routeTableId"), strings.Split(s.Name, "-")[2])
				}
				if !found {
					return fmt.Errorf("%s has none", s.Name)
				}
			}
			return nil
		}, damage: drop("RouteTableAssociation", "private-1")},
	{name: "NAT routes name a NAT gateway, in its own zone if each zone has one",
		check: func(g *pulumitest.Graph) error {
			nats := g.Of("NatGateway")
			for i, r := range g.Of("Route") {
				if strings.HasSuffix(r.Name, "-public-internet") {
					continue
				}
				if r.Text("natGatewayId") == "" || r.Text("gatewayId") != "" {
					return fmt.Errorf("%s is no NAT route: %v", r.Name, r.Inputs)
				}
				if len(nats) > 1 && r.Text("natGatewayId") != nats[i%len(nats)].ID {
					return fmt.Errorf("%s crosses zones", r.Name)
				}
			}
			return nil
		}, damage: set("Route", "natGatewayId", "NatGateway.imagery-test-nat-2.id"), in: "natPerAz"},
	{name: "addresses of NAT gateways wait for the internet gateway",
		check: func(g *pulumitest.Graph) error {
			for _, r := range append(g.Of("Eip"), g.Of("NatGateway")...) {
				if !r.DependsOn("InternetGateway", "-igw") {
					return fmt.Errorf("%s does not", r.Name)
				}
			}
			return nil
		}, damage: func(g *pulumitest.Graph) { g.Of("Eip")[0].Dependencies = nil }, in: "nat"},
	fixed("Vpc", "enableDnsHostnames", "true", false),
	fixed("Vpc", "enableDnsSupport", "true", false),
	{name: "instances have public addresses only where that is the way out",
		check: func(g *pulumitest.Graph) error {
			outside := len(g.Of("NatGateway")) == 0 && !privateOnly(g)
			for _, s := range g.Of("Subnet") {
				if want := outside && strings.Contains(s.Name, "-public-"); s.Text("mapPublicIpOnLaunch") != fmt.Sprint(want) {
					return fmt.Errorf("%s: %s", s.Name, s.Text("mapPublicIpOnLaunch"))
				}
			}
			for _, a := range g.Of("autoscaling/group:Group") {
				for _, id := range a.Texts("vpcZoneIdentifiers") {
					if strings.Contains(id, "-public-") != outside {
						return fmt.Errorf("%s lives in %s", a.Name, id)
					}
				}
			}
			return nil
		}, damage: set("Subnet", "mapPublicIpOnLaunch", true)},
}

var roles = []string{"server", "worker"}

func zonesOf(g *pulumitest.Graph) []string {
	var zones []string
	for _, s := range g.Of("Subnet") {
		if strings.Contains(s.Name, "-private-") {
			zones = append(zones, s.Text("availabilityZone"))
		}
	}
	return zones
}

// privateOnly tells the endpoints mode from the others by what it has.
func privateOnly(g *pulumitest.Graph) bool {
	return slices.ContainsFunc(g.Of("SecurityGroup"),
		func(r *pulumitest.Resource) bool { return strings.HasSuffix(r.Name, "-endpoints") })
}

func everyPathOut(g *pulumitest.Graph) error {
	for _, role := range roles {
		want := []string{g.One("VpcEndpoint", "-s3").Name, g.One("VpcEndpoint", "-dynamodb").Name, world}
		if privateOnly(g) {
			want[2] = "-endpoints"
		}
		out := opens(g, "SecurityGroupEgressRule", group(g, "-"+role))
		if len(out) != len(want) {
			return fmt.Errorf("%ss have %d ways out", role, len(out))
		}
		for _, w := range want {
			if !slices.ContainsFunc(out, func(r *pulumitest.Resource) bool {
				return r.Text("fromPort") == "443" &&
					strings.Contains(r.Text("prefixListId")+r.Text("referencedSecurityGroupId")+r.Text("cidrIpv4"), w)
			}) {
				return fmt.Errorf("%ss cannot reach %s", role, w)
			}
		}
	}
	return nil
}
