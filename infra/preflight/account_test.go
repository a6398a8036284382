package preflight

import (
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	autoscalingtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	quotatypes "github.com/aws/aws-sdk-go-v2/service/servicequotas/types"
	"github.com/aws/smithy-go"
)

// account is an account with room for everything; tests take something away.
type account struct {
	quotas    map[string]float64 // by code; 0: the account has none of its own, and the default is 5
	instances []types.Instance
	addresses []types.Address
	vpcs      []types.Vpc
	offers    map[string][]string // type -> zones
	imageMade time.Time           // zero: there is no image
	imageArch types.ArchitectureValues
	groups    []string
	templates []string
	roles     []string
	key       string
	keyPolicy string
	grants    []string
	denied    []string // calls that end with UnauthorizedOperation
}

func healthy() *account {
	return &account{
		keyPolicy: `{"Statement":[]}`,
		quotas:    map[string]float64{vcpuQuota: 64, addressQuota: 5, vpcQuota: 5, ruleQuota: 60},
		offers:    map[string][]string{"t4g.micro": {"a", "b", "c"}, "t4g.small": {"a", "b", "c"}},
		imageMade: time.Now().Add(-time.Hour), imageArch: types.ArchitectureValuesArm64,
		roles: []string{"AWSServiceRoleForAutoScaling", "AWSServiceRoleForElasticLoadBalancing"}, key: "alias/aws/ebs",
	}
}

func refuse(code string) error { return &smithy.GenericAPIError{Code: code, Message: "no " + code} }

func (a *account) asked(call string) error {
	if slices.Contains(a.denied, call) {
		return &smithy.OperationError{ServiceID: "EC2", OperationName: call, Err: refuse("UnauthorizedOperation")}
	}
	return nil
}

func (a *account) GetServiceQuota(
	_ context.Context, in *servicequotas.GetServiceQuotaInput, _ ...func(*servicequotas.Options),
) (*servicequotas.GetServiceQuotaOutput, error) {
	v := a.quotas[*in.QuotaCode]
	if v == 0 {
		return nil, refuse("NoSuchResourceException")
	}
	return &servicequotas.GetServiceQuotaOutput{Quota: &quotatypes.ServiceQuota{Value: &v}}, a.asked("GetServiceQuota")
}

func (a *account) GetAWSDefaultServiceQuota(
	context.Context, *servicequotas.GetAWSDefaultServiceQuotaInput, ...func(*servicequotas.Options),
) (*servicequotas.GetAWSDefaultServiceQuotaOutput, error) {
	return &servicequotas.GetAWSDefaultServiceQuotaOutput{Quota: &quotatypes.ServiceQuota{Value: aws.Float64(5)}}, nil
}

func (a *account) DescribeInstances(
	context.Context, *ec2.DescribeInstancesInput, ...func(*ec2.Options),
) (*ec2.DescribeInstancesOutput, error) {
	out := &ec2.DescribeInstancesOutput{Reservations: []types.Reservation{{Instances: a.instances}}}
	return out, a.asked("DescribeInstances")
}

func (a *account) DescribeAddresses(
	context.Context, *ec2.DescribeAddressesInput, ...func(*ec2.Options),
) (*ec2.DescribeAddressesOutput, error) {
	return &ec2.DescribeAddressesOutput{Addresses: a.addresses}, a.asked("DescribeAddresses")
}

func (a *account) DescribeVpcs(
	context.Context, *ec2.DescribeVpcsInput, ...func(*ec2.Options),
) (*ec2.DescribeVpcsOutput, error) {
	return &ec2.DescribeVpcsOutput{Vpcs: a.vpcs}, a.asked("DescribeVpcs")
}

func (a *account) DescribeImages(
	_ context.Context, in *ec2.DescribeImagesInput, _ ...func(*ec2.Options),
) (*ec2.DescribeImagesOutput, error) {
	if a.imageMade.IsZero() {
		return nil, refuse("InvalidAMIID.NotFound")
	}
	return &ec2.DescribeImagesOutput{Images: []types.Image{{ImageId: &in.ImageIds[0], Architecture: a.imageArch,
		CreationDate: aws.String(a.imageMade.UTC().Format("2006-01-02T15:04:05.000Z"))}}}, a.asked("DescribeImages")
}

func (a *account) DescribeInstanceTypeOfferings(
	context.Context, *ec2.DescribeInstanceTypeOfferingsInput, ...func(*ec2.Options),
) (*ec2.DescribeInstanceTypeOfferingsOutput, error) {
	out := &ec2.DescribeInstanceTypeOfferingsOutput{}
	for t, zones := range a.offers {
		for _, z := range zones {
			out.InstanceTypeOfferings = append(out.InstanceTypeOfferings,
				types.InstanceTypeOffering{InstanceType: types.InstanceType(t), Location: aws.String(z)})
		}
	}
	return out, a.asked("DescribeInstanceTypeOfferings")
}

func (a *account) DescribeLaunchTemplates(
	context.Context, *ec2.DescribeLaunchTemplatesInput, ...func(*ec2.Options),
) (*ec2.DescribeLaunchTemplatesOutput, error) {
	out := &ec2.DescribeLaunchTemplatesOutput{}
	for _, t := range a.templates {
		out.LaunchTemplates = append(out.LaunchTemplates, types.LaunchTemplate{LaunchTemplateName: &t})
	}
	return out, a.asked("DescribeLaunchTemplates")
}

func (a *account) DescribeAutoScalingGroups(
	context.Context, *autoscaling.DescribeAutoScalingGroupsInput, ...func(*autoscaling.Options),
) (*autoscaling.DescribeAutoScalingGroupsOutput, error) {
	out := &autoscaling.DescribeAutoScalingGroupsOutput{}
	for _, g := range a.groups {
		out.AutoScalingGroups = append(out.AutoScalingGroups, autoscalingtypes.AutoScalingGroup{AutoScalingGroupName: &g})
	}
	return out, a.asked("DescribeAutoScalingGroups")
}

func (a *account) GetRole(
	_ context.Context, in *iam.GetRoleInput, _ ...func(*iam.Options),
) (*iam.GetRoleOutput, error) {
	if !slices.Contains(a.roles, *in.RoleName) {
		return nil, refuse("NoSuchEntity")
	}
	return &iam.GetRoleOutput{}, a.asked("GetRole")
}

func (a *account) GetEbsDefaultKmsKeyId(
	context.Context, *ec2.GetEbsDefaultKmsKeyIdInput, ...func(*ec2.Options),
) (*ec2.GetEbsDefaultKmsKeyIdOutput, error) {
	return &ec2.GetEbsDefaultKmsKeyIdOutput{KmsKeyId: &a.key}, a.asked("GetEbsDefaultKmsKeyId")
}

func (a *account) GetKeyPolicy(
	context.Context, *kms.GetKeyPolicyInput, ...func(*kms.Options),
) (*kms.GetKeyPolicyOutput, error) {
	return &kms.GetKeyPolicyOutput{Policy: &a.keyPolicy}, a.asked("GetKeyPolicy")
}

func (a *account) ListGrants(
	context.Context, *kms.ListGrantsInput, ...func(*kms.Options),
) (*kms.ListGrantsOutput, error) {
	out := &kms.ListGrantsOutput{}
	for _, g := range a.grants {
		out.Grants = append(out.Grants, kmstypes.GrantListEntry{GranteePrincipal: &g})
	}
	return out, a.asked("ListGrants")
}
