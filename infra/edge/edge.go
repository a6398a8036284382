// Package edge creates the only entrance of a stack: a load balancer, its listeners, and the target group that servers
// join.
package edge

import (
	"fmt"
	"time"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/lb"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/vpc"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/infra/must"
)

// Times that the server's own must surround; edgeProperties compares them.
const (
	IdleTimeout = 60 * time.Second // below settings.IdleTimeout: the balancer closes an idle connection first
	// DrainDelay lets the longest request end before its server is stopped, and ends before the service
	// manager would kill.
	DrainDelay = 90 * time.Second
)

// tlsPolicy admits TLS 1.2 and 1.3.
const tlsPolicy = "ELBSecurityPolicy-TLS13-1-2-2021-06"

// Args describes an edge.
type Args struct {
	VPC     pulumi.StringInput
	Subnets pulumi.StringArray // public, in two zones or more
	// AllowedCIDRs may connect. Nothing behind the balancer looks at addresses again.
	AllowedCIDRs []string
	Certificate  string // ARN; empty: HTTP only
	Port         int    // of the servers
	// Protect refuses to delete the balancer, and with it the name that clients know.
	Protect   bool
	LogBucket pulumi.StringInput // nil: no access logs
	// After lists dependencies that no input expresses: AWS rejects a load balancer whose subnets have no internet
	// route yet, or whose log bucket does not grant it write access.
	After []pulumi.Resource
}

// Edge is the component.
type Edge struct {
	pulumi.ResourceState

	// SecurityGroup is the source that servers accept connections from.
	SecurityGroup *ec2.SecurityGroup
	Balancer      *lb.LoadBalancer
	Targets       *lb.TargetGroup
	// URL is the address of the service under the balancer's own name, which no certificate covers.
	URL pulumi.StringOutput
	// Ready lists the dependencies of the first server: scaling by request count needs a target group with a listener.
	Ready []pulumi.Resource
}

// New creates an edge.
func New(ctx *pulumi.Context, name string, args *Args, opts ...pulumi.ResourceOption) *Edge {
	e := &Edge{}
	must.OK(ctx.RegisterComponentResource("imagery:infra:Edge", name, e, opts...))
	e.door(ctx, name, args)
	var logs lb.LoadBalancerAccessLogsPtrInput
	if args.LogBucket != nil {
		logs = lb.LoadBalancerAccessLogsArgs{Bucket: args.LogBucket, Enabled: pulumi.Bool(true)}
	}
	e.Balancer = must.Get(lb.NewLoadBalancer(ctx, name+"-lb", &lb.LoadBalancerArgs{
		LoadBalancerType: pulumi.String("application"),
		Subnets:          args.Subnets,
		SecurityGroups:   pulumi.StringArray{e.SecurityGroup.ID()},
		IdleTimeout:      seconds(IdleTimeout),
		// Requests that two parsers could read differently never reach a server.
		DropInvalidHeaderFields:  pulumi.Bool(true),
		DesyncMitigationMode:     pulumi.String("defensive"),
		XffHeaderProcessingMode:  pulumi.String("append"),
		EnableDeletionProtection: pulumi.Bool(args.Protect),
		AccessLogs:               logs,
	}, pulumi.Parent(e), pulumi.DependsOn(args.After)))
	e.Targets = must.Get(lb.NewTargetGroup(ctx, name+"-tg", &lb.TargetGroupArgs{
		TargetType: pulumi.String("instance"), Port: pulumi.Int(args.Port), Protocol: pulumi.String("HTTP"), VpcId: args.VPC,
		DeregistrationDelay: seconds(DrainDelay),
		// Uploads and long polls differ too much in length for servers to take turns.
		LoadBalancingAlgorithmType: pulumi.String("least_outstanding_requests"),
		// /healthz checks no dependency: in an outage of the table every server would be unhealthy at once, and replacing
		// them would not help. A target is healthy after 20 s, unhealthy after 30.
		HealthCheck: lb.TargetGroupHealthCheckArgs{
			Path: pulumi.String("/healthz"), Matcher: pulumi.String("200"), Interval: pulumi.Int(10), Timeout: pulumi.Int(5),
			HealthyThreshold: pulumi.Int(2), UnhealthyThreshold: pulumi.Int(3),
		},
	}, pulumi.Parent(e)))
	e.listen(ctx, name, args.Certificate)
	e.URL = pulumi.Sprintf("http://%s", e.Balancer.DnsName)
	if args.Certificate != "" {
		e.URL = pulumi.Sprintf("https://%s", e.Balancer.DnsName)
	}
	must.OK(ctx.RegisterResourceOutputs(e, pulumi.Map{"url": e.URL}))
	return e
}

