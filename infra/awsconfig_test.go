package main

import (
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"

	"imagery/infra/testing/pulumitest"
)

// keyOf returns the configuration key of a field of aws.ProviderArgs.
func keyOf(field string) string { return strings.ToLower(field[:1]) + field[1:] }

func TestEverySettingOfTheProviderIsSupportedOrRefused(t *testing.T) {
	fields := reflect.TypeFor[aws.ProviderArgs]()
	known := map[string]bool{}
	for i := range fields.NumField() {
		key := keyOf(fields.Field(i).Name)
		known[key] = true
		if _, supported := awsKeys[key]; supported == (refusedAWSKeys[key] != "") {
			t.Errorf("aws:%s must be either in awsKeys or in refusedAWSKeys", key)
		}
	}
	for key := range awsKeys {
		if !known[key] {
			t.Errorf("aws:%s is in awsKeys, and the provider does not have it", key)
		}
	}
}

// isolate hides the AWS settings of the machine that runs the test.
func isolate(t *testing.T) {
	t.Helper()
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID",
		"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"} {
		t.Setenv(name, "")
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
}

// settingsOf reads aws: keys and fails the test if they have problems.
func settingsOf(t *testing.T, keys map[string]string) AWSSettings {
	t.Helper()
	a, problems := readAWS(slices.Collect(maps.Keys(keys)), nil, func(k string) string { return keys[k] })
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return a
}

type supportedKey struct {
	with  map[string]string // further keys
	value string
	proof func(sdk.Config, AWSSettings) bool
}

