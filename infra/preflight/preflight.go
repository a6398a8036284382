// Package preflight checks an AWS account before Pulumi creates the first resource of a stack. It finds what would make
// the deployment fail later: quotas, zones, names that are taken, keys and images.
//
// It only reads. A check that fails because the deployer lacks a permission or AWS does not answer is a warning.
package preflight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	"github.com/aws/smithy-go"
)

// Clients groups the AWS API calls that the preflight makes.
type Clients struct {
	Quotas interface {
		GetServiceQuota(
			context.Context, *servicequotas.GetServiceQuotaInput, ...func(*servicequotas.Options),
		) (*servicequotas.GetServiceQuotaOutput, error)
		GetAWSDefaultServiceQuota(
			context.Context, *servicequotas.GetAWSDefaultServiceQuotaInput, ...func(*servicequotas.Options),
		) (*servicequotas.GetAWSDefaultServiceQuotaOutput, error)
	}
	Compute interface {
		ec2.DescribeInstancesAPIClient
		ec2.DescribeVpcsAPIClient
		ec2.DescribeImagesAPIClient
		ec2.DescribeInstanceTypeOfferingsAPIClient
		ec2.DescribeLaunchTemplatesAPIClient
		DescribeAddresses(
			context.Context, *ec2.DescribeAddressesInput, ...func(*ec2.Options),
		) (*ec2.DescribeAddressesOutput, error)
		GetEbsDefaultKmsKeyId(
			context.Context, *ec2.GetEbsDefaultKmsKeyIdInput, ...func(*ec2.Options),
		) (*ec2.GetEbsDefaultKmsKeyIdOutput, error)
	}
	Groups autoscaling.DescribeAutoScalingGroupsAPIClient
	Roles  interface {
		GetRole(context.Context, *iam.GetRoleInput, ...func(*iam.Options)) (*iam.GetRoleOutput, error)
	}
	Keys interface {
		kms.ListGrantsAPIClient
		GetKeyPolicy(context.Context, *kms.GetKeyPolicyInput, ...func(*kms.Options)) (*kms.GetKeyPolicyOutput, error)
	}
}

// NewClients returns Clients that call AWS with cfg.
func NewClients(cfg aws.Config) Clients {
	return Clients{
		Quotas: servicequotas.NewFromConfig(cfg), Compute: ec2.NewFromConfig(cfg), Groups: autoscaling.NewFromConfig(cfg),
		Roles: iam.NewFromConfig(cfg), Keys: kms.NewFromConfig(cfg),
	}
}

// Stack describes the stack that the update will create.
type Stack struct {
	Project, Stack string // values of the tags "project" and "stack"
	AccountID      string
	Region         string
	Arch           string // arm64 or amd64
	Together       bool   // the rollout may replace instances of both groups at the same time
	Fleets         []Fleet
	// Zones in the order of their subnets; pinned by the configuration, or looked up.
	Zones       []string
	ZonesPinned bool
	NATs        int // gateways, each with an Elastic IP address
	Rules       int // inbound, of the load balancer's security group
	Image       string
	ImageFrozen bool // Image is used only if the state has none
}

// Fleet is the Auto Scaling group of a role.
type Fleet struct {
	Role            string
	Name            string // physical, of the group and of its launch template
	Type            string
	VCPUs, Min, Max int
	MaxHealthy      int // percent of the size that a replacement may have, above 100
}

// surge returns how many instances a replacement may add to n. AWS rounds down and adds one at least.
func (f Fleet) surge(n int) int { return max(1, n*(f.MaxHealthy-100)/100) }

// State describes the stack as Pulumi's state has it. It is zero for a stack that was never deployed.
type State struct {
	Unreadable bool     // the state could not be read; checks that need it are skipped
	Zones      []string // by subnet index; "" for a missing subnet
	Groups     []string // physical names
	Templates  []string // physical names
	Image      string   // of the launch templates
}

// Report is the result of a preflight. Each text says what exists, what is needed and how to change it.
type Report struct {
	Problems []string // each would make the deployment fail
	Warnings []string
	Notes    []string
}

// Err returns an error that lists the problems, or nil.
func (r *Report) Err() error {
	if len(r.Problems) == 0 {
		return nil
	}
	return errors.New("the stack cannot be deployed into this account as it is configured; nothing was changed " +
		"(with imagery:preflight warn, these are warnings):\n  - " + strings.Join(r.Problems, "\n  - "))
}

// checkTimeout bounds one check, some of which read several pages. A check that exceeds it becomes a warning.
const checkTimeout = time.Minute

