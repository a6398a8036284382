package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	scaling "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	balancing "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"imagery/app/imagery"
	"imagery/app/testing/fakeaws"
)

// endpointVariable names the variable with the address of a running emulator that also has instances, such as moto; see
// the conformance suite.
const endpointVariable = "IMAGERY_TEST_ENDPOINT"

// TestStatusAndSmokeOnAnotherEmulator runs status and smoke against an independent emulator, which has groups, targets
// and alarms.
func TestStatusAndSmokeOnAnotherEmulator(t *testing.T) {
	endpoint := os.Getenv(endpointVariable)
	if endpoint == "" || endpoint == fakeaws.RealAWS {
		t.Skipf("SKIPPED, %s names no emulator: groups, targets and alarms are looked at in the shapes of the SDK only",
			endpointVariable)
	}
	c, err := fakeaws.At(t.Context(), endpoint)
	if err != nil {
		t.Fatal(err)
	}
	stack := fmt.Sprintf("e2e%d", time.Now().UnixNano()%1e9)
	s, err := c.NewStack(t.Context(), "imagery-"+stack, imagery.Limits{Visibility: 10 * time.Second, MaxReceives: 5})
	if err != nil {
		t.Fatal(err)
	}
	a := aws{c, s}
	createMachines(t, c, "imagery-"+stack)
	d := &deployment{T: t, aws: a, flags: a.args(), env: a.Env("operator")}
	out, _ := d.run(0, "status", "--stack", stack)
	d.contains(out, "of 2 servers ready (1 to 3), 1 of 1 workers ready (1 to 1)", "ROLLOUT  none is recorded\n",
		"OLDEST   no image is unfinished\n")
	// Some emulators do not support the protocol of the CloudWatch client. Then only this part of the output is an
	// error.
	if _, err := cloudwatch.NewFromConfig(*c.Config("test")).DescribeAlarms(t.Context(),
		&cloudwatch.DescribeAlarmsInput{}); err != nil {
		t.Logf("no alarms here: %v", err)
		d.contains(out, "ALARMS   list the alarms imagery-"+stack+"-*:")
	} else {
		d.contains(out, "ALARMS   1 of 2 ring; without data: workers-low\n", "         lag  rings for ",
			"docs/runbook.md#lag\n")
	}
	instance := regexp.MustCompile(`(?m)^         i-[0-9a-f]{17}  (server|worker)  ready  unknown  1    1[ab]$`)
	if rows := instance.FindAllString(out, -1); len(rows) != 3 {
		t.Errorf("%d instances:\n%s", len(rows), out)
	}
	fleet := start(t, t.TempDir(), a.Env("fleet"), a.args()...)
	out, _ = d.run(0, "smoke", fleet.url, "--for", "30s")
	d.contains(out, "mean 0.0, worst 0", " bytes from ", "ok: 2 photos")
}

// createMachines creates what infra would: a launch template, two groups, a target group and two alarms, one of which
// is in ALARM.
func createMachines(t *testing.T, c *fakeaws.Cloud, name string) {
	t.Helper()
	ctx, cfg := t.Context(), *c.Config("deployer")
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	vpc := query(t, c, "ec2", "2016-11-15", "Action=DescribeVpcs", "vpcId")
	template := query(t, c, "ec2", "2016-11-15", "Action=CreateLaunchTemplate&LaunchTemplateName="+name+
		"&LaunchTemplateData.InstanceType=t4g.small&LaunchTemplateData.ImageId=ami-12c6146b", "launchTemplateId")
	targets, err := elb.NewFromConfig(cfg).CreateTargetGroup(ctx,
		&elb.CreateTargetGroupInput{Name: &name, Port: sdk.Int32(8080),
			Protocol: balancing.ProtocolEnumHttp, VpcId: &vpc})
	must("create a target group", err)
	groups := autoscaling.NewFromConfig(cfg)
	for role, n := range map[string]int32{"server": 2, "worker": 1} {
		in := &autoscaling.CreateAutoScalingGroupInput{AutoScalingGroupName: sdk.String(name + "-" + role),
			MinSize: sdk.Int32(1), MaxSize: sdk.Int32(2*n - 1),
			DesiredCapacity: &n, AvailabilityZones: []string{fakeaws.Region + "a", fakeaws.Region + "b"},
			LaunchTemplate: &scaling.LaunchTemplateSpecification{LaunchTemplateId: &template, Version: sdk.String("1")}}
		if role == "server" {
			in.TargetGroupARNs = []string{*targets.TargetGroups[0].TargetGroupArn}
		}
		_, err := groups.CreateAutoScalingGroup(ctx, in)
		must("create group "+role, err)
	}
	for alarm, state := range map[string]string{"lag": "ALARM", "workers-low": "INSUFFICIENT_DATA"} {
		called := "&AlarmName=" + name + "-" + alarm + "-1a2b3c4"
		query(t, c, "monitoring", "2010-08-01", "Action=PutMetricAlarm&Namespace=N&MetricName=M"+
			"&ComparisonOperator=GreaterThanThreshold&EvaluationPeriods=1&Period=60&Threshold=1"+
			"&Statistic=Maximum&ActionsEnabled=true"+called, "RequestId")
		query(t, c, "monitoring", "2010-08-01", "Action=SetAlarmState&StateReason=test&StateValue="+state+called, "RequestId")
	}
}

// query sends a request in the query protocol, which every emulator supports, and returns the first element of that
// name. The SDK client of EC2 takes longer to compile than this whole package, and that of CloudWatch supports a newer
// protocol only.
func query(t *testing.T, c *fakeaws.Cloud, service, version, body, element string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.Endpoint,
		strings.NewReader(body+"&Version="+version))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=deployer/20260101/"+fakeaws.Region+"/"+
		service+"/aws4_request, SignedHeaders=host, Signature=0")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("<" + element + ">([^<]+)<").FindSubmatch(answer)
	if found == nil {
		t.Fatalf("%s: no %s in %s", body, element, answer)
	}
	return string(found[1])
}
