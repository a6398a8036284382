// Package network creates the VPC of a stack over two or three zones: public and private subnets, free gateway
// endpoints for S3 and DynamoDB, and one of four ways for instances to reach AWS. It opens no port; security groups
// belong to the component that listens.
package network

import (
	"fmt"
	"net/netip"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/infra/must"
)

// Egress selects how instances reach AWS.
type Egress string

// The four designs; their prices and weak points are in the documentation of the configuration.
const (
	Endpoints Egress = "endpoints" // private DNS endpoints: a process that decodes strangers' files has no internet
	NAT       Egress = "nat"       // one gateway for all zones
	NATPerAZ  Egress = "natPerAz"  // one gateway in each zone
	Public    Egress = "public"    // instances have public addresses and admit nothing
)

// Modes are the legal values of Egress.
var Modes = []Egress{Endpoints, NAT, NATPerAZ, Public}

// Args describe a network.
type Args struct {
	Region      string
	CIDR        netip.Prefix // passes CheckCIDR
	Zones       []string     // two or three; the index of a zone decides its address range
	ZonesPinned bool         // false: Zones is today's answer of AWS, and counts only for subnets that do not exist yet
	Egress      Egress
	SSM         bool // Session Manager needs two endpoints of its own
	// Policy returns the policy of the endpoint of a service. Without one an endpoint would admit every account's
	// resources.
	Policy func(service string) pulumi.StringOutput
}

// Network is the component.
type Network struct {
	pulumi.ResourceState

	VPC             *ec2.Vpc
	Public, Private []*ec2.Subnet                 // by zone, in the order of Args.Zones
	Gateways        map[string]pulumi.StringInput // prefix lists of the gateway endpoints, by service
	EndpointGroup   pulumi.StringInput            // security group of the interface endpoints; nil if there are none

	// Ready lists the dependencies of instances and the load balancer: an instance that boots before its route exists
	// cannot download its binary. It lists the resources themselves, since depending on a component covers only the
	// children registered so far, and the SDK registers them in the background.
	Ready []pulumi.Resource

	name   string
	args   *Args
	tables pulumi.StringArray // ids of the route tables
}

// New creates a network.
func New(ctx *pulumi.Context, name string, args *Args, opts ...pulumi.ResourceOption) *Network {
	n := &Network{name: name, args: args, Gateways: map[string]pulumi.StringInput{}}
	must.OK(ctx.RegisterComponentResource("imagery:infra:Network", name, n, opts...))
	n.private(ctx, n.public(ctx))
	n.endpoints(ctx)
	must.OK(ctx.RegisterResourceOutputs(n, pulumi.Map{"vpcId": n.VPC.ID()}))
	return n
}

// InstanceSubnets returns the ids of the subnets of instances.
func (n *Network) InstanceSubnets() pulumi.StringArray {
	if n.args.Egress == Public {
		return IDs(n.Public)
	}
	return IDs(n.Private)
}

// Zones returns the zones in use, which may be older than today's answer of AWS.
func (n *Network) Zones() pulumi.StringArray {
	var zones pulumi.StringArray
	for _, s := range n.Private {
		zones = append(zones, s.AvailabilityZone)
	}
	return zones
}

// IDs returns the ids of subnets.
func IDs(subnets []*ec2.Subnet) pulumi.StringArray {
	var ids pulumi.StringArray
	for _, s := range subnets {
		ids = append(ids, s.ID())
	}
	return ids
}

// tags returns the name that consoles show; all other tags come with the provider.
func (n *Network) tags(what string) pulumi.StringMap {
	return pulumi.StringMap{"Name": pulumi.String(n.name + "-" + what)}
}

