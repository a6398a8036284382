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
	changed    map[*pulumitest.Resource][]string // top-level inputs, by the new resource
}

// diff compares two graphs as Pulumi does: by URN, without ignored inputs.
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

// any reports whether there is a change.
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

// essential lists the types of resources that a running instance needs: its subnet, its routes and their targets, its
// rules, its permissions, and its data.
var essential = []string{"Subnet", "Route", "RouteTable", "RouteTableAssociation", "NatGateway", "Eip",
	"InternetGateway",
	"VpcEndpoint", "SecurityGroupEgressRule", "SecurityGroup", "RolePolicy", "Role", "InstanceProfile", "Queue", "Table",
	"LogGroup"}

// fixedInputs maps types to inputs that must never change: AWS would create a new resource, or, if the peer of a rule
// changes, running instances would lose their connection. Objects of releases are left out, since each release has its
// own.
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

// safe returns an error if a running instance could lose a resource that it needs: one is deleted although not both
// roles get a new version, or a fixed input changes.
func (d graphDiff) safe() error {
	for _, r := range d.gone {
		kind := r.Type[strings.LastIndex(r.Type, ":")+1:]
		if slices.Contains(essential, kind) && !slices.Equal(d.newVersions(), []string{"server", "worker"}) {
			return fmt.Errorf("%s is deleted while instances use it: %s", r.URN(), d)
		}
	}
	for r, inputs := range d.changed {
		for _, name := range fixedInputs[r.Type[strings.LastIndex(r.Type, ":")+1:]] {
			if slices.Contains(inputs, name) {
				return fmt.Errorf("%s of %s changes while instances use it", name, r.URN())
			}
		}
	}
	return nil
}

// If a resource were deleted before its replacement exists, running instances would be without it.
func TestNothingIsDeletedBeforeItsReplacementExists(t *testing.T) {
	for variant := range variants {
		for _, r := range graphOf(t, variant).Resources {
			if r.DeleteBeforeReplace {
				t.Errorf("%s: %s", variant, r.URN())
			}
		}
	}
}

// The groups change to new subnets only when these are connected: an instance that Auto Scaling launches in between
// would fail its boot.
func TestGroupsWaitForTheConnectionOfTheirSubnets(t *testing.T) {
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
