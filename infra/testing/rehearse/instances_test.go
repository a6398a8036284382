package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

const launchTemplate = `<launchTemplateVersionSet><item><launchTemplateId>lt-1</launchTemplateId>
<versionNumber>1</versionNumber><launchTemplateData><imageId>ami-1</imageId>
<iamInstanceProfile><name>` + role + `</name></iamInstanceProfile><instanceType>t3.small</instanceType>
<tagSpecificationSet><item><resourceType>instance</resourceType><tagSet><item><key>Name</key><value>a server</value>
</item></tagSet></item></tagSpecificationSet></launchTemplateData></item></launchTemplateVersionSet>`

// TestInstancesAreDescribedEndedAndReplaced: an operator sees the machines as EC2 shows instances, and the group
// replaces one that he terminates or stops.
func TestInstancesAreDescribedEndedAndReplaced(t *testing.T) {
	for _, how := range []string{terminated, stopped} {
		f, _, theirs := rehearsal(t)
		theirs.set("DescribeLaunchTemplateVersions", launchTemplate)
		c := ec2.NewFromConfig(serve(t, f))
		describe := func(filter, value string) (all []types.Instance) {
			t.Helper()
			out, err := c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{
				Filters: []types.Filter{{Name: &filter, Values: []string{value}}}})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range out.Reservations {
				all = append(all, r.Instances...)
			}
			return all
		}
		id := inService(f.sim)
		all := describe("tag:aws:autoscaling:groupName", role)
		if len(all) != 1 {
			t.Fatalf("%d instances", len(all))
		}
		i := all[0]
		if *i.InstanceId != id || i.State.Name != running || i.InstanceType != "t3.small" || *i.ImageId != "ami-1" ||
			*i.Placement.AvailabilityZone != zones[0] || *i.PrivateIpAddress != "10.99.1.11" ||
			!strings.HasSuffix(*i.IamInstanceProfile.Arn, "instance-profile/"+role) || i.LaunchTime.IsZero() ||
			!slices.ContainsFunc(i.Tags, func(t types.Tag) bool { return *t.Key == "Name" && *t.Value == "a server" }) {
			t.Errorf("%+v", i)
		}
		if n := len(describe("tag:aws:autoscaling:groupName", "another")); n != 0 {
			t.Errorf("another group has %d instances", n)
		}
		var changes []types.InstanceStateChange
		if how == terminated {
			out, err := c.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
			if err != nil {
				t.Fatal(err)
			}
			changes = out.TerminatingInstances
		} else {
			out, err := c.StopInstances(t.Context(), &ec2.StopInstancesInput{InstanceIds: []string{id}})
			if err != nil {
				t.Fatal(err)
			}
			changes = out.StoppingInstances
		}
		if want := map[string]string{terminated: shuttingDown, stopped: stopping}[how]; len(changes) != 1 ||
			string(changes[0].CurrentState.Name) != want || changes[0].PreviousState.Name != running {
			t.Errorf("%s: %+v", how, changes)
		}
		until(t, "the instance is replaced", func() bool { next := inService(f.sim); return next != "" && next != id })
		until(t, "the instance is gone", func() bool {
			gone := describe("instance-state-name", terminated)
			return len(gone) == 1 && *gone[0].InstanceId == id && gone[0].PrivateIpAddress == nil
		})
		if n := len(describe("instance-state-name", running)); n != 1 {
			t.Errorf("%d instances run", n)
		}
	}
}

func TestCallsAboutInstances(t *testing.T) {
	f, host, _ := rehearsal(t)
	c, id := ec2.NewFromConfig(serve(t, f)), inService(f.sim)
	if _, err := c.RebootInstances(t.Context(), &ec2.RebootInstancesInput{InstanceIds: []string{id}}); err != nil ||
		!slices.Equal(host.calls, []string{"reboot " + id}) {
		t.Errorf("%q, %v", host.calls, err)
	}
	out, err := c.DescribeInstanceStatus(t.Context(), &ec2.DescribeInstanceStatusInput{InstanceIds: []string{id}})
	if err != nil || len(out.InstanceStatuses) != 1 || out.InstanceStatuses[0].InstanceStatus.Status != "ok" {
		t.Errorf("%+v, %v", out, err)
	}
	for filter, want := range map[string]string{"image-id": "The filter 'image-id' is invalid", "": "does not exist"} {
		in := &ec2.DescribeInstancesInput{InstanceIds: []string{"i-2"}}
		if filter != "" {
			in = &ec2.DescribeInstancesInput{Filters: []types.Filter{{Name: &filter, Values: []string{"x"}}}}
		}
		if _, err := c.DescribeInstances(t.Context(), in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", filter, err, want)
		}
	}
	if _, err := c.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{}); err == nil {
		t.Error("a call that names no instance was accepted")
	}
}

// TestAZoneIsCutByItsNetworkACL: "each custom network ACL denies all inbound and outbound traffic until you add rules".
func TestAZoneIsCutByItsNetworkACL(t *testing.T) {
	f, host, theirs := rehearsal(t)
	c := ec2.NewFromConfig(serve(t, f))
	acl := func(entries string) {
		t.Helper()
		theirs.set("DescribeNetworkAcls", `<networkAclSet><item><associationSet><item><subnetId>subnet-1</subnetId></item>
			</associationSet><entrySet>`+entries+`</entrySet></item></networkAclSet>`)
		if _, err := c.ReplaceNetworkAclAssociation(t.Context(), &ec2.ReplaceNetworkAclAssociationInput{
			AssociationId: aws.String("aclassoc-1"), NetworkAclId: aws.String("acl-1")}); err != nil {
			t.Fatal(err)
		}
	}
	entry := func(number, action, egress string) string {
		return "<item><ruleNumber>" + number + "</ruleNumber><protocol>-1</protocol><ruleAction>" + action +
			"</ruleAction><egress>" + egress + "</egress><cidrBlock>0.0.0.0/0</cidrBlock></item>"
	}
	deny := entry("32767", "deny", "true") + entry("32767", "deny", "false")
	allow := entry("100", "allow", "true") + entry("100", "allow", "false") + deny
	var want []string
	for _, step := range []struct{ entries, call string }{
		{allow, ""}, {"", "up=false"}, {deny, ""}, {allow, "up=true"},
		{entry("100", "allow", "true") + deny, "up=false"}, {allow, "up=true"},
		{entry("50", "deny", "false") + allow, "up=false"},
	} {
		acl(step.entries)
		if step.call != "" {
			want = append(want, zones[0]+" "+step.call)
		}
		if !slices.Equal(host.calls, want) {
			t.Fatalf("after the entries %s: %q, want %q", step.entries, host.calls, want)
		}
	}
}
