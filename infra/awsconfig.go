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

	// AccountID is the account in which the SDK's clients must be, when it is known; no key of its own.
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

// awsKeys read the aws: keys that are honoured. Errors finish the sentence that begins with the key.
var awsKeys = map[string]func(a *AWSSettings, v string) error{
	"region":                    awsText(func(a *AWSSettings) *string { return &a.Region }),
	"profile":                   awsText(func(a *AWSSettings) *string { return &a.Profile }),
	"accessKey":                 awsText(func(a *AWSSettings) *string { return &a.AccessKey }),
	"secretKey":                 awsText(func(a *AWSSettings) *string { return &a.SecretKey }),
	"token":                     awsText(func(a *AWSSettings) *string { return &a.Token }),
	"sharedConfigFiles":         awsJSON(func(a *AWSSettings) any { return &a.SharedConfigFiles }),
	"sharedCredentialsFiles":    awsJSON(func(a *AWSSettings) any { return &a.SharedCredentialsFiles }),
	"allowedAccountIds":         awsJSON(func(a *AWSSettings) any { return &a.AllowedAccountIds }),
	"forbiddenAccountIds":       awsJSON(func(a *AWSSettings) any { return &a.ForbiddenAccountIds }),
	"ignoreTags":                awsJSON(func(a *AWSSettings) any { return &a.IgnoreTags }),
	"assumeRole":                readAssumeRole,
	"assumeRoleWithWebIdentity": readWebIdentity,
	"defaultTags":               readDefaultTags,
	"endpoints":                 readEndpoints,
	"maxRetries":                awsCount(func(a *AWSSettings) *int { return &a.MaxRetries }),
	"tokenBucketRateLimiterCapacity": awsCount(
		func(a *AWSSettings) *int { return &a.TokenBucketRateLimiterCapacity }),
	"retryMode":                  awsChoice(func(a *AWSSettings) *string { return &a.RetryMode }, "standard", "adaptive"),
	"httpProxy":                  awsText(func(a *AWSSettings) *string { return &a.HTTPProxy }),
	"httpsProxy":                 awsText(func(a *AWSSettings) *string { return &a.HTTPSProxy }),
	"noProxy":                    awsText(func(a *AWSSettings) *string { return &a.NoProxy }),
	"insecure":                   awsBool(func(a *AWSSettings) **bool { return &a.Insecure }),
	"customCaBundle":             awsText(func(a *AWSSettings) *string { return &a.CustomCABundle }),
	"ec2MetadataServiceEndpoint": awsText(func(a *AWSSettings) *string { return &a.EC2MetadataServiceEndpoint }),
	"ec2MetadataServiceEndpointMode": awsChoice(
		func(a *AWSSettings) *string { return &a.EC2MetadataMode }, "IPv4", "IPv6"),
	"stsRegion":                 awsText(func(a *AWSSettings) *string { return &a.STSRegion }),
	"useDualstackEndpoint":      awsBool(func(a *AWSSettings) **bool { return &a.UseDualstackEndpoint }),
	"useFipsEndpoint":           awsBool(func(a *AWSSettings) **bool { return &a.UseFIPSEndpoint }),
	"s3UsePathStyle":            awsBool(func(a *AWSSettings) **bool { return &a.S3UsePathStyle }),
	"skipCredentialsValidation": awsBool(func(a *AWSSettings) **bool { return &a.SkipCredentialsValidation }),
	"skipMetadataApiCheck":      awsBool(func(a *AWSSettings) **bool { return &a.SkipMetadataAPICheck }),
	"skipRegionValidation":      awsBool(func(a *AWSSettings) **bool { return &a.SkipRegionValidation }),
	"skipRequestingAccountId":   awsBool(func(a *AWSSettings) **bool { return &a.SkipRequestingAccountID }),
}

// refusedAWSKeys are aws: keys that exist and are not honoured, with the end of the sentence that says so.
var refusedAWSKeys = map[string]string{
	"s3UsEast1RegionalEndpoint": "is not honoured: S3 is asked at its regional endpoint everywhere",
	"assumeRoles":               "is a key of version 7 of the provider; in this one it is aws:assumeRole, an object",
	"version":                   "is not honoured: go.mod decides the version of the provider",
}

// providerOnlyKeys are honoured keys that change nothing in the SDK's clients, with the reason.
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

// problems are the rules that cross keys.
func (a AWSSettings) problems() []string {
	var bad []string
	if (a.AccessKey == "") != (a.SecretKey == "") || a.Token != "" && a.AccessKey == "" {
		bad = append(bad, "aws:accessKey and aws:secretKey belong together, aws:token to both")
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
		return fmt.Errorf("the credentials are of AWS account %s, the stack is of account %s", id, a.AccountID)
	case len(a.AllowedAccountIds) > 0 && !slices.Contains(a.AllowedAccountIds, id):
		return fmt.Errorf("the credentials are of AWS account %s, aws:allowedAccountIds allows %s", id,
			strings.Join(a.AllowedAccountIds, ", "))
	case slices.Contains(a.ForbiddenAccountIds, id):
		return fmt.Errorf("the credentials are of AWS account %s, which aws:forbiddenAccountIds forbids", id)
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
	// What the configuration encrypts stays encrypted in the state.
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

// endpointField returns the index of a service in the provider's table of endpoints, -1 if it is not there.
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
