package preflight

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// Codes of quotas in Service Quotas. Each applies to one region.
const (
	addressQuota = "L-0263D0A3" // EC2-VPC Elastic IPs
	vpcQuota     = "L-F678F1CE" // VPCs per Region
	ruleQuota    = "L-0EA8095F" // Inbound or outbound rules per security group
)

func filter(name string, values ...string) []types.Filter {
	return []types.Filter{{Name: &name, Values: values}}
}

// own reports whether the tags identify a resource of this stack.
func (p *check) own(tags []types.Tag) bool {
	found := map[string]string{}
	for _, t := range tags {
		found[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return found["project"] == p.want.Project && found["stack"] == p.want.Stack
}

// compare reports a problem if a quota is less than others, the amount that other stacks use, plus need. Instead names
// an alternative to a higher quota.
func (p *check) compare(ctx context.Context, what, service, code string, others, need int, instead string) error {
	limit, err := p.quota(ctx, service, code)
	if err != nil {
		return err
	}
	if others+need <= limit {
		p.note("%s: the quota is %d, %d are in use by others, this stack needs %d", what, limit, others, need)
		return nil
	}
	p.problem("%s: the quota is %d, %d are in use by others, this stack needs %d. Raise it (aws service-quotas "+
		"request-service-quota-increase --service-code %s --quota-code %s --region %s --desired-value %d), or %s",
		what, limit, others, need, service, code, p.want.Region, others+need, instead)
	return nil
}

// addresses compares the quota of elastic IP addresses with the addresses of NAT gateways.
func (p *check) addresses(ctx context.Context) error {
	if p.want.NATs == 0 {
		return nil
	}
	out, err := p.Compute.DescribeAddresses(ctx, &ec2.DescribeAddressesInput{})
	if err != nil {
		return err
	}
	others := slices.DeleteFunc(out.Addresses, func(a types.Address) bool { return p.own(a.Tags) })
	return p.compare(ctx, "Elastic IP addresses", "ec2", addressQuota, len(others), p.want.NATs,
		"choose another imagery:egress: endpoints and public need none")
}

// vpcs compares the quota of VPCs with one more.
func (p *check) vpcs(ctx context.Context) error {
	others := 0
	pages := ec2.NewDescribeVpcsPaginator(p.Compute, &ec2.DescribeVpcsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, v := range page.Vpcs {
			shared := aws.ToString(v.OwnerId) != "" && aws.ToString(v.OwnerId) != p.want.AccountID // counts for its owner
			if !shared && !p.own(v.Tags) {
				others++
			}
		}
	}
	return p.compare(ctx, "VPCs", "vpc", vpcQuota, others, 1, "delete one that is not used, or choose another region")
}

// rules compares the quota of inbound rules with those of the load balancer's security group.
func (p *check) rules(ctx context.Context) error {
	return p.compare(ctx, "inbound rules of the load balancer's security group", "vpc", ruleQuota, 0, p.want.Rules,
		"shorten imagery:allowedCidrs")
}

// AmazonArch maps our architecture names to those of AWS.
var AmazonArch = map[string]string{"arm64": "arm64", "amd64": "x86_64"}

// maxImageAge is the age above which a machine image causes a warning. Amazon Linux 2023 gets security updates about
// every two weeks, and an image contains those of its own date only.
const maxImageAge = 30 * 24 * time.Hour

// image reports a machine image that is missing, old, or for another architecture.
func (p *check) image(ctx context.Context) error {
	id := p.want.Image
	if p.want.ImageFrozen && p.was.Image != "" {
		id = p.was.Image
	}
	out, err := p.Compute.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{id}})
	if hasCode(err, "InvalidAMIID.NotFound", "InvalidAMIID.Unavailable", "InvalidAMIID.Malformed") ||
		err == nil && len(out.Images) == 0 {
		p.problem("machine image %s is not in %s: no instance could start. Pin one that is (imagery:amiId), or set "+
			"imagery:amiFollow true", id, p.want.Region)
		return nil
	}
	if err != nil {
		return err
	}
	if got := string(out.Images[0].Architecture); got != "" && got != AmazonArch[p.want.Arch] {
		p.problem("machine image %s is for %s, imagery:arch is %s: pin another one (imagery:amiId), or set "+
			"imagery:amiFollow true", id, got, p.want.Arch)
	}
	made, err := time.Parse(time.RFC3339, aws.ToString(out.Images[0].CreationDate))
	if err != nil {
		return fmt.Errorf("read the date of image %s: %w", id, err)
	}
	if age := time.Since(made); age > maxImageAge {
		p.warn("machine image %s is %d days old, and instances install no security updates: use a newer one with pulumi "+
			"config set imagery:amiFollow true (every update then uses today's image and rolls it out like a release), or "+
			"pin one (imagery:amiId)", id, int(age.Hours()/24))
	}
	return nil
}

