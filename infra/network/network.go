// Package network is the ground that a stack stands on: a VPC over two or three zones with public and private
// subnets, free gateway endpoints for S3 and DynamoDB, and one of four ways out for the instances. It opens no
// port; security groups belong to the component that listens.
package network

import (
	"fmt"
	"net/netip"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
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
	CIDR        netip.Prefix
	Zones       []string // in order; the place in it is the address range
	ZonesPinned bool     // false: Zones is today's answer of AWS, and counts only for subnets that do not exist yet
	Egress      Egress
	SSM         bool // Session Manager needs two endpoints of its own
	// Policies holds the policy of each endpoint, by the service that Services lists. Without one an endpoint would
	// admit every account's resources.
	Policies map[string]pulumi.StringInput
}

// Network is the component.
type Network struct {
	pulumi.ResourceState

	VPC             *ec2.Vpc
	Public, Private []*ec2.Subnet      // by zone, in the order of Args.Zones
	EndpointGroup   *ec2.SecurityGroup // in front of the interface endpoints; nil unless Egress is Endpoints
	Gateways        []*ec2.VpcEndpoint // to S3 and DynamoDB

	name  string
	args  *Args
	ready []pulumi.Resource
}

// Ready returns the dependencies of instances and the load balancer: an instance that boots before its route exists
// cannot download its binary. It lists the resources themselves, since depending on a component covers only the
// children registered so far, and the SDK registers them in the background.
func (n *Network) Ready() []pulumi.Resource { return n.ready }

// New builds a network.
func New(ctx *pulumi.Context, name string, args *Args, opts ...pulumi.ResourceOption) (*Network, error) {
	if err := CheckCIDR(args.CIDR); err != nil {
		return nil, fmt.Errorf("network %s: range %s %w", name, args.CIDR, err)
	}
	if n := len(args.Zones); n < 2 || n > 3 {
		return nil, fmt.Errorf("network %s: %d zones, want 2 or 3", name, n)
	}
	for _, service := range Services(args.Egress, args.SSM) {
		if args.Policies[service] == nil {
			return nil, fmt.Errorf("network %s: the endpoint of %s has no policy", name, service)
		}
	}
	n := &Network{name: name, args: args}
	if err := ctx.RegisterComponentResource("imagery:infra:Network", name, n, opts...); err != nil {
		return nil, err
	}
	// Routes are resources of their own; a table that also lists them inline would show a change for ever.
	public, gateway, err := n.public(ctx)
	if err != nil {
		return nil, err
	}
	private, err := n.private(ctx)
	if err != nil {
		return nil, err
	}
	if err := n.nat(ctx, private, gateway); err != nil {
		return nil, err
	}
	if err := n.gatewayEndpoints(ctx, append([]*ec2.RouteTable{public}, private...)); err != nil {
		return nil, err
	}
	if args.Egress == Endpoints {
		if err := n.interfaceEndpoints(ctx); err != nil {
			return nil, err
		}
	}
	return n, ctx.RegisterResourceOutputs(n, pulumi.Map{"vpcId": n.VPC.ID()})
}

// InstanceSubnets are the subnets of the instances.
func (n *Network) InstanceSubnets() pulumi.StringArray {
	if n.args.Egress == Public {
		return IDs(n.Public)
	}
	return IDs(n.Private)
}

// Zones are the zones in use, which may be older than today's answer of AWS.
func (n *Network) Zones() pulumi.StringArray {
	var zones pulumi.StringArray
	for _, s := range n.Private {
		zones = append(zones, s.AvailabilityZone)
	}
	return zones
}

// IDs are the ids of subnets.
func IDs(subnets []*ec2.Subnet) pulumi.StringArray {
	var ids pulumi.StringArray
	for _, s := range subnets {
		ids = append(ids, s.ID())
	}
	return ids
}

// child parents a resource; options of the component itself are never handed on.
func (n *Network) child() pulumi.ResourceOption { return pulumi.Parent(n) }

// tags give the name that consoles show; all others come with the provider.
func (n *Network) tags(what string) pulumi.StringMap {
	return pulumi.StringMap{"Name": pulumi.String(n.name + "-" + what)}
}

