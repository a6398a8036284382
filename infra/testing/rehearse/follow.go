package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/smithy-go"

	"imagery/infra/testing/nspawn"
)

// balancer holds the settings of the running load balancer; the zero value: none runs.
type balancer struct {
	port  int
	check nspawn.Check

	arn, targets string // ARNs of the load balancer and of the target group
}

// followBalancer makes the load balancer what moto describes: one listener that forwards to one target group, or none.
func (f *front) followBalancer(ctx context.Context) error {
	c := elb.NewFromConfig(f.moto.config)
	balancers, err := c.DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{})
	if err != nil {
		return fmt.Errorf("read the load balancers: %w", err)
	}
	var wanted balancer
	for _, b := range balancers.LoadBalancers {
		listeners, err := c.DescribeListeners(ctx, &elb.DescribeListenersInput{LoadBalancerArn: b.LoadBalancerArn})
		if err != nil {
			return fmt.Errorf("read the listeners of %s: %w", aws.ToString(b.LoadBalancerName), err)
		}
		for _, l := range listeners.Listeners {
			if len(l.DefaultActions) != 1 || l.DefaultActions[0].TargetGroupArn == nil || wanted.port != 0 {
				return fmt.Errorf("the rehearsal's load balancer has one listener that forwards to one target group, not %+v",
					l.DefaultActions)
			}
			wanted.port, wanted.arn = int(aws.ToInt32(l.Port)), aws.ToString(b.LoadBalancerArn)
			wanted.targets = *l.DefaultActions[0].TargetGroupArn
			if wanted.check, err = f.check(ctx, *l.DefaultActions[0].TargetGroupArn); err != nil {
				return err
			}
		}
	}
	f.following.Lock()
	defer f.following.Unlock()
	if wanted == f.balanced {
		return nil
	}
	if f.balanced = wanted; wanted.port == 0 {
		f.host.StopBalancer()
		return nil
	}
	return f.host.Balance(wanted.port, wanted.check)
}

// check returns the health checks of a target group.
func (f *front) check(ctx context.Context, arn string) (nspawn.Check, error) {
	out, err := elb.NewFromConfig(f.moto.config).DescribeTargetGroups(ctx,
		&elb.DescribeTargetGroupsInput{TargetGroupArns: []string{arn}})
	if err != nil {
		return nspawn.Check{}, fmt.Errorf("read target group %s: %w", arn, err)
	}
	g := out.TargetGroups[0]
	return nspawn.Check{Path: aws.ToString(g.HealthCheckPath), Port: int(aws.ToInt32(g.Port)),
		Interval: seconds(g.HealthCheckIntervalSeconds) / factor, Timeout: seconds(g.HealthCheckTimeoutSeconds) / factor,
		Healthy: int(aws.ToInt32(g.HealthyThresholdCount)), Unhealthy: int(aws.ToInt32(g.UnhealthyThresholdCount))}, nil
}

// changeTargetGroup gives the simulator the new deregistration delay of a target group.
func (f *front) changeTargetGroup(ctx context.Context, in *elb.ModifyTargetGroupAttributesInput) error {
	for _, a := range in.Attributes {
		if aws.ToString(a.Key) == drainAttribute {
			d, err := time.ParseDuration(aws.ToString(a.Value) + "s")
			if err != nil {
				return fmt.Errorf("change target group %s: %w", *in.TargetGroupArn, err)
			}
			f.sim.SetDrainDelay(*in.TargetGroupArn, d)
		}
	}
	return nil
}

// deleteHook removes a lifecycle hook that moto has removed.
func (f *front) deleteHook(_ context.Context, in *autoscaling.DeleteLifecycleHookInput) error {
	return f.sim.DeleteHook(*in.AutoScalingGroupName, *in.LifecycleHookName)
}

// followACLs cuts the zones whose subnets have a network ACL that denies everything, and no others.
func (f *front) followACLs(ctx context.Context) error {
	out, err := ec2.NewFromConfig(f.moto.config).DescribeNetworkAcls(ctx, &ec2.DescribeNetworkAclsInput{})
	if err != nil {
		return fmt.Errorf("read the network ACLs: %w", err)
	}
	denied := map[string]bool{} // subnets
	for _, acl := range out.NetworkAcls {
		for _, a := range acl.Associations {
			denied[aws.ToString(a.SubnetId)] = !passes(acl.Entries, false) || !passes(acl.Entries, true)
		}
	}
	f.following.Lock()
	defer f.following.Unlock()
	cut := map[string]bool{}
	f.mu.Lock()
	for _, g := range f.groups {
		for subnet, zone := range g.subnets {
			cut[zone] = cut[zone] || denied[subnet]
		}
	}
	f.mu.Unlock()
	for _, zone := range zones {
		if cut[zone] == f.cut[zone] {
			continue
		}
		logf("zone %s is %s the network", zone, map[bool]string{true: "off", false: "on"}[cut[zone]])
		if err := f.host.Zone(zone, !cut[zone]); err != nil {
			return fmt.Errorf("change zone %s: %w", zone, err)
		}
		f.cut[zone] = cut[zone]
	}
	return nil
}

// passes reports whether the entries of a network ACL for one direction let all traffic pass: "Network ACL rules are
// evaluated ... starting with the lowest numbered rule. As soon as a rule matches traffic, it's applied". Rules about a
// part of the traffic change nothing here.
func passes(entries []types.NetworkAclEntry, egress bool) bool {
	entries = slices.DeleteFunc(slices.Clone(entries), func(e types.NetworkAclEntry) bool {
		return aws.ToBool(e.Egress) != egress || aws.ToString(e.Protocol) != "-1" || aws.ToString(e.CidrBlock) != "0.0.0.0/0"
	})
	if len(entries) == 0 {
		return false // "any traffic that doesn't match ... is denied"
	}
	return slices.MinFunc(entries, func(a, b types.NetworkAclEntry) int {
		return cmp.Compare(aws.ToInt32(a.RuleNumber), aws.ToInt32(b.RuleNumber))
	}).RuleAction == types.RuleActionAllow
}

// zonesOf returns the zones of subnets, given as in a group's VPCZoneIdentifier.
func (f *front) zonesOf(ctx context.Context, identifiers string) (map[string]string, error) {
	out, err := ec2.NewFromConfig(f.moto.config).DescribeSubnets(ctx,
		&ec2.DescribeSubnetsInput{SubnetIds: strings.Split(identifiers, ",")})
	if err != nil {
		return nil, fmt.Errorf("read subnets %s: %w", identifiers, err)
	}
	all := map[string]string{}
	for _, s := range out.Subnets {
		all[aws.ToString(s.SubnetId)] = aws.ToString(s.AvailabilityZone)
	}
	return all, nil
}

// deletable returns an error unless a group may be deleted: "The group must have no instances and no scaling activities
// in progress. To delete all instances and the group in a single operation, use ForceDelete".
func (f *front) deletable(in *autoscaling.DeleteAutoScalingGroupInput) error {
	_, all, err := f.sim.Snapshot(*in.AutoScalingGroupName)
	if err == nil && len(all) > 0 && !aws.ToBool(in.ForceDelete) {
		return &smithy.GenericAPIError{Code: "ResourceInUse", Message: fmt.Sprintf("You cannot delete an AutoScalingGroup "+
			"while there are instances or pending Spot instance request(s) still in the group: %d", len(all))}
	}
	return err
}