// public creates the VPC, the internet gateway and the subnets of the load balancer.
func (n *Network) public(ctx *pulumi.Context) *ec2.InternetGateway {
	n.VPC = must.Get(ec2.NewVpc(ctx, n.name+"-vpc", &ec2.VpcArgs{
		CidrBlock:          pulumi.String(n.args.CIDR.String()),
		EnableDnsHostnames: pulumi.Bool(true), // private DNS names of endpoints need both
		EnableDnsSupport:   pulumi.Bool(true),
		Tags:               pulumi.StringMap{"Name": pulumi.String(n.name)},
	}, pulumi.Parent(n)))
	gateway := must.Get(ec2.NewInternetGateway(ctx, n.name+"-igw",
		&ec2.InternetGatewayArgs{VpcId: n.VPC.ID(), Tags: n.tags("igw")}, pulumi.Parent(n)))
	n.Ready = append(n.Ready, gateway)
	table := n.table(ctx, "public")
	n.route(ctx, "public", ec2.RouteArgs{RouteTableId: table.ID(), GatewayId: gateway.ID()})
	// Only where instances live here, too, do these subnets hand out addresses.
	for i := range n.args.Zones {
		n.Public = append(n.Public, n.subnet(ctx, "public", i, i, table, n.args.Egress == Public))
	}
	return gateway
}

// private creates a subnet with its own route table in each zone. They cost nothing and exist in every mode, so that a
// change of egress moves no subnet. With one NAT gateway in each zone, the loss of a zone takes only that zone's way
// out.
func (n *Network) private(ctx *pulumi.Context, internet *ec2.InternetGateway) {
	var gateways []*ec2.NatGateway
	for i := range NATs(n.args.Egress, len(n.args.Zones)) {
		gateways = append(gateways, n.nat(ctx, i, internet))
	}
	for i := range n.args.Zones {
		what := fmt.Sprintf("private-%d", i)
		table := n.table(ctx, what)
		n.Private = append(n.Private, n.subnet(ctx, "private", i, privateBlock+i, table, false))
		if len(gateways) > 0 {
			nat := gateways[i%len(gateways)]
			n.route(ctx, what, ec2.RouteArgs{RouteTableId: table.ID(), NatGatewayId: nat.ID()})
		}
	}
}

// table creates a route table. Routes are resources of their own; a table that also lists them inline would show a
// change for ever.
func (n *Network) table(ctx *pulumi.Context, what string) *ec2.RouteTable {
	t := must.Get(ec2.NewRouteTable(ctx, n.name+"-"+what, &ec2.RouteTableArgs{VpcId: n.VPC.ID(), Tags: n.tags(what)},
		pulumi.Parent(n)))
	n.tables = append(n.tables, t.ID())
	return t
}

// route creates the route of a table to the internet.
func (n *Network) route(ctx *pulumi.Context, what string, to ec2.RouteArgs) {
	to.DestinationCidrBlock = pulumi.String("0.0.0.0/0")
	n.Ready = append(n.Ready, must.Get(ec2.NewRoute(ctx, n.name+"-"+what+"-internet", &to, pulumi.Parent(n))))
}

// subnet creates a subnet, which is named by its index. An unpinned zone is written once: whatever AWS answers later,
// an existing subnet never moves.
func (n *Network) subnet(
	ctx *pulumi.Context, kind string, i, place int, table *ec2.RouteTable, addresses bool,
) *ec2.Subnet {
	what := fmt.Sprintf("%s-%d", kind, i)
	opts := []pulumi.ResourceOption{pulumi.Parent(n)}
	if !n.args.ZonesPinned {
		opts = append(opts, pulumi.IgnoreChanges([]string{"availabilityZone"}))
	}
	s := must.Get(ec2.NewSubnet(ctx, n.name+"-"+what, &ec2.SubnetArgs{
		VpcId:               n.VPC.ID(),
		CidrBlock:           pulumi.String(block(n.args.CIDR, place).String()),
		AvailabilityZone:    pulumi.String(n.args.Zones[i]),
		MapPublicIpOnLaunch: pulumi.Bool(addresses),
		Tags:                n.tags(what),
	}, opts...))
	n.Ready = append(n.Ready, must.Get(ec2.NewRouteTableAssociation(ctx, n.name+"-"+what,
		&ec2.RouteTableAssociationArgs{SubnetId: s.ID(), RouteTableId: table.ID()}, pulumi.Parent(n))))
	return s
}
