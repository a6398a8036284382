package preflight

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
)

// vcpuQuota is "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances". Its unit is vCPUs.
const vcpuQuota = "L-1216C47A"

// vcpus compares the quota of On-Demand vCPUs with the stack's minimum and maximum size, plus the instances that a
// rollout adds. Groups are rolled one after the other, so that only the larger surge counts, unless the update only
// starts the rollout (Together).
func (p *check) vcpus(ctx context.Context) error {
	limit, err := p.quota(ctx, "ec2", vcpuQuota)
	if err != nil {
		return err
	}
	others, err := p.usedVCPUs(ctx)
	if err != nil {
		return err
	}
	least, most, surge, largest := 0, 0, 0, 0
	for _, f := range p.want.Fleets {
		least, most = least+f.Min*f.VCPUs, most+f.Max*f.VCPUs
		small, large := f.surge(f.Min)*f.VCPUs, f.surge(f.Max)*f.VCPUs
		if p.want.Together {
			surge, largest = surge+small, largest+large
		} else {
			surge, largest = max(surge, small), max(largest, large)
		}
	}
	there := fmt.Sprintf("vCPUs: the quota is %d, %d are in use by others", limit, others)
	raise := fmt.Sprintf("aws service-quotas request-service-quota-increase --service-code ec2 --quota-code %s "+
		"--region %s --desired-value %d (usually granted within hours)", vcpuQuota, p.want.Region, others+most+largest)
	switch {
	case others+least+surge > limit && len(p.was.Groups) > 0:
		p.warn("%s, this stack needs %d at its minimum size and %d while it replaces an instance: a rollout will wait until "+
			"it times out. Raise the quota: %s", there, least, least+surge, raise)
	case others+least+surge > limit:
		p.problem("%s, this stack needs %d at its minimum size and %d while it replaces an instance. Raise the quota: %s. "+
			"%s", there, least, least+surge, raise, p.smaller(limit-others))
	case others+most+largest > limit:
		p.warn("%s, this stack may grow to %d and needs %d more while it replaces instances: at the quota, scaling stops "+
			"and a rollout waits. Raise the quota: %s", there, most, largest, raise)
	default:
		p.note("%s, this stack needs %d to %d", there, least, most+largest)
	}
	return nil
}

// smaller returns the commands for a small stack that needs at most free vCPUs: two instances of one vCPU in each role,
// or one.
func (p *check) smaller(free int) string {
	n, note := 2, ""
	switch {
	case free < 3:
		return "The smallest stack needs three vCPUs: one server, one worker, and one while they are replaced"
	case free < 5:
		n, note = 1, " (profile dev only)"
	}
	const set = "pulumi config set imagery:"
	commands := []string{set + "arch arm64", set + "serverType c7g.medium", set + "workerType c7g.medium"}
	for _, role := range []string{"server", "worker"} {
		commands = append(commands, fmt.Sprintf("%s%sMin %d", set, role, n), fmt.Sprintf("%s%sMax %d", set, role, n+1))
	}
	return "A stack that fits: " + strings.Join(commands, "; ") + note
}

// standardFamily matches the instance types to which vcpuQuota applies. Other families that begin with the same
// letters, such as inf, trn, dl, hpc and mac, have separate quotas.
var standardFamily = regexp.MustCompile(`^(a|c|d|h|i|im|is|m|r|t|z)\d`)

// usedVCPUs counts the vCPUs of running On-Demand instances that do not belong to this stack.
func (p *check) usedVCPUs(ctx context.Context) (int, error) {
	n := 0
	pages := ec2.NewDescribeInstancesPaginator(p.Compute, &ec2.DescribeInstancesInput{
		Filters: filter("instance-state-name", "pending", "running")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return 0, err
		}
		for _, r := range page.Reservations {
			for _, i := range r.Instances {
				onHost := i.Placement != nil && i.Placement.Tenancy == types.TenancyHost // has a quota of hosts
				if i.InstanceLifecycle != "" || onHost || !standardFamily.MatchString(string(i.InstanceType)) || p.own(i.Tags) {
					continue
				}
				if o := i.CpuOptions; o != nil {
					n += int(cmp.Or(aws.ToInt32(o.CoreCount), 1) * cmp.Or(aws.ToInt32(o.ThreadsPerCore), 1))
				}
			}
		}
	}
	return n, nil
}

// quota returns the value of a quota, or AWS's default if the account has none of its own.
func (p *check) quota(ctx context.Context, service, code string) (int, error) {
	out, err := p.Quotas.GetServiceQuota(ctx, &servicequotas.GetServiceQuotaInput{ServiceCode: &service, QuotaCode: &code})
	if err == nil && out.Quota != nil && out.Quota.Value != nil {
		return int(*out.Quota.Value), nil
	}
	if err != nil && !hasCode(err, "NoSuchResourceException") {
		return 0, err
	}
	byDefault, err := p.Quotas.GetAWSDefaultServiceQuota(ctx,
		&servicequotas.GetAWSDefaultServiceQuotaInput{ServiceCode: &service, QuotaCode: &code})
	if err != nil {
		return 0, err
	}
	if byDefault.Quota == nil || byDefault.Quota.Value == nil {
		return 0, fmt.Errorf("quota %s of %s has no value", code, service)
	}
	return int(*byDefault.Quota.Value), nil
}