const scalingRole = "AWSServiceRoleForAutoScaling"

// roles warns about service-linked roles that do not exist yet.
func (p *check) roles(ctx context.Context) error {
	for _, r := range [][2]string{
		{scalingRole, "autoscaling"}, {"AWSServiceRoleForElasticLoadBalancing", "elasticloadbalancing"},
	} {
		_, err := p.Roles.GetRole(ctx, &iam.GetRoleInput{RoleName: &r[0]})
		switch {
		case hasCode(err, "NoSuchEntity"):
			p.warn("service-linked role %s does not exist, as in a new account: AWS creates it with the first resource that "+
				"needs it, and may refuse launches for a minute. To create it now: aws iam create-service-linked-role "+
				"--aws-service-name %s.amazonaws.com", r[0], r[1])
		case err != nil:
			return err
		}
	}
	return nil
}

// admits reports whether a key policy allows every principal, or scalingRole. It ignores conditions, so the key may be
// unusable although the result is true.
func admits(document string) (bool, error) {
	var policy struct{ Statement json.RawMessage } // a list, or one statement without a list
	err := json.Unmarshal([]byte(document), &policy)
	list := string(policy.Statement)
	if !strings.HasPrefix(list, "[") {
		list = "[" + list + "]"
	}
	var statements []struct {
		Effect    string
		Principal json.RawMessage
	}
	if err == nil {
		err = json.Unmarshal([]byte(list), &statements)
	}
	if err != nil {
		return false, fmt.Errorf("read the policy of the key: %w", err)
	}
	for _, s := range statements {
		p := string(s.Principal)
		if s.Effect == "Allow" && (strings.Contains(p, scalingRole) || strings.Contains(p, `"*"`)) {
			return true, nil
		}
	}
	return false, nil
}

// key reports a default key of disks that Auto Scaling may not use. AWS's own key (alias/aws/ebs) needs no grant.
func (p *check) key(ctx context.Context) error {
	out, err := p.Compute.GetEbsDefaultKmsKeyId(ctx, &ec2.GetEbsDefaultKmsKeyIdInput{})
	if err != nil {
		return err
	}
	id := aws.ToString(out.KmsKeyId)
	if id == "" || strings.HasSuffix(id, "alias/aws/ebs") {
		return nil
	}
	policy, err := p.Keys.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: &id, PolicyName: aws.String("default")})
	if err != nil {
		return err
	}
	if ok, err := admits(aws.ToString(policy.Policy)); ok || err != nil {
		return err
	}
	pages := kms.NewListGrantsPaginator(p.Keys, &kms.ListGrantsInput{KeyId: &id})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, g := range page.Grants {
			if strings.Contains(aws.ToString(g.GranteePrincipal), scalingRole) {
				return nil
			}
		}
	}
	p.problem("disks are encrypted with %s, the default of this account and region, and neither its policy nor a grant "+
		"names %s: every launch would fail with Client.InternalError. Add a grant: aws kms create-grant --key-id %[1]s "+
		"--grantee-principal arn:aws:iam::ACCOUNT:role/aws-service-role/autoscaling.amazonaws.com/%s --operations Encrypt "+
		"Decrypt ReEncryptFrom ReEncryptTo GenerateDataKey GenerateDataKeyWithoutPlaintext DescribeKey CreateGrant",
		id, scalingRole, scalingRole)
	return nil
}
