package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	autoscalingtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// cutTag marks the network ACLs of this program.
const cutTag = "imagery-acceptance"

// cutFor exceeds, on AWS, the three health checks, ten seconds apart, after which the load balancer sends a zone that
// is cut off no requests.
const cutFor = 3 * time.Minute

// zoneToCut returns a zone that has a server and is not the first one, which with `egress` nat has the gateway of all.
func zoneToCut(zones []string, servers autoscalingtypes.AutoScalingGroup) (string, error) {
	for _, i := range servers.Instances {
		if zone := aws.ToString(i.AvailabilityZone); slices.Index(zones, zone) > 0 {
			return zone, nil
		}
	}
	return "", fmt.Errorf("no server is outside of the first of the zones %v", zones)
}

// zoneCut cuts a zone off the network: an ACL without rules denies all traffic from and to its subnets.
func zoneCut(ctx context.Context, t *T) (err error) {
	for _, name := range t.groups() {
		if _, err := t.awaitFull(ctx, name); err != nil {
			return err
		}
	}
	servers, err := t.group(ctx, t.current.ServerGroup)
	if err != nil {
		return err
	}
	zone, err := zoneToCut(t.current.AZs, servers)
	if err != nil {
		return err
	}
	defer putBack(ctx, &err, "the network of zone "+zone, t.rejoin)
	begun := time.Now()
	n, err := t.cut(ctx, t.current.ServerGroup, zone)
	if err != nil {
		return err
	}
	t.logf("%s: %d subnets in zone %s are cut off", t.scene, n, zone)
	if err := t.awaitOut(ctx, zone); err != nil {
		return err
	}
	if err := t.works(ctx); err != nil {
		return fmt.Errorf("while zone %s is cut off: %w", zone, err)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(begun.Add(cutFor / time.Duration(t.side.factor)))):
	}
	if err := t.works(ctx); err != nil {
		return fmt.Errorf("while zone %s is still cut off: %w", zone, err)
	}
	failed, all := t.failures(begun)
	back := time.Now()
	if err := t.rejoin(ctx); err != nil {
		return err
	}
	t.figure("zone %s was cut off for %.0f s: %d of %d requests failed, photos came back", zone,
		back.Sub(begun).Seconds(), failed, all)
	for _, name := range t.groups() {
		if _, err := t.awaitFull(ctx, name); err != nil {
			return err
		}
	}
	t.figure("both groups were full %.0f s after it", time.Since(back).Seconds())
	return t.undisturbed(ctx)
}

// awaitOut waits until the load balancer uses no server in a zone.
func (t *T) awaitOut(ctx context.Context, zone string) error {
	what := "the load balancer uses no server in " + zone
	return t.until(ctx, what, 5*time.Minute, func(ctx context.Context) (bool, error) {
		g, err := t.group(ctx, t.current.ServerGroup)
		if err != nil {
			return false, err
		}
		if len(g.TargetGroupARNs) != 1 {
			return false, fmt.Errorf("group %s has %d target groups, want one", t.current.ServerGroup, len(g.TargetGroupARNs))
		}
		healthy, err := t.targets(ctx, g.TargetGroupARNs[0])
		if err != nil {
			return false, err
		}
		for _, i := range g.Instances {
			if aws.ToString(i.AvailabilityZone) == zone && slices.Contains(healthy, aws.ToString(i.InstanceId)) {
				return false, nil
			}
		}
		return true, nil
	})
}