// Check runs all checks and returns their findings. It returns an error only if ctx ends.
func Check(ctx context.Context, c Clients, want Stack, was State) (Report, error) {
	p := &check{Clients: c, want: want, was: was}
	for _, c := range []struct {
		what string
		run  func(context.Context) error
	}{
		{"names of Auto Scaling groups and launch templates", p.names},
		{"vCPU quota", p.vcpus},
		{"Elastic IP addresses", p.addresses},
		{"VPCs", p.vpcs},
		{"rules of a security group", p.rules},
		{"instance types by zone", p.zones},
		{"age of the machine image", p.image},
		{"service-linked roles", p.roles},
		{"key of encrypted disks", p.key},
	} {
		checkCtx, cancel := context.WithTimeout(ctx, checkTimeout)
		err := c.run(checkCtx)
		cancel()
		if ctx.Err() != nil {
			return p.Report, context.Cause(ctx)
		}
		if err != nil {
			p.warn("not checked: %s: %s", c.what, reason(err))
		}
	}
	return p.Report, nil
}

// check holds the state of one preflight.
type check struct {
	Clients
	Report
	want Stack
	was  State
}

func (p *check) problem(format string, args ...any) {
	p.Problems = append(p.Problems, fmt.Sprintf(format, args...))
}

func (p *check) warn(format string, args ...any) {
	p.Warnings = append(p.Warnings, fmt.Sprintf(format, args...))
}

func (p *check) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}

// reason shortens an SDK error to service, operation, code and message.
func reason(err error) string {
	api, isAPI := errors.AsType[smithy.APIError](err)
	if op, ok := errors.AsType[*smithy.OperationError](err); ok && isAPI {
		return fmt.Sprintf("%s %s: %s: %s", op.Service(), op.Operation(), api.ErrorCode(), api.ErrorMessage())
	}
	return err.Error()
}

func hasCode(err error, codes ...string) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && slices.Contains(codes, api.ErrorCode())
}

// names reports physical names that are already taken, by a stack of the same name in another Pulumi state or by one
// whose state was lost. Without this check the deployment would fail after it created the network.
func (p *check) names(ctx context.Context) error {
	if p.was.Unreadable {
		return errors.New("the state of the stack could not be read")
	}
	var names []string
	for _, f := range p.want.Fleets {
		names = append(names, f.Name)
	}
	out, err := p.Groups.DescribeAutoScalingGroups(ctx,
		&autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: names})
	if err != nil {
		return err
	}
	var taken []string
	for _, g := range out.AutoScalingGroups {
		if name := aws.ToString(g.AutoScalingGroupName); !slices.Contains(p.was.Groups, name) {
			taken = append(taken, "Auto Scaling group "+name)
		}
	}
	known, err := p.Compute.DescribeLaunchTemplates(ctx, &ec2.DescribeLaunchTemplatesInput{
		Filters: filter("launch-template-name", names...)})
	if err != nil {
		return err
	}
	for _, t := range known.LaunchTemplates {
		if name := aws.ToString(t.LaunchTemplateName); !slices.Contains(p.was.Templates, name) {
			taken = append(taken, "launch template "+name)
		}
	}
	if slices.Sort(taken); len(taken) > 0 {
		p.problem("already in this account and region, but not in the state of this stack: %s. There is another stack %q, "+
			"or the state was lost. Choose another name: pulumi stack init NAME --copy-config-from %[2]s",
			strings.Join(taken, ", "), p.want.Stack)
	}
	return nil
}

// zones reports zones that do not offer the instance type of a fleet. Subnets that exist keep their zone.
func (p *check) zones(ctx context.Context) error {
	zones := slices.Clone(p.want.Zones)
	for i, kept := range p.was.Zones {
		if !p.want.ZonesPinned && i < len(zones) && kept != "" {
			zones[i] = kept
		}
	}
	var types []string
	for _, f := range p.want.Fleets {
		types = append(types, f.Type)
	}
	offered := map[string]bool{}
	pages := ec2.NewDescribeInstanceTypeOfferingsPaginator(p.Compute, &ec2.DescribeInstanceTypeOfferingsInput{
		LocationType: "availability-zone", Filters: filter("instance-type", types...)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, o := range page.InstanceTypeOfferings {
			offered[aws.ToString(o.Location)+" "+string(o.InstanceType)] = true
		}
	}
	for _, f := range p.want.Fleets {
		missing := slices.DeleteFunc(slices.Clone(zones), func(z string) bool { return offered[z+" "+f.Type] })
		if len(missing) > 0 {
			p.problem("zone %s does not offer %s (imagery:%sType): choose another type, or in a new stack other zones "+
				"(imagery:azs)", strings.Join(missing, ", "), f.Type, f.Role)
		}
	}
	return nil
}
