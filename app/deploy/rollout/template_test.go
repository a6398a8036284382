package rollout

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"imagery/app/deploy/settings"
	"imagery/infra/release"
)

// The controller reads from a launch template what the Pulumi program writes: the release, its object in the bucket,
// and the lines with which a boot reports its steps and that it failed.
func TestReadTemplate(t *testing.T) {
	sha := strings.Repeat("0a", 32)
	script, err := release.UserData(release.Boot{
		Settings: settings.Settings{Role: settings.Server, Listen: "8080", Table: "t", Bucket: "b", QueueURL: "q",
			DLQURL: "d", Stack: "x", Consume: true, Memory: 1 << 30},
		GCLimit: 1 << 30, Region: "eu-central-1", Group: "g", Hook: "launch", TerminateHook: "terminate",
		Bucket: "imagery-x-releases-1234567",
		Key:    release.Binary{SHA: sha}.Key(), SHA: sha, LogGroup: "/imagery/x/server", Retry: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	got := readTemplate(types.LaunchTemplateVersion{VersionNumber: aws.Int64(12),
		LaunchTemplateData: &types.ResponseLaunchTemplateData{ImageId: aws.String("ami-1"),
			UserData: aws.String(base64.StdEncoding.EncodeToString([]byte(script)))}})
	want := template{"12", "ami-1", sha, "imagery-x-releases-1234567", release.Prefix + sha + "/imagery"}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	for _, text := range []string{bootFailed, bootStep} {
		if !strings.Contains(script, `echo "`+text) {
			t.Errorf("the boot script does not print %q", text)
		}
	}
	if none := readTemplate(types.LaunchTemplateVersion{}); none != (template{}) {
		t.Errorf("%+v", none)
	}
}
