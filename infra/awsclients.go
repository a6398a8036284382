package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"golang.org/x/net/http/httpproxy"
)

// sdk returns the configuration of SDK clients with the same credentials, region and endpoints as the provider's. It
// returns an error if the settings do not allow the account of the credentials.
func (a AWSSettings) sdk(ctx context.Context) (sdk.Config, error) {
	options, err := a.options()
	if err != nil {
		return sdk.Config{}, err
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return sdk.Config{}, fmt.Errorf("find credentials: %w", err)
	}
	cfg.ServiceOptions = append(cfg.ServiceOptions, a.serviceOptions)
	// The web identity comes before the other role, as in the provider.
	if r := a.AssumeRoleWithWebIdentity; r.RoleArn != nil {
		cfg.Credentials = sdk.NewCredentialsCache(stscreds.NewWebIdentityRoleProvider(a.sts(cfg), *r.RoleArn,
			identityToken(r), func(o *stscreds.WebIdentityRoleOptions) {
				o.RoleSessionName, o.Duration = sdk.ToString(r.SessionName), duration(r.Duration)
				o.Policy, o.PolicyARNs = r.Policy, policies(r.PolicyArns)
			}))
	}
	if r := a.AssumeRole; r.RoleArn != nil {
		cfg.Credentials = sdk.NewCredentialsCache(stscreds.NewAssumeRoleProvider(a.sts(cfg), *r.RoleArn,
			func(o *stscreds.AssumeRoleOptions) {
				o.RoleSessionName, o.Duration = sdk.ToString(r.SessionName), duration(r.Duration)
				o.Policy, o.PolicyARNs, o.TransitiveTagKeys = r.Policy, policies(r.PolicyArns), r.TransitiveTagKeys
				o.ExternalID, o.SourceIdentity = r.ExternalId, r.SourceIdentity
				for k, v := range r.Tags {
					o.Tags = append(o.Tags, types.Tag{Key: &k, Value: &v})
				}
			}))
	}
	if a.account == "" && len(a.AllowedAccountIds)+len(a.ForbiddenAccountIds) == 0 {
		return cfg, nil
	}
	identity, err := a.sts(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return sdk.Config{}, fmt.Errorf("look up the account of the credentials: %w", err)
	}
	return cfg, a.checkAccount(sdk.ToString(identity.Account))
}

// options translates the settings that the SDK's configuration has. For unset ones the SDK reads the same sources as
// the provider: environment, files, instance metadata.
func (a AWSSettings) options() ([]func(*config.LoadOptions) error, error) {
	var out []func(*config.LoadOptions) error
	add := func(set bool, option config.LoadOptionsFunc) {
		if set {
			out = append(out, option)
		}
	}
	add(a.Region != "", config.WithRegion(a.Region))
	add(a.Profile != "", config.WithSharedConfigProfile(a.Profile))
	add(len(a.SharedConfigFiles) > 0, config.WithSharedConfigFiles(a.SharedConfigFiles))
	add(len(a.SharedCredentialsFiles) > 0, config.WithSharedCredentialsFiles(a.SharedCredentialsFiles))
	add(a.AccessKey != "", config.WithCredentialsProvider(
		credentials.NewStaticCredentialsProvider(a.AccessKey, a.SecretKey, a.Token)))
	add(a.MaxRetries > 0, config.WithRetryMaxAttempts(a.MaxRetries))
	add(a.RetryMode != "", config.WithRetryMode(sdk.RetryMode(a.RetryMode)))
	add(a.TokenBucketRateLimiterCapacity > 0, config.WithRetryer(a.retryer))
	add(a.Ec2MetadataServiceEndpoint != "", config.WithEC2IMDSEndpoint(a.Ec2MetadataServiceEndpoint))
	add(a.Ec2MetadataServiceEndpointMode == "IPv4", config.WithEC2IMDSEndpointMode(imds.EndpointModeStateIPv4))
	add(a.Ec2MetadataServiceEndpointMode == "IPv6", config.WithEC2IMDSEndpointMode(imds.EndpointModeStateIPv6))
	add(sdk.ToBool(a.SkipMetadataApiCheck), config.WithEC2IMDSClientEnableState(imds.ClientDisabled))
	add(sdk.ToBool(a.UseDualstackEndpoint), config.WithUseDualStackEndpoint(sdk.DualStackEndpointStateEnabled))
	add(sdk.ToBool(a.UseFipsEndpoint), config.WithUseFIPSEndpoint(sdk.FIPSEndpointStateEnabled))
	add(a.HttpProxy+a.HttpsProxy+a.NoProxy != "" || sdk.ToBool(a.Insecure), config.WithHTTPClient(a.client()))
	if a.CustomCaBundle != "" {
		bundle, err := os.ReadFile(a.CustomCaBundle)
		if err != nil {
			return nil, fmt.Errorf("read aws:customCaBundle: %w", err)
		}
		add(true, config.WithCustomCABundle(strings.NewReader(string(bundle))))
	}
	return out, nil
}