// supported returns for each supported key a value and, unless the key is one of providerOnlyKeys, a check that the
// SDK's clients use it.
func supported(t *testing.T) map[string]supportedKey {
	folder := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tlsServer := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(tlsServer.Close)
	bundle := write("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
		Bytes: tlsServer.Certificate().Raw})))
	stsServer := httptest.NewServer(&stsDouble{})
	t.Cleanup(stsServer.Close)
	key := func(want string) func(sdk.Config, AWSSettings) bool {
		return func(cfg sdk.Config, _ AWSSettings) bool {
			c, err := cfg.Credentials.Retrieve(t.Context())
			return err == nil && strings.Contains(c.AccessKeyID+" "+c.SecretAccessKey+" "+c.SessionToken, want)
		}
	}
	transport := func(cfg sdk.Config) *http.Transport {
		if c, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok {
			return c.GetTransport()
		}
		return awshttp.NewBuildableClient().GetTransport() // as the SDK creates it
	}
	proxied := func(to, want string) func(sdk.Config, AWSSettings) bool {
		return func(cfg sdk.Config, _ AWSSettings) bool {
			u, err := transport(cfg).Proxy(httptest.NewRequest("GET", to, nil))
			return err == nil && fmt.Sprint(u) == want
		}
	}
	reaches := func(path string, works bool) func(sdk.Config, AWSSettings) bool {
		return func(cfg sdk.Config, _ AWSSettings) bool {
			r, err := http.NewRequestWithContext(t.Context(), "GET", tlsServer.URL+path, nil)
			if err != nil {
				return false
			}
			answer, err := (&http.Client{Transport: transport(cfg)}).Do(r)
			if err == nil {
				answer.Body.Close()
			}
			return (err == nil) == works
		}
	}
	static := map[string]string{"accessKey": "one", "secretKey": "two", "token": "three"}
	toSTS := map[string]string{"accessKey": "k", "secretKey": "s", "endpoints": `{"sts":"` + stsServer.URL + `"}`}
	files := map[string]string{"profile": "mine", "sharedCredentialsFiles": `["` +
		write("credentials", "[mine]\naws_access_key_id=from-file\naws_secret_access_key=s\n") + `"]`}
	settings := map[string]string{"profile": "mine", "sharedConfigFiles": `["` +
		write("config", "[profile mine]\naws_access_key_id=from-config\naws_secret_access_key=s\n") + `"]`}
	source := func(name string, want string) func(sdk.Config, AWSSettings) bool {
		return func(cfg sdk.Config, _ AWSSettings) bool {
			for _, s := range cfg.ConfigSources {
				if v := reflect.ValueOf(s); v.Kind() == reflect.Struct && v.FieldByName(name).IsValid() &&
					fmt.Sprint(v.FieldByName(name)) == want {
					return true
				}
			}
			return false
		}
	}
	return map[string]supportedKey{
		"region": {nil, "eu-north-1", func(c sdk.Config, _ AWSSettings) bool {
			return c.Region == "eu-north-1"
		}},
		"profile":                {files, "mine", key("from-file")},
		"sharedCredentialsFiles": {files, files["sharedCredentialsFiles"], key("from-file")},
		"sharedConfigFiles":      {settings, settings["sharedConfigFiles"], key("from-config")},
		"accessKey":              {static, "one", key("one")},
		"secretKey":              {static, "two", key("two")},
		"token":                  {static, "three", key("three")},
		"assumeRole":             {toSTS, `{"roleArn":"arn:aws:iam::444455556666:role/r"}`, key("role-r")},
		"assumeRoleWithWebIdentity": {toSTS,
			`{"roleArn":"arn:aws:iam::444455556666:role/w","webIdentityToken":"t"}`, key("role-w")},
		"allowedAccountIds": {toSTS, `["111122223333"]`, func(_ sdk.Config, a AWSSettings) bool {
			return a.checkAccount("1") != nil
		}},
		"forbiddenAccountIds": {toSTS, `["1"]`, func(_ sdk.Config, a AWSSettings) bool { return a.checkAccount("1") != nil }},
		"endpoints": {nil, `[{"autoscaling":"http://a.example"},{"elbv2":"http://b.example"}]`, func(c sdk.Config,
			_ AWSSettings) bool {
			return sdk.ToString(autoscaling.NewFromConfig(c).Options().BaseEndpoint) == "http://a.example" &&
				ec2.NewFromConfig(c).Options().BaseEndpoint == nil
		}},
		"maxRetries": {nil, "7", func(c sdk.Config, _ AWSSettings) bool {
			c.RetryMaxAttempts = 10 // as the rollout does
			return autoscaling.NewFromConfig(c).Options().Retryer.MaxAttempts() == 7
		}},
		"retryMode": {nil, "adaptive", func(c sdk.Config, _ AWSSettings) bool {
			return c.RetryMode == sdk.RetryModeAdaptive
		}},
		"tokenBucketRateLimiterCapacity": {nil, "3", func(c sdk.Config, _ AWSSettings) bool {
			if c.Retryer == nil {
				return false
			}
			_, err := c.Retryer().GetRetryToken(t.Context(), io.ErrUnexpectedEOF) // costs five
			return err != nil
		}},
		"httpProxy":  {nil, "http://p.example:1", proxied("https://ec2.example/", "http://p.example:1")},
		"httpsProxy": {nil, "http://q.example:1", proxied("https://ec2.example/", "http://q.example:1")},
		"noProxy": {map[string]string{"httpsProxy": "http://q.example:1"}, "ec2.example",
			proxied("https://ec2.example/", "<nil>")},
		"insecure":       {nil, "true", reaches("/", true)},
		"customCaBundle": {nil, bundle, reaches("/", true)},
		"ec2MetadataServiceEndpoint": {nil, "http://169.254.169.253/", source("EC2IMDSEndpoint",
			"http://169.254.169.253/")},
		"ec2MetadataServiceEndpointMode": {nil, "IPv6", source("EC2IMDSEndpointMode",
			fmt.Sprint(imds.EndpointModeStateIPv6))},
		"skipMetadataApiCheck": {nil, "true", source("EC2IMDSClientEnableState", fmt.Sprint(imds.ClientDisabled))},
		"stsRegion": {nil, "us-west-2", func(c sdk.Config, a AWSSettings) bool {
			return a.sts(c).Options().Region == "us-west-2"
		}},
		"useDualstackEndpoint": {nil, "true", func(c sdk.Config, _ AWSSettings) bool {
			return ec2.NewFromConfig(c).Options().EndpointOptions.UseDualStackEndpoint == sdk.DualStackEndpointStateEnabled
		}},
		"useFipsEndpoint": {nil, "true", func(c sdk.Config, _ AWSSettings) bool {
			return ec2.NewFromConfig(c).Options().EndpointOptions.UseFIPSEndpoint == sdk.FIPSEndpointStateEnabled
		}},
		"s3UsePathStyle": {nil, "true", func(c sdk.Config, _ AWSSettings) bool {
			return s3.NewFromConfig(c).Options().UsePathStyle
		}},
		"defaultTags":               {nil, `{"tags":{"team":"photos"}}`, nil},
		"ignoreTags":                {nil, `{"keyPrefixes":["org:"]}`, nil},
		"skipCredentialsValidation": {nil, "true", nil},
		"skipRegionValidation":      {nil, "true", nil},
		"skipRequestingAccountId":   {nil, "true", nil},
	}
}