// cut associates a new network ACL, which denies everything, with all subnets of a zone, and returns their number.
func (t *test) cut(ctx context.Context, group, zone string) (int, error) {
	g, err := t.group(ctx, group)
	if err != nil {
		return 0, err
	}
	api := ec2.NewFromConfig(t.aws)
	own, err := api.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{
		SubnetIds: strings.Split(aws.ToString(g.VPCZoneIdentifier), ",")})
	if err == nil && len(own.Subnets) == 0 {
		err = errors.New("it has none")
	}
	if err != nil {
		return 0, fmt.Errorf("describe the subnets of group %s: %w", group, err)
	}
	vpc := aws.ToString(own.Subnets[0].VpcId)
	subnets, err := api.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{Filters: []types.Filter{
		filter("vpc-id", vpc), filter("availability-zone", zone)}})
	if err != nil {
		return 0, fmt.Errorf("describe the subnets of zone %s: %w", zone, err)
	}
	tags := types.TagSpecification{ResourceType: types.ResourceTypeNetworkAcl,
		Tags: []types.Tag{{Key: aws.String(cutTag), Value: &t.stack}}}
	made, err := api.CreateNetworkAcl(ctx, &ec2.CreateNetworkAclInput{VpcId: &vpc,
		TagSpecifications: []types.TagSpecification{tags}})
	if err != nil {
		return 0, fmt.Errorf("create a network ACL: %w", err)
	}
	for _, s := range subnets.Subnets {
		if err := t.associate(ctx, aws.ToString(s.SubnetId), aws.ToString(made.NetworkAcl.NetworkAclId)); err != nil {
			return 0, err
		}
	}
	if len(subnets.Subnets) == 0 {
		return 0, fmt.Errorf("zone %s has no subnets", zone)
	}
	return len(subnets.Subnets), nil
}

// associate replaces the network ACL of a subnet.
func (t *test) associate(ctx context.Context, subnet, acl string) error {
	api := ec2.NewFromConfig(t.aws)
	out, err := api.DescribeNetworkAcls(ctx, &ec2.DescribeNetworkAclsInput{Filters: []types.Filter{
		filter("association.subnet-id", subnet)}})
	if err != nil {
		return fmt.Errorf("describe the network ACL of subnet %s: %w", subnet, err)
	}
	for _, a := range out.NetworkAcls {
		for _, of := range a.Associations {
			if aws.ToString(of.SubnetId) != subnet {
				continue
			}
			_, err := api.ReplaceNetworkAclAssociation(ctx, &ec2.ReplaceNetworkAclAssociationInput{
				AssociationId: of.NetworkAclAssociationId, NetworkAclId: &acl})
			if err != nil {
				return fmt.Errorf("replace the network ACL of subnet %s: %w", subnet, err)
			}
			return nil
		}
	}
	return fmt.Errorf("subnet %s has no network ACL", subnet)
}

// rejoin gives the subnets that a run has cut off their VPC's default network ACL, which the stack uses, and deletes
// the ACLs of the run. It finds them by their tag, so that it also cleans up after a run that was killed.
func (t *test) rejoin(ctx context.Context) error {
	api := ec2.NewFromConfig(t.aws)
	out, err := api.DescribeNetworkAcls(ctx, &ec2.DescribeNetworkAclsInput{Filters: []types.Filter{
		filter("tag:"+cutTag, t.stack)}})
	if err != nil {
		return fmt.Errorf("describe the network ACLs of this program: %w", err)
	}
	for _, a := range out.NetworkAcls {
		usual, err := api.DescribeNetworkAcls(ctx, &ec2.DescribeNetworkAclsInput{Filters: []types.Filter{
			filter("vpc-id", aws.ToString(a.VpcId)), filter("default", "true")}})
		if err == nil && len(usual.NetworkAcls) != 1 {
			err = fmt.Errorf("there are %d", len(usual.NetworkAcls))
		}
		if err != nil {
			return fmt.Errorf("find the default network ACL of %s: %w", aws.ToString(a.VpcId), err)
		}
		for _, of := range a.Associations {
			id := aws.ToString(usual.NetworkAcls[0].NetworkAclId)
			if err := t.associate(ctx, aws.ToString(of.SubnetId), id); err != nil {
				return err
			}
		}
		if _, err := api.DeleteNetworkAcl(ctx, &ec2.DeleteNetworkAclInput{NetworkAclId: a.NetworkAclId}); err != nil {
			return fmt.Errorf("delete network ACL %s: %w", aws.ToString(a.NetworkAclId), err)
		}
	}
	return nil
}

func filter(name, value string) types.Filter {
	return types.Filter{Name: &name, Values: []string{value}}
}
