package main

import (
	"fmt"
	"path"
	"reflect"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"

	"imagery/app/deploy/rollout"
	"imagery/infra/preflight"
)

func TestKeysForEmulatorsAreSupported(t *testing.T) {
	g, err := withKeys(t, map[string]string{"aws:s3UsePathStyle": "true", "aws:skipCredentialsValidation": "true",
		"aws:skipMetadataApiCheck": "true"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range g.Resources {
		if r.Type == "pulumi:providers:aws" && (fmt.Sprint(r.Get("s3UsePathStyle")) != "true" ||
			fmt.Sprint(r.Get("skipCredentialsValidation")) != "true") {
			t.Errorf("the provider has %v", r.Inputs)
		}
	}
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