// public makes the VPC, the internet gateway and the subnets of the load balancer.
func (n *Network) public(ctx *pulumi.Context) (*ec2.RouteTable, *ec2.InternetGateway, error) {
	var err error
	n.VPC, err = ec2.NewVpc(ctx, n.name+"-vpc", &ec2.VpcArgs{
		CidrBlock:          pulumi.String(n.args.CIDR.String()),
		EnableDnsHostnames: pulumi.Bool(true), // private DNS names of endpoints need both
		EnableDnsSupport:   pulumi.Bool(true),
		Tags:               pulumi.StringMap{"Name": pulumi.String(n.name)},
	}, n.child())
	if err != nil {
		return nil, nil, err
	}
	gateway, err := ec2.NewInternetGateway(ctx, n.name+"-igw",
		&ec2.InternetGatewayArgs{VpcId: n.VPC.ID(), Tags: n.tags("igw")}, n.child())
	if err != nil {
		return nil, nil, err
	}
	table, err := ec2.NewRouteTable(ctx, n.name+"-public", &ec2.RouteTableArgs{VpcId: n.VPC.ID(), Tags: n.tags("public")},
		n.child())
	if err != nil {
		return nil, nil, err
	}
	out, err := ec2.NewRoute(ctx, n.name+"-public-internet", &ec2.RouteArgs{
		RouteTableId: table.ID(), DestinationCidrBlock: pulumi.String("0.0.0.0/0"), GatewayId: gateway.ID(),
	}, n.child())
	if err != nil {
		return nil, nil, err
	}
	n.ready = append(n.ready, gateway, out)
	// The balancer's subnets are the instances' too when those live in public; only then do they hand out addresses.
	for i := range n.args.Zones {
		s, err := n.subnet(ctx, "public", i, i, table, n.args.Egress == Public)
		if err != nil {
			return nil, nil, err
		}
		n.Public = append(n.Public, s)
	}
	return table, gateway, nil
}

// private makes a subnet with its own route table in each zone. They cost nothing and exist in every mode, so
// that a change of egress moves no subnet.
func (n *Network) private(ctx *pulumi.Context) ([]*ec2.RouteTable, error) {
	var tables []*ec2.RouteTable
	for i := range n.args.Zones {
		what := fmt.Sprintf("private-%d", i)
		table, err := ec2.NewRouteTable(ctx, n.name+"-"+what, &ec2.RouteTableArgs{VpcId: n.VPC.ID(), Tags: n.tags(what)},
			n.child())
		if err != nil {
			return nil, err
		}
		s, err := n.subnet(ctx, "private", i, privateBlock+i, table, false)
		if err != nil {
			return nil, err
		}
		tables, n.Private = append(tables, table), append(n.Private, s)
	}
	return tables, nil
}

// subnet is named by its place, and an unpinned zone is written once: whatever AWS answers later, an existing
// subnet never moves.
func (n *Network) subnet(ctx *pulumi.Context, kind string, i, place int, table *ec2.RouteTable,
	addresses bool) (*ec2.Subnet, error) {
	what := fmt.Sprintf("%s-%d", kind, i)
	opts := []pulumi.ResourceOption{n.child()}
	if !n.args.ZonesPinned {
		opts = append(opts, pulumi.IgnoreChanges([]string{"availabilityZone"}))
	}
	s, err := ec2.NewSubnet(ctx, n.name+"-"+what, &ec2.SubnetArgs{
		VpcId:               n.VPC.ID(),
		CidrBlock:           pulumi.String(block(n.args.CIDR, place).String()),
		AvailabilityZone:    pulumi.String(n.args.Zones[i]),
		MapPublicIpOnLaunch: pulumi.Bool(addresses),
		Tags:                n.tags(what),
	}, opts...)
	if err != nil {
		return nil, err
	}
	a, err := ec2.NewRouteTableAssociation(ctx, n.name+"-"+what, &ec2.RouteTableAssociationArgs{
		SubnetId: s.ID(), RouteTableId: table.ID(),
	}, n.child())
	n.ready = append(n.ready, a)
	return s, err
}
