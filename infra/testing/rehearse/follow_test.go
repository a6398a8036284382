package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"imagery/infra/policy"
)

// TestTheBalancerFollowsItsListener: it starts with a listener, follows changes, and ends with the listener.
func TestTheBalancerFollowsItsListener(t *testing.T) {
	f, host, theirs := rehearsal(t)
	c := elb.NewFromConfig(serve(t, f))
	theirs.set("DescribeLoadBalancers",
		"<LoadBalancers><member><LoadBalancerArn>lb</LoadBalancerArn></member></LoadBalancers>")
	listen := func(port string) {
		theirs.set("DescribeListeners", "<Listeners><member><Port>"+port+"</Port><DefaultActions><member>"+
			"<TargetGroupArn>tg</TargetGroupArn></member></DefaultActions></member></Listeners>")
	}
	check := func(path string) {
		theirs.set("DescribeTargetGroups", "<TargetGroups><member><Port>8080</Port><HealthCheckPath>"+path+
			"</HealthCheckPath></member></TargetGroups>")
	}
	listen("80")
	check("/ready")
	create := func() (any, error) {
		return c.CreateListener(t.Context(), &elb.CreateListenerInput{LoadBalancerArn: aws.String("lb"),
			DefaultActions: []elbtypes.Action{{Type: elbtypes.ActionTypeEnumForward, TargetGroupArn: aws.String("tg")}}})
	}
	modify := func() (any, error) {
		return c.ModifyListener(t.Context(), &elb.ModifyListenerInput{ListenerArn: aws.String("l")})
	}
	var want []string
	for _, step := range []struct {
		name   string
		before func()
		call   func() (any, error)
		want   string
	}{
		{"create the listener", func() {}, create, "balance 80 /ready"},
		{"change nothing", func() {}, modify, ""},
		{"change its port", func() { listen("8081") }, modify, "balance 8081 /ready"},
		{"change the checks", func() { check("/live") }, func() (any, error) {
			return c.ModifyTargetGroup(t.Context(), &elb.ModifyTargetGroupInput{TargetGroupArn: aws.String("tg")})
		}, "balance 8081 /live"},
		{"delete the listener", func() { theirs.set("DescribeListeners", "<Listeners></Listeners>") }, func() (any, error) {
			return c.DeleteListener(t.Context(), &elb.DeleteListenerInput{ListenerArn: aws.String("l")})
		}, "no balancer"},
		{"create it again", func() { listen("80") }, create, "balance 80 /live"},
		{"delete the load balancer", func() { theirs.set("DescribeLoadBalancers", "") }, func() (any, error) {
			return c.DeleteLoadBalancer(t.Context(), &elb.DeleteLoadBalancerInput{LoadBalancerArn: aws.String("lb")})
		}, "no balancer"},
	} {
		step.before()
		if _, err := step.call(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if step.want != "" {
			want = append(want, step.want)
		}
		if !slices.Equal(host.calls, want) {
			t.Fatalf("%s: %q, want %q", step.name, host.calls, want)
		}
	}
}

// TestChangesOfGroupsAreFollowed: settings that change after the creation of a group reach the simulator.
func TestChangesOfGroupsAreFollowed(t *testing.T) {
	f, _, theirs := rehearsal(t)
	config := serve(t, f)
	c := autoscaling.NewFromConfig(config)
	theirs.set("DescribeSubnets", "<subnetSet><item><subnetId>subnet-2</subnetId><availabilityZone>"+zones[1]+
		"</availabilityZone></item></subnetSet>")
	if _, err := c.UpdateAutoScalingGroup(t.Context(), &autoscaling.UpdateAutoScalingGroupInput{
		AutoScalingGroupName: aws.String(role), VPCZoneIdentifier: aws.String("subnet-2"),
		HealthCheckGracePeriod: aws.Int32(7), MaxSize: aws.Int32(3)}); err != nil {
		t.Fatal(err)
	}
	g, _, err := f.sim.Snapshot(role)
	if err != nil || !slices.Equal(g.Zones, zones[1:2]) || g.Grace.Seconds() != 7 || g.Max != 3 || g.Min != 1 {
		t.Errorf("%+v, %v", g, err)
	}
	if zone := f.groups[role].subnets["subnet-2"]; zone != zones[1] {
		t.Errorf("the subnet's zone is %q", zone)
	}
	hook := &autoscaling.PutLifecycleHookInput{AutoScalingGroupName: aws.String(role),
		LifecycleHookName:   aws.String("launch"),
		LifecycleTransition: aws.String("autoscaling:EC2_INSTANCE_LAUNCHING")}
	if _, err := c.PutLifecycleHook(t.Context(), hook); err != nil {
		t.Fatal(err)
	}
	if g, _, _ := f.sim.Snapshot(role); len(g.Hooks) != 1 {
		t.Errorf("%+v", g.Hooks)
	}
	if _, err := c.DeleteLifecycleHook(t.Context(), &autoscaling.DeleteLifecycleHookInput{
		AutoScalingGroupName: hook.AutoScalingGroupName, LifecycleHookName: hook.LifecycleHookName}); err != nil {
		t.Fatal(err)
	}
	if g, _, _ := f.sim.Snapshot(role); len(g.Hooks) != 0 {
		t.Errorf("%+v", g.Hooks)
	}
	remove := func(force bool) error {
		_, err := c.DeleteAutoScalingGroup(t.Context(),
			&autoscaling.DeleteAutoScalingGroupInput{AutoScalingGroupName: aws.String(role), ForceDelete: &force})
		return err
	}
	if err := remove(false); err == nil || !strings.Contains(err.Error(), "ResourceInUse") ||
		slices.Contains(theirs.seen, "DeleteAutoScalingGroup") {
		t.Errorf("a group with an instance is deleted: %v", err)
	}
	if err := remove(true); err != nil || !slices.Contains(theirs.seen, "DeleteAutoScalingGroup") {
		t.Error(err)
	}
}

// TestCommandsRunOnManagedInstances: those whose role has the permissions of the agent.
func TestCommandsRunOnManagedInstances(t *testing.T) {
	f, _, _ := rehearsal(t)
	url, id := *serve(t, f).BaseEndpoint, inService(f.sim)
	call := func(operation string, in, out any) (status int, text string) {
		t.Helper()
		body, _ := json.Marshal(in)
		r := httptest.NewRequest(http.MethodPost, url, strings.NewReader(string(body)))
		r.Header.Set("X-Amz-Target", "AmazonSSM."+operation)
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		w := httptest.NewRecorder()
		f.ServeHTTP(w, r)
		if out != nil {
			if err := json.Unmarshal(w.Body.Bytes(), out); err != nil {
				t.Fatalf("%s: %v", w.Body, err)
			}
		}
		return w.Code, w.Body.String()
	}
	rightsOf := func(actions ...string) {
		allow := policy.JSON(policy.Statement{Effect: policy.Allow, Action: actions, Resource: []string{"*"}})
		for key, texts := range map[string][]string{"role " + role: {allow}, "endpoint ssm": nil} {
			delete(f.rights.cache, key)
			if _, err := f.rights.read(key, func() ([]string, error) { return texts, nil }); err != nil {
				t.Fatal(err)
			}
		}
	}
	send := func(script ...string) map[string]any {
		return map[string]any{"DocumentName": "AWS-RunShellScript", "Parameters": map[string]any{"commands": script},
			"Targets": []map[string]any{{"Key": "tag:aws:autoscaling:groupName", "Values": []string{role}}}}
	}
	rightsOf("sqs:SendMessage")
	if code, text := call("SendCommand", send("true"), nil); code != 400 || !strings.Contains(text, "InvalidInstanceId") {
		t.Errorf("without permissions of the agent: %d %s", code, text)
	}
	rightsOf("ssm:UpdateInstanceInformation")
	var sent struct{ Command struct{ CommandId string } }
	if code, text := call("SendCommand", send("echo out", "echo err >&2", "exit 3"), &sent); code != 200 {
		t.Fatalf("%d %s", code, text)
	}
	var got invocation
	until(t, "the command ends", func() bool {
		in := map[string]string{"CommandId": sent.Command.CommandId, "InstanceId": id}
		code, text := call("GetCommandInvocation", in, &got)
		if code != 200 {
			t.Fatal(text)
		}
		return got.Status != "InProgress"
	})
	if got.Status != "Failed" || got.ResponseCode != 3 || got.StandardOutputContent != "out\n" ||
		got.StandardErrorContent != "err\n" {
		t.Errorf("%+v", got)
	}
	if code, text := call("GetCommandInvocation", map[string]string{"CommandId": "x"}, nil); code != 400 {
		t.Errorf("an unknown command: %d %s", code, text)
	}
	f.host.PowerOff(id)
	in := map[string]any{"DocumentName": "AWS-RunShellScript", "InstanceIds": []string{id}}
	if code, text := call("SendCommand", in, nil); code != 400 || !strings.Contains(text, "InvalidInstanceId") {
		t.Errorf("an instance that is off: %d %s", code, text)
	}
}

// passedOn lists the calls of the deployer about groups and load balancers that only moto serves: they read, or change
// nothing that machines or the load balancer would notice.
var passedOn = strings.Fields(`
	autoscaling:CreateOrUpdateTags autoscaling:DeleteTags autoscaling:DescribeWarmPool
	elasticloadbalancing:AddTags elasticloadbalancing:CreateTargetGroup elasticloadbalancing:DeleteTargetGroup
	elasticloadbalancing:DescribeCapacityReservation elasticloadbalancing:DescribeListenerAttributes
	elasticloadbalancing:DescribeListenerCertificates elasticloadbalancing:DescribeListeners
	elasticloadbalancing:DescribeLoadBalancerAttributes elasticloadbalancing:DescribeLoadBalancers
	elasticloadbalancing:DescribeTags elasticloadbalancing:DescribeTargetGroupAttributes
	elasticloadbalancing:DescribeTargetGroups elasticloadbalancing:ModifyListenerAttributes
	elasticloadbalancing:ModifyLoadBalancerAttributes elasticloadbalancing:RemoveTags
	elasticloadbalancing:SetSecurityGroups elasticloadbalancing:SetSubnets`)

// TestEveryCallOfTheDeployerIsDecided: each one about groups and load balancers is served here or passed on on purpose.
func TestEveryCallOfTheDeployerIsDecided(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "aws.md"))
	if err != nil {
		t.Fatal(err)
	}
	known, action := 0, regexp.MustCompile(`"((?:autoscaling|elasticloadbalancing):(\w+))"`)
	for _, m := range action.FindAllStringSubmatch(string(text), -1) {
		known++
		if (operations[m[2]] != nil) == slices.Contains(passedOn, m[1]) {
			t.Errorf("%s must be one of operations or of passedOn", m[1])
		}
	}
	if known < 40 {
		t.Errorf("docs/aws.md has only %d such actions", known)
	}
}
