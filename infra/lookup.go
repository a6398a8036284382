package main

import (
	"fmt"
	"slices"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/elb"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ssm"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/infra/deployer"
	"imagery/infra/preflight"
)

// Location holds what the program looks up in AWS. Zones and image are looked up unless the configuration pins them,
// and apply only to resources that do not exist yet.
type Location struct {
	AccountID, Partition string
	Zones                []string
	Image                string
	AccessLogRoot        string // ARN of the account that delivers access logs in regions older than 2022
}

// lookUp looks everything up, before the first resource.
func lookUp(ctx *pulumi.Context, cfg Config, opt pulumi.InvokeOption) (Location, error) {
	identity, err := aws.GetCallerIdentity(ctx, &aws.GetCallerIdentityArgs{}, opt)
	if err != nil {
		return Location{}, fmt.Errorf("look up the AWS account: %w", err)
	}
	if err := cfg.checkCaller(identity.AccountId); err != nil {
		return Location{}, err
	}
	partition, err := aws.GetPartition(ctx, &aws.GetPartitionArgs{}, opt)
	if err != nil {
		return Location{}, fmt.Errorf("look up the AWS partition: %w", err)
	}
	l := Location{AccountID: identity.AccountId, Partition: partition.Partition, Zones: cfg.AZs, Image: cfg.AMIID}
	if len(l.Zones) == 0 {
		if l.Zones, err = zones(ctx, cfg, opt); err != nil {
			return Location{}, err
		}
	}
	if l.Image == "" {
		name := deployer.ImageParameter + preflight.AmazonArch[cfg.Arch]
		parameter, err := ssm.LookupParameter(ctx, &ssm.LookupParameterArgs{Name: name}, opt)
		if err != nil {
			return Location{}, fmt.Errorf("look up the machine image, or pin it with imagery:amiId: %w", err)
		}
		// Value is marked secret, and Pulumi would hide every launch template that contains it.
		l.Image = parameter.InsecureValue
	}
	if !cfg.AccessLogs {
		return l, nil
	}
	// Newer regions have no such account and need none, so an error is only logged.
	account, err := elb.GetServiceAccount(ctx, &elb.GetServiceAccountArgs{}, opt)
	if err != nil {
		text := fmt.Sprintf("%s has no account that delivers access logs, the service delivers them itself: %v",
			cfg.Region, err)
		return l, ctx.Log.Info(text, nil)
	}
	l.AccessLogRoot = account.Arn
	return l, nil
}

// checkCaller returns an error unless the configuration allows the account of the credentials.
func (c Config) checkCaller(account string) error {
	if c.AccountID != "" && c.AccountID != account {
		return fmt.Errorf("the credentials belong to AWS account %s, imagery:accountId is %s; nothing was changed",
			account, c.AccountID)
	}
	return c.AWS.checkAccount(account)
}

// zones returns the first zones, sorted by name, that offer every configured instance type. Some zones lack whole
// families.
func zones(ctx *pulumi.Context, cfg Config, opt pulumi.InvokeOption) ([]string, error) {
	available, err := aws.GetAvailabilityZones(ctx, &aws.GetAvailabilityZonesArgs{
		State: pulumi.StringRef("available"),
		// Without this filter AWS also lists Local Zones.
		Filters: []aws.GetAvailabilityZonesFilter{{Name: "opt-in-status", Values: []string{"opt-in-not-required"}}},
	}, opt)
	if err != nil {
		return nil, fmt.Errorf("look up availability zones, or pin them with imagery:azs: %w", err)
	}
	types := []string{cfg.ServerType, cfg.WorkerType}
	offers, err := ec2.GetInstanceTypeOfferings(ctx, &ec2.GetInstanceTypeOfferingsArgs{
		LocationType: pulumi.StringRef("availability-zone"),
		Filters:      []ec2.GetInstanceTypeOfferingsFilter{{Name: "instance-type", Values: types}},
	}, opt)
	if err != nil {
		return nil, fmt.Errorf("look up the zones that offer %v: %w", types, err)
	}
	offered := map[string]bool{}
	for i, zone := range offers.Locations {
		offered[zone+" "+offers.InstanceTypes[i]] = true
	}
	found := slices.DeleteFunc(slices.Sorted(slices.Values(available.Names)), func(zone string) bool {
		return !offered[zone+" "+cfg.ServerType] || !offered[zone+" "+cfg.WorkerType]
	})
	if len(found) < cfg.AZCount {
		return nil, fmt.Errorf("%d zones of %s offer both %s and %s, imagery:azCount is %d: choose other types",
			len(found), cfg.Region, cfg.ServerType, cfg.WorkerType, cfg.AZCount)
	}
	return found[:cfg.AZCount], nil
}
