package asgsim_test

import (
	"context"
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cw "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"imagery/infra/testing/asgsim"
)

// One address answers the clients of all services.
func TestAlarmsOverHTTP(t *testing.T) {
	inBubble(t, good, func(c *cloud) {
		client, ctx := cloudwatch.NewFromConfig(c.cfg), context.Background()
		c.sim.Green("a", "b")
		c.sim.Red("c")
		out, err := client.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{"a", "c", "none"}})
		if err != nil || len(out.MetricAlarms) != 2 {
			t.Fatalf("%+v, %v", out, err)
		}
		if a, red := out.MetricAlarms[0], out.MetricAlarms[1]; *a.AlarmName != "a" || a.StateValue != cw.StateValueOk ||
			red.StateValue != cw.StateValueAlarm ||
			*red.StateReason == "" || !red.StateUpdatedTimestamp.Equal(time.Now()) {
			t.Errorf("%+v", out.MetricAlarms)
		}
		if _, err := client.SetAlarmState(ctx,
			&cloudwatch.SetAlarmStateInput{AlarmName: aws.String("a"), StateValue: cw.StateValueAlarm,
				StateReason: aws.String("test")}); err != nil {
			t.Fatal(err)
		}
		out, err = client.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{StateValue: cw.StateValueAlarm})
		if err != nil || len(out.MetricAlarms) != 2 || *out.MetricAlarms[0].StateReason != "test" {
			t.Errorf("%+v, %v", out, err)
		}
		_, err = client.SetAlarmState(ctx,
			&cloudwatch.SetAlarmStateInput{AlarmName: aws.String("none"), StateValue: cw.StateValueAlarm,
				StateReason: aws.String("test")})
		var missing *cw.ResourceNotFound
		if !errors.As(err, &missing) {
			t.Error(err)
		}
	})
}

func TestTemplatesAndConsolesOverHTTP(t *testing.T) {
	inBubble(t, asgsim.ByVersion(map[string]asgsim.Script{"2": asgsim.FailsBoot("bad hash")}), func(c *cloud) {
		client, ctx := ec2.NewFromConfig(c.cfg), context.Background()
		c.filled()
		one := asgsim.TemplateVersion{Number: 1, Image: "ami-1", InstanceType: "t4g.small", UserData: "#!/bin/bash\n"}
		two := one
		two.Number, two.Default, two.UserData = 2, true, "#!/bin/bash\nfalse\n"
		c.sim.SetTemplate("lt-1", one, two)
		describe := func(versions ...string) (*ec2.DescribeLaunchTemplateVersionsOutput, error) {
			return client.DescribeLaunchTemplateVersions(ctx,
				&ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: aws.String("lt-1"), Versions: versions})
		}
		for want, versions := range map[int64][]string{1: {"1"}, 2: {"$Latest"}} {
			out, err := describe(versions...)
			if err != nil || len(out.LaunchTemplateVersions) != 1 || *out.LaunchTemplateVersions[0].VersionNumber != want ||
				*out.LaunchTemplateVersions[0].LaunchTemplateData.ImageId != "ami-1" {
				t.Errorf("%+v, %v", out, err)
			}
		}
		out, err := describe()
		if err != nil || len(out.LaunchTemplateVersions) != 2 {
			t.Fatalf("%+v, %v", out, err)
		}
		if got, err := base64.StdEncoding.DecodeString(
			*out.LaunchTemplateVersions[1].LaunchTemplateData.UserData); err != nil || string(got) != two.UserData {
			t.Errorf("%q, %v", got, err)
		}
		_, err = describe("9")
		refused(t, err, "InvalidLaunchTemplateId.VersionNotFound", "9")
		_, err = client.DescribeLaunchTemplateVersions(ctx,
			&ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: aws.String("lt-9")})
		refused(t, err, "InvalidLaunchTemplateId.NotFound", "lt-9")

		c.start("2", safe())
		c.until("one failed", func() bool { return c.activities()[0].StatusCode == "Successful" && len(c.activities()) > 3 })
		failed := ""
		for _, a := range c.sim.Activities(name) {
			if a.Version == "2" {
				failed = a.Instance
			}
		}
		console, err := client.GetConsoleOutput(ctx, &ec2.GetConsoleOutputInput{InstanceId: &failed})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := base64.StdEncoding.DecodeString(aws.ToString(console.Output)); err != nil ||
			string(got) != "IMAGERY BOOT FAILED: bad hash\n" {
			t.Errorf("%q, %v", got, err)
		}
	})
}
