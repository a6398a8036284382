package rollout

import (
	"cmp"
	"context"
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// template holds the parts of a launch template version that a rollout needs.
type template struct {
	number               string
	image                string
	release, bucket, key string // SHA-256 of the binary, and the object that instances download
}

// templates returns the given versions of a group's launch template that exist, by number, or all of them if none is
// given. The release is read from the user-data, since instances execute it.
func (o *observer) templates(ctx context.Context, g *group, numbers ...string) (map[string]template, error) {
	out := map[string]template{}
	if slices.Sort(numbers); len(numbers) > 0 {
		numbers = slices.Compact(numbers)
	}
	in := &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: &g.template, Versions: numbers}
	for more := true; more; more = aws.ToString(in.NextToken) != "" {
		page, err := o.clients.Compute.DescribeLaunchTemplateVersions(ctx, in)
		if is(err, "InvalidLaunchTemplateId.VersionNotFound") {
			if len(numbers) == 1 {
				return out, nil
			}
			for _, n := range numbers { // the answer omits the versions that exist
				one, err := o.templates(ctx, g, n)
				if err != nil {
					return nil, err
				}
				maps.Copy(out, one)
			}
			return out, nil
		}
		if err != nil {
			return nil, wrap(err, "describe launch template %s", g.template)
		}
		for _, v := range page.LaunchTemplateVersions {
			t := readTemplate(v)
			out[t.number] = t
		}
		in.NextToken = page.NextToken
	}
	return out, nil
}

func readTemplate(v types.LaunchTemplateVersion) template {
	var t template
	if v.VersionNumber != nil {
		t.number = strconv.FormatInt(*v.VersionNumber, 10)
	}
	if v.LaunchTemplateData == nil {
		return t
	}
	t.image = aws.ToString(v.LaunchTemplateData.ImageId)
	script, err := base64.StdEncoding.DecodeString(aws.ToString(v.LaunchTemplateData.UserData))
	if err != nil {
		return t
	}
	// The script begins with assignments, see infra/release.
	for line := range strings.Lines(string(script)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch name {
		case "SHA":
			t.release = cmp.Or(t.release, value)
		case "BUCKET":
			t.bucket = cmp.Or(t.bucket, value)
		case "KEY":
			t.key = cmp.Or(t.key, value)
		}
	}
	return t
}

// numbersDown returns the version numbers, newest first.
func numbersDown(of map[string]template) []string {
	return slices.SortedFunc(maps.Keys(of), func(a, b string) int { return number(b) - number(a) })
}

// number returns the number of a version, or 0 for $Latest and $Default.
func number(version string) int { n, _ := strconv.Atoi(version); return n }
