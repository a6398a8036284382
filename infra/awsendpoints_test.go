package main

import (
	"path"
	"reflect"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/app/deploy/rollout"
	"imagery/infra/preflight"
)

// providerOnlyKeys maps keys that do not apply to SDK clients to the reason.
var providerOnlyKeys = map[string]string{
	"defaultTags":               "the rollout makes nothing that has tags",
	"ignoreTags":                "it is about the provider's comparison; the preflight always reads project and stack",
	"skipCredentialsValidation": "a check that only the provider makes",
	"skipRegionValidation":      "a check that only the provider makes",
	"skipRequestingAccountId":   "the rollout always compares its account",
}

// aws:endpoints applies to every SDK client of the program.
func TestEndpointsReachEveryClient(t *testing.T) {
	everywhere := func(endpoints map[string]string) sdk.Config {
		return sdk.Config{ServiceOptions: []func(string, any){AWSSettings{Endpoints: endpoints}.serviceOptions}}
	}
	for _, of := range []func(sdk.Config) any{
		func(c sdk.Config) any { return rollout.NewClients(c) }, func(c sdk.Config) any { return preflight.NewClients(c) },
	} {
		fields := reflect.ValueOf(of(sdk.Config{}))
		for i := range fields.NumField() {
			service := path.Base(fields.Field(i).Elem().Type().Elem().PkgPath())
			client := reflect.ValueOf(of(everywhere(map[string]string{service: "http://e.example"}))).Field(i)
			options := client.Elem().MethodByName("Options").Call(nil)[0]
			if got, _ := options.FieldByName("BaseEndpoint").Interface().(*string); sdk.ToString(got) != "http://e.example" {
				t.Errorf("aws:endpoints has no name for %s", service)
			}
		}
	}
}

// Keys that the configuration encrypts are secrets of the provider, too.
func TestSecretSettingsStaySecret(t *testing.T) {
	a := settingsOf(t, map[string]string{"httpProxy": "http://u:p@h",
		"assumeRole": `{"roleArn":"arn:aws:iam::1:role/r","externalId":"x"}`})
	secret := func(in pulumi.Input) bool {
		out, ok := in.(pulumi.Output)
		return ok && pulumi.IsSecret(out)
	}
	plain := a.provider(nil)
	a.secret = []string{"assumeRole", "httpProxy", "retryMode"}
	p := a.provider(nil)
	if secret(plain.AssumeRole) || !secret(p.AssumeRole) || !secret(p.HttpProxy) || p.RetryMode != nil {
		t.Errorf("%v, %v", p.AssumeRole, p.HttpProxy)
	}
}
