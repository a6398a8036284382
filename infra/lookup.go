package main

import (
	"fmt"
	"slices"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/elb"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ssm"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// images is the prefix of the public SSM parameters that name the current Amazon Linux 2023 image, by architecture.
const images = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-"

// amazonArch maps our architecture names to those of AWS.
var amazonArch = map[string]string{"arm64": "arm64", "amd64": "x86_64"}

// Place holds what must be looked up in AWS. Zones and image are looked up unless they are pinned, and apply only to
// resources that do not exist yet.
type Place struct {
	AccountID, Partition string
	Zones                []string
	Image                string
	AccessLogRoot        string // who delivers access logs in regions older than 2022
}

// lookUp asks AWS, all of it before the first resource.
func lookUp(ctx *pulumi.Context, cfg Config, opt pulumi.InvokeOption) (Place, error) {
	who, err := aws.GetCallerIdentity(ctx, &aws.GetCallerIdentityArgs{}, opt)
	if err != nil {
		return Place{}, fmt.Errorf("ask AWS for the account: %w", err)
	}
	if err := cfg.checkCaller(who.AccountId); err != nil {
		return Place{}, err
	}
	where, err := aws.GetPartition(ctx, &aws.GetPartitionArgs{}, opt)
	if err != nil {
		return Place{}, fmt.Errorf("ask AWS for the partition: %w", err)
	}
	p := Place{AccountID: who.AccountId, Partition: where.Partition, Zones: cfg.AZs, Image: cfg.AMIID}
	if len(p.Zones) == 0 {
		if p.Zones, err = zones(ctx, cfg, opt); err != nil {
			return Place{}, err
		}
	}
	if p.Image == "" {
		// InsecureValue: the other one is marked secret, and would hide every template that contains it.
		parameter, err := ssm.LookupParameter(ctx, &ssm.LookupParameterArgs{Name: images + amazonArch[cfg.Arch]}, opt)
		if err != nil {
			return Place{}, fmt.Errorf("ask AWS for today's image, or pin it with imagery:amiId: %w", err)
		}
		p.Image = parameter.InsecureValue
	}
	if cfg.AccessLogs {
		// Newer regions have no such account and need none, so an error here decides nothing.
		account, err := elb.GetServiceAccount(ctx, &elb.GetServiceAccountArgs{}, opt)
		if err == nil {
			p.AccessLogRoot = account.Arn
		} else if err := ctx.Log.Info(fmt.Sprintf("access logs in %s are delivered by the service alone: %v", cfg.Region, err), nil); err != nil {
			return Place{}, err
		}
	}
	return p, nil
}

// checkCaller returns an error unless the stack may live in the account of the credentials.
func (c Config) checkCaller(account string) error {
	if c.AccountID != "" && c.AccountID != account {
		return fmt.Errorf("the credentials are of AWS account %s, imagery:accountId says %s: nothing was touched",
			account, c.AccountID)
	}
	return c.AWS.checkAccount(account)
}

// zones are the first ones that offer every configured type: some zones lack whole families.
func zones(ctx *pulumi.Context, cfg Config, opt pulumi.InvokeOption) ([]string, error) {
	available, err := aws.GetAvailabilityZones(ctx, &aws.GetAvailabilityZonesArgs{
		State:   pulumi.StringRef("available"),
		Filters: []aws.GetAvailabilityZonesFilter{{Name: "opt-in-status", Values: []string{"opt-in-not-required"}}}, // else Local Zones too
	}, opt)
	if err != nil {
		return nil, fmt.Errorf("ask AWS for zones, or pin them with imagery:azs: %w", err)
	}
	types := []string{cfg.ServerType, cfg.WorkerType}
	offers, err := ec2.GetInstanceTypeOfferings(ctx, &ec2.GetInstanceTypeOfferingsArgs{
		LocationType: pulumi.StringRef("availability-zone"),
		Filters:      []ec2.GetInstanceTypeOfferingsFilter{{Name: "instance-type", Values: types}},
	}, opt)
	if err != nil {
		return nil, fmt.Errorf("ask AWS which zones offer %v: %w", types, err)
	}
	offered := map[string]bool{}
	for i, zone := range offers.Locations {
		offered[zone+" "+offers.InstanceTypes[i]] = true
	}
	// Sorted, so that the same zones come in the same order whatever AWS answers first.
	var found []string
	for _, zone := range slices.Sorted(slices.Values(available.Names)) {
		if offered[zone+" "+cfg.ServerType] && offered[zone+" "+cfg.WorkerType] {
			found = append(found, zone)
		}
	}
	if len(found) < cfg.AZCount {
		return nil, fmt.Errorf("%d zones of %s offer both %s and %s, imagery:azCount asks for %d", len(found), cfg.Region, cfg.ServerType, cfg.WorkerType, cfg.AZCount)
	}
	return found[:cfg.AZCount], nil
}
