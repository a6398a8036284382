package doctor

import (
	"slices"
	"testing"

	"imagery/app/deploy/iam"
)

func TestParseQueueURL(t *testing.T) {
	for url, want := range map[string][2]string{
		"https://sqs.eu-west-1.amazonaws.com/123456789012/imagery":            {"eu-west-1", "123456789012"},
		"https://sqs.us-gov-west-1.amazonaws.com.example/123456789012/q":      {"us-gov-west-1", "123456789012"},
		"https://vpce-1.sqs.eu-west-1.vpce.amazonaws.com/123456789012/q":      {"", "123456789012"},
		"http://sqs.us-east-1.localhost.localstack.cloud:4566/000000000000/q": {"us-east-1", "000000000000"},
		"http://127.0.0.1:9324/000000000000/q":                                {"", "000000000000"},
		"http://localhost:9324/queue/q":                                       {"", ""},
		"https://sqs.eu-west-1.amazonaws.com/12345678901/q":                   {"eu-west-1", ""},
		"": {"", ""}, "not a URL": {"", ""},
	} {
		if region, account := parseQueueURL(url); region != want[0] || account != want[1] {
			t.Errorf("%s: %q, %q", url, region, account)
		}
	}
}

// TestPermissionsAreProbed: every permission of the commands about images is either probed or listed as unprobed.
func TestPermissionsAreProbed(t *testing.T) {
	probes := Cloud{}.probes("")
	for _, a := range iam.Operator {
		if (probes[permission(a)] != nil) == slices.Contains(unprobed, permission(a)) {
			t.Errorf("%s is neither, or both", permission(a))
		}
	}
}
