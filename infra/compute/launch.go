package compute

import (
	"encoding/base64"
	"maps"
	"slices"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/vpc"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/infra/must"
)

// diskGiB is enough for the system (3 GB), its logs and two releases.
const diskGiB = 8

const https = 443

// firewall creates the security group, with a resource for every rule, and returns the rules. The provider removes the
// allow-all egress rule of AWS, so everything that is not listed here is closed. Do not change names or descriptions:
// that would replace a group that instances use.
func (f *Fleet) firewall(ctx *pulumi.Context) []pulumi.Resource {
	f.SecurityGroup = must.Get(ec2.NewSecurityGroup(ctx, f.name, &ec2.SecurityGroupArgs{
		VpcId: f.args.VPC, Description: pulumi.String("Instances of role " + f.args.Role),
		Tags: pulumi.StringMap{"Name": pulumi.String(f.name)},
	}, pulumi.Parent(f)))
	// DNS, time and instance metadata need no rule: security groups do not filter them.
	var rules []pulumi.Resource
	out := func(what string, rule vpc.SecurityGroupEgressRuleArgs, group pulumi.StringInput, port int) {
		rule.SecurityGroupId, rule.IpProtocol = group, pulumi.String("tcp")
		rule.FromPort, rule.ToPort = pulumi.Int(port), pulumi.Int(port)
		rules = append(rules, must.Get(vpc.NewSecurityGroupEgressRule(ctx, f.name+"-"+what, &rule, pulumi.Parent(f))))
	}
	in := func(what string, group, from pulumi.StringInput, port int) {
		rules = append(rules, must.Get(vpc.NewSecurityGroupIngressRule(ctx, f.name+"-"+what,
			&vpc.SecurityGroupIngressRuleArgs{
				SecurityGroupId: group, ReferencedSecurityGroupId: from, IpProtocol: pulumi.String("tcp"),
				FromPort: pulumi.Int(port), ToPort: pulumi.Int(port),
			}, pulumi.Parent(f))))
	}
	self := f.SecurityGroup.ID()
	for _, name := range slices.Sorted(maps.Keys(f.args.Gateways)) {
		list := f.args.Gateways[name].ToStringOutput()
		out("to-"+name, vpc.SecurityGroupEgressRuleArgs{PrefixListId: list}, self, https)
	}
	if endpoints := f.args.Endpoints; endpoints != nil {
		group := endpoints.ToStringOutput()
		out("to-endpoints", vpc.SecurityGroupEgressRuleArgs{ReferencedSecurityGroupId: group}, self, https)
		in("at-endpoints", endpoints, self, https)
	} else {
		out("to-internet", vpc.SecurityGroupEgressRuleArgs{CidrIpv4: pulumi.String("0.0.0.0/0")}, self, https)
	}
	if peer := f.args.Peer; peer != nil {
		// Both ends of the connection are created here, where both groups are known.
		in("from-peer", self, peer, f.args.Port)
		out("from-peer", vpc.SecurityGroupEgressRuleArgs{ReferencedSecurityGroupId: self}, peer, f.args.Port)
	}
	return rules
}

// template creates the launch template. A change creates a new version, which no instance uses until it is rolled out.
func (f *Fleet) template(ctx *pulumi.Context, profile *iam.InstanceProfile) {
	opts := []pulumi.ResourceOption{pulumi.Parent(f)}
	if f.args.ImageFrozen {
		opts = append(opts, pulumi.IgnoreChanges([]string{"imageId"}))
	}
	var credits ec2.LaunchTemplateCreditSpecificationPtrInput
	if f.args.Burstable {
		// T3, T3a and T4g get no launch credits: in standard mode every new instance boots at its baseline, a fifth of
		// a core on t4g.micro. AWS recommends unlimited mode for Auto Scaling groups. The groups' maximum sizes bound
		// its surcharge, which the cost estimate shows.
		credits = ec2.LaunchTemplateCreditSpecificationArgs{CpuCredits: pulumi.String("unlimited")}
	}
	f.Template = must.Get(ec2.NewLaunchTemplate(ctx, f.name, &ec2.LaunchTemplateArgs{
		// A fixed name: a new template would not have the version number that the group keeps.
		Name:                pulumi.String(f.name),
		ImageId:             pulumi.String(f.args.Image),
		InstanceType:        pulumi.String(f.args.InstanceType),
		CreditSpecification: credits,
		UserData:            f.args.UserData.ToStringOutput().ApplyT(encode).(pulumi.StringOutput),
		VpcSecurityGroupIds: pulumi.StringArray{f.SecurityGroup.ID()},
		IamInstanceProfile:  ec2.LaunchTemplateIamInstanceProfileArgs{Arn: profile.Arn},
		// An instance can terminate itself by powering off, without permissions or network.
		InstanceInitiatedShutdownBehavior: pulumi.String("terminate"),
		// IMDSv2 only, and one hop, so that a forged request through the service cannot read the role's credentials.
		MetadataOptions: ec2.LaunchTemplateMetadataOptionsArgs{
			HttpEndpoint: pulumi.String("enabled"), HttpTokens: pulumi.String("required"),
			HttpPutResponseHopLimit: pulumi.Int(1),
		},
		BlockDeviceMappings: ec2.LaunchTemplateBlockDeviceMappingArray{ec2.LaunchTemplateBlockDeviceMappingArgs{
			DeviceName: pulumi.String("/dev/xvda"),
			Ebs: ec2.LaunchTemplateBlockDeviceMappingEbsArgs{
				VolumeType: pulumi.String("gp3"), VolumeSize: pulumi.Int(diskGiB),
				Encrypted: pulumi.String("true"), DeleteOnTermination: pulumi.String("true"),
			},
		}},
		TagSpecifications: f.tagSpecifications(),
	}, opts...))
}

// encode encodes user-data in base64, which the provider does not do for launch templates.
func encode(script string) string { return base64.StdEncoding.EncodeToString([]byte(script)) }

// tagSpecifications sets the tags of instances, volumes and network interfaces. The provider's default tags apply to
// the template only.
func (f *Fleet) tagSpecifications() ec2.LaunchTemplateTagSpecificationArray {
	tags := pulumi.StringMap{"Name": pulumi.String(f.name)}
	for k, v := range f.args.Tags {
		tags[k] = pulumi.String(v)
	}
	var specs ec2.LaunchTemplateTagSpecificationArray
	for _, kind := range []string{"instance", "volume", "network-interface"} {
		specs = append(specs, ec2.LaunchTemplateTagSpecificationArgs{ResourceType: pulumi.String(kind), Tags: tags})
	}
	return specs
}
