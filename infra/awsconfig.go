package main

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// AWSSettings holds the aws: keys of a stack. The provider and the SDK clients of the preflight and the rollout are all
// made from it, so that they work in the same account with the same credentials. The names are those of
// aws.ProviderArgs.
type AWSSettings struct {
	Region, Profile, AccessKey, SecretKey, Token string
	SharedConfigFiles, SharedCredentialsFiles    []string
	AssumeRole                                   *assumeRole
	AssumeRoleWithWebIdentity                    *webIdentityRole
	AllowedAccountIds, ForbiddenAccountIds       []string
	DefaultTags                                  map[string]string
	IgnoreTags                                   ignoredTags
	Endpoints                                    map[string]string // by the provider's name of a service

	MaxRetries, TokenBucketRateLimiterCapacity      int
	RetryMode                                       string
	HTTPProxy, HTTPSProxy, NoProxy                  string
	Insecure                                        *bool
	CustomCABundle                                  string
	EC2MetadataServiceEndpoint, EC2MetadataMode     string
	STSRegion                                       string
	UseDualstackEndpoint, UseFIPSEndpoint           *bool
	S3UsePathStyle                                  *bool
	SkipCredentialsValidation, SkipMetadataAPICheck *bool
	SkipRegionValidation, SkipRequestingAccountID   *bool

	// AccountID is the only account that SDK clients may use; empty: any. It is not read from a key.
	AccountID string
	secret    []string // names of the keys that the stack's configuration encrypts
}

// assumeRole holds aws:assumeRole.
type assumeRole struct {
	RoleArn, SessionName, ExternalId, Duration, Policy, SourceIdentity string
	PolicyArns, TransitiveTagKeys                                      []string
	Tags                                                               map[string]string
}

// webIdentityRole holds aws:assumeRoleWithWebIdentity.
type webIdentityRole struct {
	RoleArn, SessionName, Duration, Policy, WebIdentityToken, WebIdentityTokenFile string
	PolicyArns                                                                     []string
}

// ignoredTags holds aws:ignoreTags.
type ignoredTags struct{ Keys, KeyPrefixes []string }

// awsKeys maps each supported aws: key to the function that reads it. The caller puts the key's name before the error.
var awsKeys = map[string]func(a *AWSSettings, v string) error{
	"region":                    text(func(a *AWSSettings) *string { return &a.Region }),
	"profile":                   text(func(a *AWSSettings) *string { return &a.Profile }),
	"accessKey":                 text(func(a *AWSSettings) *string { return &a.AccessKey }),
	"secretKey":                 text(func(a *AWSSettings) *string { return &a.SecretKey }),
	"token":                     text(func(a *AWSSettings) *string { return &a.Token }),
	"sharedConfigFiles":         awsJSON(func(a *AWSSettings) any { return &a.SharedConfigFiles }),
	"sharedCredentialsFiles":    awsJSON(func(a *AWSSettings) any { return &a.SharedCredentialsFiles }),
	"allowedAccountIds":         awsJSON(func(a *AWSSettings) any { return &a.AllowedAccountIds }),
	"forbiddenAccountIds":       awsJSON(func(a *AWSSettings) any { return &a.ForbiddenAccountIds }),
	"ignoreTags":                awsJSON(func(a *AWSSettings) any { return &a.IgnoreTags }),
	"assumeRole":                readAssumeRole,
	"assumeRoleWithWebIdentity": readWebIdentity,
	"defaultTags":               readDefaultTags,
	"endpoints":                 readEndpoints,
	"maxRetries":                integer(func(a *AWSSettings) *int { return &a.MaxRetries }, 1, 1_000_000),
	"tokenBucketRateLimiterCapacity": integer(
		func(a *AWSSettings) *int { return &a.TokenBucketRateLimiterCapacity }, 1, 1_000_000),
	"retryMode":                  choice(func(a *AWSSettings) *string { return &a.RetryMode }, "standard", "adaptive"),
	"httpProxy":                  text(func(a *AWSSettings) *string { return &a.HTTPProxy }),
	"httpsProxy":                 text(func(a *AWSSettings) *string { return &a.HTTPSProxy }),
	"noProxy":                    text(func(a *AWSSettings) *string { return &a.NoProxy }),
	"insecure":                   awsBool(func(a *AWSSettings) **bool { return &a.Insecure }),
	"customCaBundle":             text(func(a *AWSSettings) *string { return &a.CustomCABundle }),
	"ec2MetadataServiceEndpoint": text(func(a *AWSSettings) *string { return &a.EC2MetadataServiceEndpoint }),
	"ec2MetadataServiceEndpointMode": choice(
		func(a *AWSSettings) *string { return &a.EC2MetadataMode }, "IPv4", "IPv6"),
	"stsRegion":                 text(func(a *AWSSettings) *string { return &a.STSRegion }),
	"useDualstackEndpoint":      awsBool(func(a *AWSSettings) **bool { return &a.UseDualstackEndpoint }),
	"useFipsEndpoint":           awsBool(func(a *AWSSettings) **bool { return &a.UseFIPSEndpoint }),
	"s3UsePathStyle":            awsBool(func(a *AWSSettings) **bool { return &a.S3UsePathStyle }),
	"skipCredentialsValidation": awsBool(func(a *AWSSettings) **bool { return &a.SkipCredentialsValidation }),
	"skipMetadataApiCheck":      awsBool(func(a *AWSSettings) **bool { return &a.SkipMetadataAPICheck }),
	"skipRegionValidation":      awsBool(func(a *AWSSettings) **bool { return &a.SkipRegionValidation }),
	"skipRequestingAccountId":   awsBool(func(a *AWSSettings) **bool { return &a.SkipRequestingAccountID }),
}

