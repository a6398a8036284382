package network

import (
	"fmt"
	"slices"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// NATs returns how many NAT gateways a mode has in so many zones, each with an elastic address.
func NATs(mode Egress, zones int) int { return map[Egress]int{NAT: 1, NATPerAZ: zones}[mode] }

// nat makes one gateway, or one in each zone, and the private routes to it.
func (n *Network) nat(ctx *pulumi.Context, private []*ec2.RouteTable, internet *ec2.InternetGateway) error {
	count := NATs(n.args.Egress, len(private))
	var gateways []*ec2.NatGateway
	for i := range count {
		what := fmt.Sprintf("nat-%d", i)
		// AWS refuses an address, and to detach the internet gateway, in the wrong order: hence both edges.
		after := pulumi.DependsOn([]pulumi.Resource{internet})
		address, err := ec2.NewEip(ctx, n.name+"-"+what, &ec2.EipArgs{Domain: pulumi.String("vpc"), Tags: n.tags(what)},
			n.child(), after)
		if err != nil {
			return err
		}
		gateway, err := ec2.NewNatGateway(ctx, n.name+"-"+what, &ec2.NatGatewayArgs{
			AllocationId: address.AllocationId, SubnetId: n.Public[i].ID(), Tags: n.tags(what),
		}, n.child(), after)
		if err != nil {
			return err
		}
		gateways, n.ready = append(gateways, gateway), append(n.ready, gateway)
	}
	// With one gateway in each zone traffic stays in its own; the loss of a zone takes only that zone's way out.
	for i, table := range private {
		if count == 0 {
			break
		}
		out, err := ec2.NewRoute(ctx, fmt.Sprintf("%s-private-%d-internet", n.name, i), &ec2.RouteArgs{
			RouteTableId: table.ID(), DestinationCidrBlock: pulumi.String("0.0.0.0/0"), NatGatewayId: gateways[i%count].ID(),
		}, n.child())
		if err != nil {
			return err
		}
		n.ready = append(n.ready, out)
	}
	return nil
}

// Services lists the AWS services that a network of this mode reaches through endpoints; each needs a policy.
func Services(egress Egress, ssm bool) []string {
	if egress != Endpoints {
		return gatewayServices
	}
	return slices.Concat(gatewayServices, interfaceServices(ssm))
}

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

// gatewayEndpoints keep the traffic to S3 and DynamoDB inside AWS. They are free, so every mode has them, and
// on every route table. The Amazon Linux packages are in S3 too and are asked for without credentials.
func (n *Network) gatewayEndpoints(ctx *pulumi.Context, tables []*ec2.RouteTable) error {
	var ids pulumi.StringArray
	for _, t := range tables {
		ids = append(ids, t.ID())
	}
	for _, service := range gatewayServices {
		e, err := ec2.NewVpcEndpoint(ctx, n.name+"-"+service, &ec2.VpcEndpointArgs{
			VpcId:           n.VPC.ID(),
			VpcEndpointType: pulumi.String("Gateway"),
			ServiceName:     pulumi.String(fmt.Sprintf("com.amazonaws.%s.%s", n.args.Region, service)),
			RouteTableIds:   ids,
			Policy:          n.args.Policies[service].ToStringOutput(),
			Tags:            n.tags(service),
		}, n.child())
		if err != nil {
			return err
		}
		n.Gateways, n.ready = append(n.Gateways, e), append(n.ready, e)
	}
	return nil
}

// interfaceEndpoints answer the services' normal names with private addresses in every zone. Each instance
// group admits itself to the security group here.
func (n *Network) interfaceEndpoints(ctx *pulumi.Context) error {
	var err error
	n.EndpointGroup, err = ec2.NewSecurityGroup(ctx, n.name+"-endpoints", &ec2.SecurityGroupArgs{
		VpcId: n.VPC.ID(), Description: pulumi.String("Private endpoints of AWS services"), Tags: n.tags("endpoints"),
	}, n.child())
	if err != nil {
		return err
	}
	for _, service := range interfaceServices(n.args.SSM) {
		e, err := ec2.NewVpcEndpoint(ctx, n.name+"-"+service, &ec2.VpcEndpointArgs{
			VpcId:             n.VPC.ID(),
			VpcEndpointType:   pulumi.String("Interface"),
			ServiceName:       pulumi.String(fmt.Sprintf("com.amazonaws.%s.%s", n.args.Region, service)),
			SubnetIds:         IDs(n.Private),
			SecurityGroupIds:  pulumi.StringArray{n.EndpointGroup.ID()},
			PrivateDnsEnabled: pulumi.Bool(true),
			Policy:            n.args.Policies[service].ToStringOutput(),
			Tags:              n.tags(service),
		}, n.child())
		if err != nil {
			return err
		}
		n.ready = append(n.ready, e)
	}
	return nil
}
