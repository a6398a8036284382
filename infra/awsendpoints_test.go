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
	known := map[string]bool{}
	for _, names := range endpointNames {
		for _, n := range names {
			known[n] = true
		}
	}
	for _, clients := range []any{rollout.NewClients(sdk.Config{}), preflight.NewClients(sdk.Config{})} {
		fields := reflect.ValueOf(clients)
		for i := range fields.NumField() {
			service := path.Base(fields.Field(i).Elem().Type().Elem().PkgPath())
			if !known[service] {
				t.Errorf("aws:endpoints has no name for %s", service)
			}
		}
	}
}
