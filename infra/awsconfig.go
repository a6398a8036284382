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
// made from it, so that they work in the same account with the same credentials. An exported field has the name of its
// key and of its field in aws.ProviderArgs.
type AWSSettings struct {
	Region, Profile, AccessKey, SecretKey, Token               string
	SharedConfigFiles, SharedCredentialsFiles                  []string
	AssumeRole                                                 aws.ProviderAssumeRole
	AssumeRoleWithWebIdentity                                  aws.ProviderAssumeRoleWithWebIdentity
	AllowedAccountIds, ForbiddenAccountIds                     []string
	DefaultTags                                                aws.ProviderDefaultTags
	IgnoreTags                                                 aws.ProviderIgnoreTags
	Endpoints                                                  map[string]string // by the provider's name of a service
	MaxRetries, TokenBucketRateLimiterCapacity                 int
	RetryMode                                                  string
	HttpProxy, HttpsProxy, NoProxy                             string
	Insecure                                                   *bool
	CustomCaBundle                                             string
	Ec2MetadataServiceEndpoint, Ec2MetadataServiceEndpointMode string
	StsRegion                                                  string
	UseDualstackEndpoint, UseFipsEndpoint                      *bool
	S3UsePathStyle                                             *bool
	SkipCredentialsValidation, SkipMetadataApiCheck            *bool
	SkipRegionValidation, SkipRequestingAccountId              *bool

	account string   // the only account that SDK clients may use; empty: any
	secret  []string // keys that the stack's configuration encrypts
}

// awsKeys maps each supported aws: key to the index of its field in AWSSettings.
var awsKeys = func() map[string]int {
	keys := map[string]int{}
	for i, f := range reflect.VisibleFields(reflect.TypeFor[AWSSettings]()) {
		if f.IsExported() {
			keys[strings.ToLower(f.Name[:1])+f.Name[1:]] = i
		}
	}
	return keys
}()

// refusedAWSKeys maps keys of the provider that are not supported to the reason, which follows the key in an error.
var refusedAWSKeys = map[string]string{
	"s3UsEast1RegionalEndpoint": "is not supported: S3 is always called at its regional endpoint",
	"assumeRoles":               "belongs to version 7 of the provider; use aws:assumeRole, an object",
	"version":                   "is not supported: go.mod sets the version of the provider",
}

// readAWS reads the aws: keys through get ("" is unset). Names lists all that are set, known or not; secret those that
// are encrypted. The problems name their keys.
func readAWS(names, secret []string, get func(key string) string) (a AWSSettings, problems []string) {
	a.secret = secret
	for _, name := range slices.Sorted(maps.Keys(awsKeys)) {
		if v := strings.TrimSpace(get(name)); v != "" {
			field := reflect.ValueOf(&a).Elem().Field(awsKeys[name]).Addr().Interface()
			if err := readAWSKey(name, field, v); err != nil {
				problems = append(problems, fmt.Sprintf("aws:%s %v", name, err)) // without the value: it may be secret
			}
		}
	}
	for name := range refusedAWSKeys {
		if get(name) != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if why := refusedAWSKeys[name]; why != "" {
			problems = append(problems, fmt.Sprintf("aws:%s %s", name, why))
		} else if _, ok := awsKeys[name]; !ok {
			problems = append(problems, fmt.Sprintf("aws:%s is not a key of the AWS provider", name))
		}
	}
	if (a.AccessKey == "") != (a.SecretKey == "") || a.Token != "" && a.AccessKey == "" {
		problems = append(problems, "aws:accessKey and aws:secretKey must be set together, aws:token only with both")
	}
	if len(a.AllowedAccountIds) > 0 && len(a.ForbiddenAccountIds) > 0 {
		problems = append(problems, "aws:allowedAccountIds and aws:forbiddenAccountIds exclude each other")
	}
	return a, problems
}

// checkAccount returns an error unless the settings allow an account.
func (a AWSSettings) checkAccount(id string) error {
	switch {
	case a.account != "" && a.account != id:
		return fmt.Errorf("the credentials belong to AWS account %s, the stack to account %s", id, a.account)
	case len(a.AllowedAccountIds) > 0 && !slices.Contains(a.AllowedAccountIds, id):
		return fmt.Errorf("the credentials belong to AWS account %s, aws:allowedAccountIds allows %s", id,
			strings.Join(a.AllowedAccountIds, ", "))
	case slices.Contains(a.ForbiddenAccountIds, id):
		return fmt.Errorf("the credentials belong to AWS account %s, which aws:forbiddenAccountIds forbids", id)
	}
	return nil
}

// provider returns the arguments of the explicit provider. Keys that the configuration encrypts stay encrypted in
// Pulumi's state.
func (a AWSSettings) provider(tags map[string]string) *aws.ProviderArgs {
	a.DefaultTags.Tags = tags
	args := inputs[aws.ProviderArgs](a)
	if len(a.Endpoints) > 0 {
		args.Endpoints = endpointInputs(a.Endpoints)
	}
	for _, key := range a.secret {
		field := reflect.ValueOf(&args).Elem().FieldByName(strings.ToUpper(key[:1]) + key[1:])
		if !field.IsNil() {
			field.Set(reflect.ValueOf(pulumi.ToSecret(field.Interface())))
		}
	}
	return &args
}

// inputs returns arguments with the values that are set in the fields of the same names.
func inputs[Args any](from any) (args Args) {
	for field, value := range reflect.ValueOf(from).Fields() {
		to := reflect.ValueOf(&args).Elem().FieldByName(field.Name)
		empty := value.Kind() == reflect.Slice && value.Len() == 0 || value.Kind() == reflect.Map && value.Len() == 0
		if !to.IsValid() || value.IsZero() || empty || field.Name == "Endpoints" {
			continue
		}
		var in any
		switch v := value.Interface().(type) {
		case aws.ProviderAssumeRole:
			in = inputs[aws.ProviderAssumeRoleArgs](v)
		case aws.ProviderAssumeRoleWithWebIdentity:
			in = inputs[aws.ProviderAssumeRoleWithWebIdentityArgs](v)
		case aws.ProviderDefaultTags:
			in = inputs[aws.ProviderDefaultTagsArgs](v)
		case aws.ProviderIgnoreTags:
			in = inputs[aws.ProviderIgnoreTagsArgs](v)
		default:
			in = pulumi.ToOutput(reflect.Indirect(value).Interface())
		}
		to.Set(reflect.ValueOf(in))
	}
	return args
}

func endpointInputs(endpoints map[string]string) aws.ProviderEndpointArray {
	var args aws.ProviderEndpointArgs
	for name, url := range endpoints {
		reflect.ValueOf(&args).Elem().Field(endpointField(name)).Set(reflect.ValueOf(pulumi.String(url)))
	}
	return aws.ProviderEndpointArray{args}
}

// endpointField returns the index of a service's field in aws.ProviderEndpointArgs, or -1.
func endpointField(name string) int {
	fields := reflect.VisibleFields(reflect.TypeFor[aws.ProviderEndpointArgs]())
	return slices.IndexFunc(fields, func(f reflect.StructField) bool { return f.Tag.Get("pulumi") == name })
}