// refusedAWSKeys maps keys of the provider that are not supported to the reason, which follows the key in an error.
var refusedAWSKeys = map[string]string{
	"s3UsEast1RegionalEndpoint": "is not supported: S3 is always called at its regional endpoint",
	"assumeRoles":               "belongs to version 7 of the provider; use aws:assumeRole, an object",
	"version":                   "is not supported: go.mod sets the version of the provider",
}

// providerOnlyKeys maps keys that do not apply to SDK clients to the reason.
var providerOnlyKeys = map[string]string{
	"defaultTags":               "the rollout makes nothing that has tags",
	"ignoreTags":                "it is about the provider's comparison; the preflight always reads project and stack",
	"skipCredentialsValidation": "a check that only the provider makes",
	"skipRegionValidation":      "a check that only the provider makes",
	"skipRequestingAccountId":   "the rollout always compares its account",
}

// readAWS reads the aws: keys through get ("" is unset). Names lists all that are set, known or not; secret those that
// are encrypted. The problems name their keys.
func readAWS(names, secret []string, get func(key string) string) (a AWSSettings, problems []string) {
	a.secret = secret
	for _, name := range slices.Sorted(maps.Keys(awsKeys)) {
		if v := strings.TrimSpace(get(name)); v != "" {
			if err := awsKeys[name](&a, v); err != nil {
				problems = append(problems, fmt.Sprintf("aws:%s %v", name, err)) // without the value: it may be secret
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(refusedAWSKeys)) {
		if get(name) != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if why := refusedAWSKeys[name]; why != "" {
			problems = append(problems, fmt.Sprintf("aws:%s %s", name, why))
		} else if awsKeys[name] == nil {
			problems = append(problems, fmt.Sprintf("aws:%s is not a key of the AWS provider", name))
		}
	}
	return a, append(problems, a.problems()...)
}

// problems checks the rules between keys.
func (a AWSSettings) problems() []string {
	var bad []string
	if (a.AccessKey == "") != (a.SecretKey == "") || a.Token != "" && a.AccessKey == "" {
		bad = append(bad, "aws:accessKey and aws:secretKey must be set together, aws:token only with both")
	}
	if len(a.AllowedAccountIds) > 0 && len(a.ForbiddenAccountIds) > 0 {
		bad = append(bad, "aws:allowedAccountIds and aws:forbiddenAccountIds exclude each other")
	}
	return bad
}

// checkAccount returns an error unless the settings allow an account.
func (a AWSSettings) checkAccount(id string) error {
	switch {
	case a.AccountID != "" && a.AccountID != id:
		return fmt.Errorf("the credentials belong to AWS account %s, the stack to account %s", id, a.AccountID)
	case len(a.AllowedAccountIds) > 0 && !slices.Contains(a.AllowedAccountIds, id):
		return fmt.Errorf("the credentials belong to AWS account %s, aws:allowedAccountIds allows %s", id,
			strings.Join(a.AllowedAccountIds, ", "))
	case slices.Contains(a.ForbiddenAccountIds, id):
		return fmt.Errorf("the credentials belong to AWS account %s, which aws:forbiddenAccountIds forbids", id)
	}
	return nil
}

// provider returns the arguments of the explicit provider.
func (a AWSSettings) provider(tags map[string]string) *aws.ProviderArgs {
	p := &aws.ProviderArgs{
		Region: optional(a.Region), Profile: optional(a.Profile), AccessKey: optional(a.AccessKey),
		SecretKey: optional(a.SecretKey), Token: optional(a.Token),
		SharedConfigFiles: texts(a.SharedConfigFiles), SharedCredentialsFiles: texts(a.SharedCredentialsFiles),
		AllowedAccountIds: texts(a.AllowedAccountIds), ForbiddenAccountIds: texts(a.ForbiddenAccountIds),
		DefaultTags: aws.ProviderDefaultTagsArgs{Tags: pulumi.ToStringMap(tags)},
		MaxRetries:  number(a.MaxRetries), TokenBucketRateLimiterCapacity: number(a.TokenBucketRateLimiterCapacity),
		RetryMode: optional(a.RetryMode), HttpProxy: optional(a.HTTPProxy), HttpsProxy: optional(a.HTTPSProxy),
		NoProxy: optional(a.NoProxy), Insecure: truth(a.Insecure), CustomCaBundle: optional(a.CustomCABundle),
		Ec2MetadataServiceEndpoint:     optional(a.EC2MetadataServiceEndpoint),
		Ec2MetadataServiceEndpointMode: optional(a.EC2MetadataMode), StsRegion: optional(a.STSRegion),
		UseDualstackEndpoint: truth(a.UseDualstackEndpoint), UseFipsEndpoint: truth(a.UseFIPSEndpoint),
		S3UsePathStyle: truth(a.S3UsePathStyle), SkipCredentialsValidation: truth(a.SkipCredentialsValidation),
		SkipMetadataApiCheck: truth(a.SkipMetadataAPICheck), SkipRegionValidation: truth(a.SkipRegionValidation),
		SkipRequestingAccountId: truth(a.SkipRequestingAccountID),
	}
	if r := a.AssumeRole; r != nil {
		p.AssumeRole = aws.ProviderAssumeRoleArgs{
			RoleArn: optional(r.RoleArn), SessionName: optional(r.SessionName), ExternalId: optional(r.ExternalId),
			Duration: optional(r.Duration), Policy: optional(r.Policy), PolicyArns: texts(r.PolicyArns), Tags: textMap(r.Tags),
			TransitiveTagKeys: texts(r.TransitiveTagKeys), SourceIdentity: optional(r.SourceIdentity),
		}
	}
	if r := a.AssumeRoleWithWebIdentity; r != nil {
		p.AssumeRoleWithWebIdentity = aws.ProviderAssumeRoleWithWebIdentityArgs{
			RoleArn: optional(r.RoleArn), SessionName: optional(r.SessionName), Duration: optional(r.Duration),
			Policy: optional(r.Policy), PolicyArns: texts(r.PolicyArns), WebIdentityToken: optional(r.WebIdentityToken),
			WebIdentityTokenFile: optional(r.WebIdentityTokenFile),
		}
	}
	if i := a.IgnoreTags; len(i.Keys)+len(i.KeyPrefixes) > 0 {
		p.IgnoreTags = aws.ProviderIgnoreTagsArgs{Keys: texts(i.Keys), KeyPrefixes: texts(i.KeyPrefixes)}
	}
	if len(a.Endpoints) > 0 {
		var e aws.ProviderEndpointArgs
		for name, url := range a.Endpoints {
			reflect.ValueOf(&e).Elem().Field(endpointField(name)).Set(reflect.ValueOf(pulumi.String(url)))
		}
		p.Endpoints = aws.ProviderEndpointArray{e}
	}
	// Keys that the configuration encrypts stay encrypted in Pulumi's state.
	fields := reflect.ValueOf(p).Elem()
	for i := range fields.NumField() {
		name := fields.Type().Field(i).Name
		name = strings.ToLower(name[:1]) + name[1:]
		if f := fields.Field(i); slices.Contains(a.secret, name) && !f.IsNil() {
			f.Set(reflect.ValueOf(pulumi.ToSecret(f.Interface())))
		}
	}
	return p
}

// endpointField returns the index of a service's field in aws.ProviderEndpointArgs, or -1.
func endpointField(name string) int {
	t := reflect.TypeFor[aws.ProviderEndpointArgs]()
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("pulumi") == name {
			return i
		}
	}
	return -1
}

func texts(items []string) pulumi.StringArrayInput {
	if len(items) == 0 {
		return nil
	}
	return pulumi.ToStringArray(items)
}

func textMap(items map[string]string) pulumi.StringMapInput {
	if len(items) == 0 {
		return nil
	}
	return pulumi.ToStringMap(items)
}

func number(n int) pulumi.IntPtrInput {
	if n == 0 {
		return nil
	}
	return pulumi.Int(n)
}

func truth(b *bool) pulumi.BoolPtrInput {
	if b == nil {
		return nil
	}
	return pulumi.Bool(*b)
}