func TestSupportedKeysReachProviderAndClients(t *testing.T) {
	isolate(t)
	rows := supported(t)
	for name := range awsKeys {
		row, ok := rows[name]
		if !ok {
			t.Errorf("aws:%s has no row", name)
			continue
		}
		keys := map[string]string{"region": region}
		maps.Copy(keys, row.with)
		keys[name] = row.value
		a := settingsOf(t, keys)
		args := reflect.ValueOf(a.provider(map[string]string{"stack": "x"})).Elem()
		field := args.FieldByName(strings.ToUpper(name[:1]) + name[1:])
		if field.IsNil() {
			t.Errorf("aws:%s does not reach the provider", name)
		}
		if (row.proof == nil) != (providerOnlyKeys[name] != "") {
			t.Errorf("aws:%s needs a check, or a reason in providerOnlyKeys", name)
		}
		if row.proof == nil {
			continue
		}
		cfg, err := a.sdk(t.Context())
		if err != nil {
			t.Errorf("aws:%s: %v", name, err)
		} else if !row.proof(cfg, a) {
			t.Errorf("aws:%s does not reach the SDK's clients", name)
		}
		// Without the key the check must fail.
		delete(keys, name)
		if name == "accessKey" || name == "secretKey" || name == "token" || len(row.with) > 0 && row.with[name] != "" {
			continue // the key is one of a pair, and the other alone is an error
		}
		a = settingsOf(t, keys)
		if cfg, err := a.sdk(t.Context()); err == nil && row.proof(cfg, a) {
			t.Errorf("aws:%s: the check passes without the key", name)
		}
	}
}

func TestWrongAWSKeysAreRefusedByName(t *testing.T) {
	for name, value := range map[string]string{
		"assumeRoles": `[{"roleArn":"arn:aws:iam::1:role/r"}]`, "s3UsEast1RegionalEndpoint": "legacy", "assumeRolle": "{}",
		"assumeRole": `{"rolearn2":"x"}`, "assumeRoleWithWebIdentity": `{"roleArn":"arn:aws:iam::1:role/r"}`,
		"maxRetries": "many", "retryMode": "legacy", "insecure": "perhaps", "endpoints": `[{"ec3":"http://x"}]`,
		"allowedAccountIds": "111122223333,", "secretKey": "s3cr3t", "defaultTags": `{"team":"photos"}`,
		"ec2MetadataServiceEndpointMode": "ipv5",
	} {
		_, problems := readAWS([]string{name}, nil, func(k string) string { return map[string]string{name: value}[k] })
		if len(problems) == 0 || !strings.Contains(problems[0], "aws:"+name) && name != "secretKey" ||
			strings.Contains(strings.Join(problems, " "), "s3cr3t") {
			t.Errorf("aws:%s %s: %q", name, value, problems)
		}
	}
}

// withKeys runs the program with the keys of a dev stack and more, of any namespace.
func withKeys(t *testing.T, keys map[string]string) (*pulumitest.Graph, error) {
	t.Helper()
	all := keysOf(nil)
	maps.Copy(all, keys)
	return pulumitest.Run(program(binary(t, "a release"), &fakeRoller{}), "test", t.TempDir(), all)
}

func TestUnknownAWSKeysStopTheProgram(t *testing.T) {
	// As Pulumi's engine does:
	t.Setenv("PULUMI_CONFIG", `{"aws:region":"eu-central-1","aws:asumeRole":"{}","aws-native:region":"x"}`)
	g, err := withKeys(t, nil)
	if err == nil || !strings.Contains(err.Error(), "aws:asumeRole is not a key") || len(g.Resources) > 0 {
		t.Errorf("%v, %d resources", err, len(g.Resources))
	}
}