// door creates the security group that admits clients.
func (e *Edge) door(ctx *pulumi.Context, name string, args *Args) {
	e.SecurityGroup = must.Get(ec2.NewSecurityGroup(ctx, name+"-lb", &ec2.SecurityGroupArgs{
		VpcId: args.VPC, Description: pulumi.String("Load balancer"),
		Tags: pulumi.StringMap{"Name": pulumi.String(name + "-lb")},
	}, pulumi.Parent(e)))
	// Port 80 stays open beside HTTPS: it only redirects, for people who type a bare name.
	ports := []int{80}
	if args.Certificate != "" {
		ports = append(ports, 443)
	}
	for _, port := range ports {
		for _, cidr := range args.AllowedCIDRs {
			must.Get(vpc.NewSecurityGroupIngressRule(ctx, fmt.Sprintf("%s-lb-%d-%s", name, port, cidr),
				&vpc.SecurityGroupIngressRuleArgs{
					SecurityGroupId: e.SecurityGroup.ID(), CidrIpv4: pulumi.String(cidr), IpProtocol: pulumi.String("tcp"),
					FromPort: pulumi.Int(port), ToPort: pulumi.Int(port),
				}, pulumi.Parent(e)))
		}
	}
}

// InboundRules returns how many rules the balancer's security group needs: one a port for each of so many ranges.
func InboundRules(ranges int, certificate string) int {
	if certificate != "" {
		return 2 * ranges
	}
	return ranges
}

// listen forwards, or with a certificate forwards HTTPS and redirects HTTP to it.
func (e *Edge) listen(ctx *pulumi.Context, name, certificate string) {
	forward := lb.ListenerDefaultActionArgs{Type: pulumi.String("forward"), TargetGroupArn: e.Targets.Arn}
	plain := forward
	if certificate != "" {
		plain = lb.ListenerDefaultActionArgs{Type: pulumi.String("redirect"), Redirect: lb.ListenerDefaultActionRedirectArgs{
			Port: pulumi.String("443"), Protocol: pulumi.String("HTTPS"), StatusCode: pulumi.String("HTTP_301"),
		}}
		https := must.Get(lb.NewListener(ctx, name+"-https", &lb.ListenerArgs{
			LoadBalancerArn: e.Balancer.Arn, Port: pulumi.Int(443), Protocol: pulumi.String("HTTPS"),
			CertificateArn: pulumi.String(certificate), SslPolicy: pulumi.String(tlsPolicy),
			DefaultActions: lb.ListenerDefaultActionArray{forward},
		}, pulumi.Parent(e)))
		e.Ready = append(e.Ready, https)
	}
	// After HTTPS, so that a first certificate does not redirect to a port that does not answer yet.
	http := must.Get(lb.NewListener(ctx, name+"-http", &lb.ListenerArgs{
		LoadBalancerArn: e.Balancer.Arn, Port: pulumi.Int(80), Protocol: pulumi.String("HTTP"),
		DefaultActions: lb.ListenerDefaultActionArray{plain},
	}, pulumi.Parent(e), pulumi.DependsOn(e.Ready)))
	e.Ready = append(e.Ready, http)
}

func seconds(d time.Duration) pulumi.Int { return pulumi.Int(int(d / time.Second)) }