// retryer returns the SDK's retryer with the configured rate limiter.
func (a AWSSettings) retryer() sdk.Retryer {
	limited := func(o *retry.StandardOptions) {
		o.RateLimiter = ratelimit.NewTokenRateLimit(uint(a.TokenBucketRateLimiterCapacity))
	}
	if a.RetryMode == string(sdk.RetryModeAdaptive) {
		return retry.NewAdaptiveMode(func(o *retry.AdaptiveModeOptions) {
			o.StandardOptions = append(o.StandardOptions, limited)
		})
	}
	return retry.NewStandard(limited)
}

// client returns an HTTP client that uses the configured proxies.
func (a AWSSettings) client() *awshttp.BuildableClient {
	proxies := httpproxy.FromEnvironment()
	proxies.HTTPProxy = cmp.Or(a.HttpProxy, proxies.HTTPProxy)
	// This version of the provider uses aws:httpProxy for HTTPS, too.
	proxies.HTTPSProxy = cmp.Or(a.HttpsProxy, proxies.HTTPSProxy, a.HttpProxy)
	proxies.NoProxy = cmp.Or(a.NoProxy, proxies.NoProxy)
	choose := proxies.ProxyFunc()
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.Proxy = func(r *http.Request) (*url.URL, error) { return choose(r.URL) }
		t.TLSClientConfig.InsecureSkipVerify = sdk.ToBool(a.Insecure)
	})
}

// endpointAliases maps a service to more names that aws:endpoints may use for it, beside the SDK's in lower case.
var endpointAliases = map[string][]string{
	"cloudwatchlogs":         {"logs", "cloudwatchlog"},
	"elasticloadbalancingv2": {"elbv2"},
	"s3":                     {"s3api"},
}

// serviceOptions changes the options of one service's client where the SDK's configuration has no option. It uses
// reflection: every service has an options type of its own, with the same field names.
func (a AWSSettings) serviceOptions(service string, options any) {
	fields := reflect.ValueOf(options).Elem()
	name := strings.ToLower(strings.ReplaceAll(service, " ", ""))
	for _, name := range append(endpointAliases[name], name) {
		if endpoint, ok := a.Endpoints[name]; ok {
			fields.FieldByName("BaseEndpoint").Set(reflect.ValueOf(&endpoint))
		}
	}
	// Some clients set their own number of attempts and ignore the configured one.
	if a.MaxRetries > 0 {
		fields.FieldByName("RetryMaxAttempts").SetInt(int64(a.MaxRetries))
	}
	if f := fields.FieldByName("UsePathStyle"); f.IsValid() && a.S3UsePathStyle != nil {
		f.SetBool(*a.S3UsePathStyle)
	}
}

// sts returns an STS client for the configured STS region.
func (a AWSSettings) sts(cfg sdk.Config) *sts.Client {
	return sts.NewFromConfig(cfg, func(o *sts.Options) { o.Region = cmp.Or(a.StsRegion, o.Region) })
}

// identityToken reads the token of a web identity, for stscreds.
type identityToken aws.ProviderAssumeRoleWithWebIdentity

// GetIdentityToken returns the token.
func (r identityToken) GetIdentityToken() ([]byte, error) {
	if r.WebIdentityTokenFile != nil {
		return os.ReadFile(*r.WebIdentityTokenFile)
	}
	return []byte(*r.WebIdentityToken), nil
}

// duration parses a duration that LoadConfig has checked; 0 means the SDK's default.
func duration(s *string) time.Duration {
	d, _ := time.ParseDuration(sdk.ToString(s))
	return d
}

func policies(arns []string) []types.PolicyDescriptorType {
	var out []types.PolicyDescriptorType
	for _, arn := range arns {
		out = append(out, types.PolicyDescriptorType{Arn: &arn})
	}
	return out
}
