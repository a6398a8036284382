package compute

import (
	"encoding/base64"
	"maps"
	"slices"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/vpc"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// diskGiB holds the system (3 GB), its logs and two releases.
const diskGiB = 8

const https = 443

// firewall is the security group with every rule a resource of its own. The provider takes away the
// allow-all egress that AWS gives, so what is not listed here is closed. Names and descriptions never change:
// that would replace a group that instances use.
func (f *Fleet) firewall(ctx *pulumi.Context) ([]pulumi.Resource, error) {
	var err error
	f.SecurityGroup, err = ec2.NewSecurityGroup(ctx, f.name, &ec2.SecurityGroupArgs{
		VpcId: f.args.VPC, Description: pulumi.String("Instances of role " + f.args.Role), Tags: pulumi.StringMap{"Name": pulumi.String(f.name)},
	}, pulumi.Parent(f))
	if err != nil {
		return nil, err
	}
	// Nothing needs a rule for DNS, time and instance metadata: AWS does not filter them.
	var rules []pulumi.Resource
	out := func(what string, rule vpc.SecurityGroupEgressRuleArgs, group pulumi.StringInput, port int) {
		rule.SecurityGroupId, rule.IpProtocol, rule.FromPort, rule.ToPort = group, pulumi.String("tcp"), pulumi.Int(port), pulumi.Int(port)
		r, e := vpc.NewSecurityGroupEgressRule(ctx, f.name+"-"+what, &rule, pulumi.Parent(f))
		rules, err = append(rules, r), firstOf(err, e)
	}
	in := func(what string, group, from pulumi.StringInput, port int) {
		r, e := vpc.NewSecurityGroupIngressRule(ctx, f.name+"-"+what, &vpc.SecurityGroupIngressRuleArgs{
			SecurityGroupId: group, ReferencedSecurityGroupId: from, IpProtocol: pulumi.String("tcp"), FromPort: pulumi.Int(port), ToPort: pulumi.Int(port),
		}, pulumi.Parent(f))
		rules, err = append(rules, r), firstOf(err, e)
	}
	self := f.SecurityGroup.ID()
	for _, name := range slices.Sorted(maps.Keys(f.args.Egress.Gateways)) {
		out("to-"+name, vpc.SecurityGroupEgressRuleArgs{PrefixListId: f.args.Egress.Gateways[name].ToStringOutput()}, self, https)
	}
	if endpoints := f.args.Egress.Endpoints; endpoints != nil {
		out("to-endpoints", vpc.SecurityGroupEgressRuleArgs{ReferencedSecurityGroupId: endpoints.ToStringOutput()}, self, https)
		in("at-endpoints", endpoints, self, https)
	} else {
		out("to-internet", vpc.SecurityGroupEgressRuleArgs{CidrIpv4: pulumi.String("0.0.0.0/0")}, self, https)
	}
	if i := f.args.Ingress; i != nil {
		// Both ends of the connection are declared here, where both groups are known.
		in("from-peer", self, i.From, i.Port)
		out("from-peer", vpc.SecurityGroupEgressRuleArgs{ReferencedSecurityGroupId: self}, i.From, i.Port)
	}
	return rules, err
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// template creates the launch template. A change creates a new version, which is unused until it is rolled out.
func (f *Fleet) template(ctx *pulumi.Context, profile *iam.InstanceProfile) error {
	opts := []pulumi.ResourceOption{pulumi.Parent(f)}
	if f.args.ImageFrozen {
		opts = append(opts, pulumi.IgnoreChanges([]string{"imageId"}))
	}
	var credits ec2.LaunchTemplateCreditSpecificationPtrInput
	if f.args.Burstable {
		// T3, T3a and T4g get no launch credits: in standard mode each instance boots at its baseline, a fifth of a
		// core on t4g.micro, and each rollout starts there again. AWS recommends unlimited mode for Auto Scaling
		// groups. The groups' maximum sizes bound its surcharge, which the estimate of costs names.
		credits = ec2.LaunchTemplateCreditSpecificationArgs{CpuCredits: pulumi.String("unlimited")}
	}
	var err error
	f.Template, err = ec2.NewLaunchTemplate(ctx, f.name, &ec2.LaunchTemplateArgs{
		Name:                              pulumi.String(f.args.Group), // a new template would not have the version number that the group keeps
		ImageId:                           pulumi.String(f.args.Image),
		InstanceType:                      pulumi.String(f.args.InstanceType),
		CreditSpecification:               credits,
		UserData:                          f.args.UserData.ToStringOutput().ApplyT(encode).(pulumi.StringOutput),
		VpcSecurityGroupIds:               pulumi.StringArray{f.SecurityGroup.ID()},
		IamInstanceProfile:                ec2.LaunchTemplateIamInstanceProfileArgs{Arn: profile.Arn},
		InstanceInitiatedShutdownBehavior: pulumi.String("terminate"), // so that a power-off needs no right and no network
		// Tokens only, and one hop: a server that is tricked into fetching a URL cannot reach the role's keys.
		MetadataOptions: ec2.LaunchTemplateMetadataOptionsArgs{
			HttpEndpoint: pulumi.String("enabled"), HttpTokens: pulumi.String("required"), HttpPutResponseHopLimit: pulumi.Int(1),
		},
		BlockDeviceMappings: ec2.LaunchTemplateBlockDeviceMappingArray{ec2.LaunchTemplateBlockDeviceMappingArgs{
			DeviceName: pulumi.String("/dev/xvda"),
			Ebs: ec2.LaunchTemplateBlockDeviceMappingEbsArgs{VolumeType: pulumi.String("gp3"), VolumeSize: pulumi.Int(diskGiB),
				Encrypted: pulumi.String("true"), DeleteOnTermination: pulumi.String("true")},
		}},
		TagSpecifications: f.tagSpecifications(),
	}, opts...)
	return err
}

// encode is base64, which neither the provider nor AWS would do.
func encode(script string) string { return base64.StdEncoding.EncodeToString([]byte(script)) }

// tagSpecifications repeats the tags for what instances bring along: default tags stop at the template itself.
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
