package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"imagery/infra/testing/pulumitest"

	"testing"

	"imagery/infra/network"
)

// graphDiff holds the changes that an update would make.
type graphDiff struct {
	made, gone []*pulumitest.Resource
	changed    map[*pulumitest.Resource][]string // top-level inputs, by the resource as it will be
}

// diff compares two graphs as the engine does: by URN, and without the inputs that the program ignores.
func diff(before, after *pulumitest.Graph) graphDiff {
	d := graphDiff{changed: map[*pulumitest.Resource][]string{}}
	old := map[string]*pulumitest.Resource{}
	for _, r := range before.Resources {
		old[r.URN()] = r
	}
	for _, r := range after.Clone().Resources {
		was := old[r.URN()]
		if delete(old, r.URN()); was == nil {
			d.made = append(d.made, r)
			continue
		}
		for _, path := range r.Ignore {
			r.Set(path, was.Get(path))
		}
		names := slices.AppendSeq(slices.Collect(maps.Keys(r.Inputs)), maps.Keys(was.Inputs))
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			// The file of a release is compared by its key.
			if name != "source" && fmt.Sprint(r.Inputs[name]) != fmt.Sprint(was.Inputs[name]) {
				d.changed[r] = append(d.changed[r], name)
			}
		}
		if r.Protect != was.Protect {
			d.changed[r] = append(d.changed[r], "protect")
		}
	}
	for _, r := range old {
		d.gone = append(d.gone, r)
	}
	return d
}

// any reports whether there is a change at all.
func (d graphDiff) any() bool { return len(d.made)+len(d.gone)+len(d.changed) > 0 }

// String lists the changes.
func (d graphDiff) String() string {
	var lines []string
	for _, r := range d.made {
		lines = append(lines, "+ "+r.URN())
	}
	for _, r := range d.gone {
		lines = append(lines, "- "+r.URN())
	}
	for r, inputs := range d.changed {
		lines = append(lines, fmt.Sprintf("~ %s %v", r.URN(), inputs))
	}
	slices.Sort(lines)
	return "\n  " + strings.Join(lines, "\n  ")
}

// newVersions lists the roles whose launch template changes.
func (d graphDiff) newVersions() []string {
	var out []string
	for r := range d.changed {
		if strings.HasSuffix(r.Type, ":LaunchTemplate") {
			out = append(out, r.Name[strings.LastIndex(r.Name, "-")+1:])
		}
	}
	slices.Sort(out)
	return out
}

// wayOut lists the types of what a running instance cannot lose: its subnet, its routes and what they lead to, its
// rules, its rights, and the data that it works on.
var wayOut = []string{"Subnet", "Route", "RouteTable", "RouteTableAssociation", "NatGateway", "Eip", "InternetGateway",
	"VpcEndpoint", "SecurityGroupEgressRule", "SecurityGroup", "RolePolicy", "Role", "InstanceProfile", "Queue", "Table",
	"LogGroup"}

// fixedInputs lists, by type, the inputs that must never change: AWS would make a new resource of it, or, with the peer
// of a rule, take the old way out from instances that still run. The bucket's object of a release is left out, since
// every release has its own.
var fixedInputs = map[string][]string{
	"Vpc": {"cidrBlock"}, "Subnet": {"vpcId", "cidrBlock", "availabilityZone"}, "InternetGateway": {"vpcId"},
	"RouteTable": {"vpcId"}, "RouteTableAssociation": {"subnetId"}, "Route": {"routeTableId", "destinationCidrBlock"},
	"NatGateway": {"subnetId", "allocationId"}, "VpcEndpoint": {"vpcId", "serviceName", "vpcEndpointType"},
	"SecurityGroup": {"vpcId", "name", "description"}, "SecurityGroupIngressRule": {"securityGroupId"},
	"SecurityGroupEgressRule": {"securityGroupId", "cidrIpv4", "prefixListId", "referencedSecurityGroupId"},
	"LaunchTemplate":          {"name"}, "Group": {"name"}, "LogGroup": {"name"},
	"LoadBalancer": {"name", "loadBalancerType", "internal"}, "Listener": {"loadBalancerArn"},
	"TargetGroup": {"name", "port", "protocol", "vpcId", "targetType"},
	"Table":       {"name", "hashKey"}, "Queue": {"name"}, "BucketV2": {"bucket"},
}

// safe returns an error if an instance that still runs could lose what it needs: something of it vanishes although not
// both roles get a new version, or something changes that must not.
func (d graphDiff) safe() error {
	for _, r := range d.gone {
		kind := r.Type[strings.LastIndex(r.Type, ":")+1:]
		if slices.Contains(wayOut, kind) && !slices.Equal(d.newVersions(), []string{"server", "worker"}) {
			return fmt.Errorf("%s vanishes, and instances that use it stay: %s", r.URN(), d)
		}
	}
	for r, inputs := range d.changed {
		for _, name := range fixedInputs[r.Type[strings.LastIndex(r.Type, ":")+1:]] {
			if slices.Contains(inputs, name) {
				return fmt.Errorf("%s of %s changes under running instances", name, r.URN())
			}
		}
	}
	return nil
}

// A resource that is deleted before its successor exists would leave running instances without it, whatever the rollout
// does later.
func TestNothingIsDeletedBeforeItsSuccessorExists(t *testing.T) {
	for variant := range variants {
		for _, r := range graphOf(t, variant).Resources {
			if r.DeleteBeforeReplace {
				t.Errorf("%s: %s", variant, r.URN())
			}
		}
	}
}

// The groups move to the new subnets only when the way out of those exists: an instance that Auto Scaling starts in
// between would fail its boot.
func TestGroupsWaitForEveryWayOut(t *testing.T) {
	for _, mode := range network.Modes {
		g := run(t, "test", map[string]string{"egress": string(mode)}, binary(t, "a release"))
		for _, group := range fleetGroups(g) {
			for _, kind := range []string{"NatGateway", "Route", "VpcEndpoint", "RouteTableAssociation"} {
				for _, r := range g.Of(kind) {
					if !group.DependsOn(kind, "::"+r.Name) {
						t.Errorf("%s: %s does not wait for %s", mode, group.Name, r.URN())
					}
				}
			}
		}
	}
}
