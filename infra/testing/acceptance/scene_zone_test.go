package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

// fakeVPC has two subnets in the zone to cut and one in another, and answers the calls about their network ACLs.
type fakeVPC struct {
	acls map[string]string // by subnet
	own  []string          // ACLs of the run
}

func (v *fakeVPC) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	filters := map[string]string{}
	for n := 1; r.Form.Has(fmt.Sprintf("Filter.%d.Name", n)); n++ {
		filters[r.Form.Get(fmt.Sprintf("Filter.%d.Name", n))] = r.Form.Get(fmt.Sprintf("Filter.%d.Value.1", n))
	}
	body := ""
	switch action := r.Form.Get("Action"); action {
	case "DescribeAutoScalingGroups":
		fmt.Fprint(w, `<DescribeAutoScalingGroupsResponse><DescribeAutoScalingGroupsResult><AutoScalingGroups><member>`+
			`<VPCZoneIdentifier>s1,s3</VPCZoneIdentifier></member></AutoScalingGroups></DescribeAutoScalingGroupsResult>`+
			`</DescribeAutoScalingGroupsResponse>`)
		return
	case "DescribeSubnets":
		subnets := []string{"s1", "s3"}
		if filters["availability-zone"] == "a" && filters["vpc-id"] == "vpc" {
			subnets = []string{"s1", "s2"}
		}
		for _, s := range subnets {
			body += "<item><subnetId>" + s + "</subnetId><vpcId>vpc</vpcId></item>"
		}
		body = "<subnetSet>" + body + "</subnetSet>"
	case "CreateNetworkAcl":
		v.own = append(v.own, "acl-new")
		body = "<networkAcl><networkAclId>acl-new</networkAclId></networkAcl>"
	case "DescribeNetworkAcls":
		for _, acl := range []string{"acl-default", "acl-new"} {
			own := slices.Contains(v.own, acl)
			subnet := filters["association.subnet-id"]
			if subnet != "" && v.acls[subnet] != acl || filters["default"] != "" && acl != "acl-default" ||
				filters["tag:"+cutTag] != "" && !(own && filters["tag:"+cutTag] == "dev") {
				continue
			}
			body += "<item><networkAclId>" + acl + "</networkAclId><vpcId>vpc</vpcId><associationSet>"
			for _, s := range sorted(v.acls) {
				if v.acls[s] == acl {
					const item = "<item><networkAclAssociationId>of-%s</networkAclAssociationId><subnetId>%[1]s</subnetId></item>"
					body += fmt.Sprintf(item, s)
				}
			}
			body += "</associationSet></item>"
		}
		body = "<networkAclSet>" + body + "</networkAclSet>"
	case "ReplaceNetworkAclAssociation":
		v.acls[strings.TrimPrefix(r.Form.Get("AssociationId"), "of-")] = r.Form.Get("NetworkAclId")
	case "DeleteNetworkAcl":
		v.own = slices.DeleteFunc(v.own, func(a string) bool { return a == r.Form.Get("NetworkAclId") })
	default:
		http.Error(w, action, http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "<Response>%s</Response>", body)
}

// TestZoneToCut: never the first zone, and only one whose loss a server feels.
func TestZoneToCut(t *testing.T) {
	for servers, want := range map[string]string{"a b": "b", "b a": "b", "c a": "c", "a a": "", "x a": "", "": ""} {
		g := types.AutoScalingGroup{}
		for _, zone := range strings.Fields(servers) {
			g.Instances = append(g.Instances, types.Instance{AvailabilityZone: &zone})
		}
		if got, err := zoneToCut([]string{"a", "b", "c"}, g); got != want || (err == nil) != (want != "") {
			t.Errorf("servers in %q: %q, want %q, %v", servers, got, want, err)
		}
	}
}

// TestCutAndRejoin: all subnets of the zone, and no other, get an ACL of the run, which another run finds and removes.
func TestCutAndRejoin(t *testing.T) {
	v := &fakeVPC{acls: map[string]string{"s1": "acl-default", "s2": "acl-default", "s3": "acl-default"}}
	at := httptest.NewServer(v)
	defer at.Close()
	c := aws.Config{Region: "us-east-1", BaseEndpoint: &at.URL,
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}
	of := &test{aws: c, cli: cli{stack: "dev"}}
	n, err := of.cut(t.Context(), "servers", "a")
	if err != nil || n != 2 || v.acls["s1"] != "acl-new" || v.acls["s2"] != "acl-new" || v.acls["s3"] != "acl-default" {
		t.Fatalf("%d, %v, %v", n, err, v.acls)
	}
	foreign := &test{aws: c, cli: cli{stack: "prod"}}
	if err := foreign.rejoin(t.Context()); err != nil || v.acls["s1"] != "acl-new" {
		t.Errorf("the run of another stack changed something: %v, %v", err, v.acls)
	}
	again := &test{aws: c, cli: cli{stack: "dev"}}
	if err := again.rejoin(t.Context()); err != nil {
		t.Fatal(err)
	}
	for s, acl := range v.acls {
		if acl != "acl-default" {
			t.Errorf("subnet %s has %s", s, acl)
		}
	}
	if len(v.own) > 0 {
		t.Errorf("left: %v", v.own)
	}
	if err := again.rejoin(t.Context()); err != nil {
		t.Errorf("with nothing to do: %v", err)
	}
}
