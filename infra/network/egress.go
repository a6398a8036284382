package network

import (
	"fmt"
	"slices"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/infra/must"
)

// NATs returns how many NAT gateways a mode has in so many zones, each with an elastic address.
func NATs(mode Egress, zones int) int { return map[Egress]int{NAT: 1, NATPerAZ: zones}[mode] }

// nat creates a NAT gateway in a public subnet. AWS refuses an address, and to detach the internet gateway, in the
// wrong order: hence both dependencies.
func (n *Network) nat(ctx *pulumi.Context, i int, internet pulumi.Resource) *ec2.NatGateway {
	what := fmt.Sprintf("nat-%d", i)
	after := pulumi.DependsOn([]pulumi.Resource{internet})
	address := must.Get(ec2.NewEip(ctx, n.name+"-"+what,
		&ec2.EipArgs{Domain: pulumi.String("vpc"), Tags: n.tags(what)}, pulumi.Parent(n), after))
	gateway := must.Get(ec2.NewNatGateway(ctx, n.name+"-"+what, &ec2.NatGatewayArgs{
		AllocationId: address.AllocationId, SubnetId: n.Public[i].ID(), Tags: n.tags(what),
	}, pulumi.Parent(n), after))
	n.Ready = append(n.Ready, gateway)
	return gateway
}

// gatewayServices lists the services whose gateway endpoints are free, so that every mode has them, on every route
// table. The packages of Amazon Linux are in S3, too.
var gatewayServices = []string{"s3", "dynamodb"}

// interfaceServices lists all that an instance calls besides S3 and DynamoDB: work, logs with the metrics in them, the
// launch hook, and Session Manager. A call to a service that is missing here does not fail, it hangs.
func interfaceServices(ssm bool) []string {
	services := []string{"sqs", "logs", "autoscaling"}
	if ssm {
		services = append(services, "ssm", "ssmmessages")
	}
	return services
}

// endpoints creates the gateway endpoints and, in their mode, interface endpoints, which answer the services' normal
// names with private addresses in every zone. Each fleet admits itself to the security group of the latter.
func (n *Network) endpoints(ctx *pulumi.Context) {
	services := gatewayServices
	if n.args.Egress == Endpoints {
		services = slices.Concat(services, interfaceServices(n.args.SSM))
		group := must.Get(ec2.NewSecurityGroup(ctx, n.name+"-endpoints", &ec2.SecurityGroupArgs{
			VpcId: n.VPC.ID(), Description: pulumi.String("Private endpoints of AWS services"), Tags: n.tags("endpoints"),
		}, pulumi.Parent(n)))
		n.EndpointGroup = group.ID()
	}
	for _, service := range services {
		args := &ec2.VpcEndpointArgs{
			VpcId:       n.VPC.ID(),
			ServiceName: pulumi.String(fmt.Sprintf("com.amazonaws.%s.%s", n.args.Region, service)),
			Policy:      n.args.Policy(service),
			Tags:        n.tags(service),
		}
		gateway := slices.Contains(gatewayServices, service)
		if gateway {
			args.VpcEndpointType, args.RouteTableIds = pulumi.String("Gateway"), n.tables
		} else {
			args.VpcEndpointType, args.SubnetIds = pulumi.String("Interface"), IDs(n.Private)
			args.SecurityGroupIds = pulumi.StringArray{n.EndpointGroup}
			args.PrivateDnsEnabled = pulumi.Bool(true)
		}
		e := must.Get(ec2.NewVpcEndpoint(ctx, n.name+"-"+service, args, pulumi.Parent(n)))
		n.Ready = append(n.Ready, e)
		if gateway {
			n.Gateways[service] = e.PrefixListId
		}
	}
}
