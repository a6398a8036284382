package asgsim_test

import (
	"context"
	"encoding/base64"
	"testing"

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
		c.sim.SetAlarms("OK", "a", "b")
		c.sim.SetAlarms("ALARM", "c")
		out, err := client.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{"a", "c", "none"}})
		if err != nil || len(out.MetricAlarms) != 2 {
			t.Fatalf("%+v, %v", out, err)
		}
		if a, c := out.MetricAlarms[0], out.MetricAlarms[1]; *a.AlarmName != "a" || a.StateValue != cw.StateValueOk ||
			*c.AlarmName != "c" || c.StateValue != cw.StateValueAlarm {
			t.Errorf("%+v", out.MetricAlarms)
		}
	})
}

func TestTemplatesAndConsolesOverHTTP(t *testing.T) {
	inBubble(t, byVersion(failsBoot()), func(c *cloud) {
		client, ctx := ec2.NewFromConfig(c.cfg), context.Background()
		c.filled()
		one := asgsim.TemplateVersion{Number: 1, Image: "ami-1", UserData: "#!/bin/bash\n"}
		two := asgsim.TemplateVersion{Number: 2, Image: "ami-1", UserData: "#!/bin/bash\nfalse\n"}
		c.sim.SetTemplate("lt-1", one, two)
		describe := func(versions ...string) (*ec2.DescribeLaunchTemplateVersionsOutput, error) {
			return client.DescribeLaunchTemplateVersions(ctx,
				&ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: aws.String("lt-1"), Versions: versions})
		}
		first, err := describe("1")
		if err != nil || len(first.LaunchTemplateVersions) != 1 || *first.LaunchTemplateVersions[0].VersionNumber != 1 ||
			*first.LaunchTemplateVersions[0].LaunchTemplateData.ImageId != "ami-1" {
			t.Errorf("%+v, %v", first, err)
		}
		out, err := describe()
		if err != nil || len(out.LaunchTemplateVersions) != 2 {
			t.Fatalf("%+v, %v", out, err)
		}
		if got, err := base64.StdEncoding.DecodeString(
			*out.LaunchTemplateVersions[1].LaunchTemplateData.UserData); err != nil || string(got) != two.UserData {
			t.Errorf("%q, %v", got, err)
		}
		_, err = describe("1", "9")
		refused(t, err, "InvalidLaunchTemplateId.VersionNotFound", "lt-1")

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
