// Command infra is the Pulumi program of Imagery: `pulumi up` builds the binary and everything that it runs on.
//
// Read on in stack.go, the whole stack on one page; config.go holds every choice that it can make.
package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/infra/release"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "policies" { // by hand; an engine gives no arguments
		if err := printPolicies(os.Stdout, os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		return
	}
	pulumi.Run(program(nil, onAWS{}))
}

// program is the whole run: read and check, build, roll out. A nil builder takes what the configuration says; tests
// give their own.
func program(builder release.Builder, roller Roller) pulumi.RunFunc {
	return func(ctx *pulumi.Context) error {
		cfg, err := configOf(ctx)
		if err != nil {
			return err
		}
		if builder == nil && cfg.Artifact != "" {
			builder = release.Prebuilt{Path: cfg.Artifact}
		} else if builder == nil {
			builder = release.GoBuild{}
		}
		stack, err := Build(ctx, cfg, builder, roller)
		if err != nil {
			return err
		}
		stack.rollOut(ctx, roller)
		return stack.export(ctx)
	}
}

// given lists the keys of a namespace in the configuration as the engine hands it over; the SDK tells only the value of
// a key that one can name.
func given(config, namespace string) []string {
	var all map[string]string
	if json.Unmarshal([]byte(config), &all) != nil { // not run by an engine
		return nil
	}
	var names []string
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if name, ours := strings.CutPrefix(k, namespace+":"); ours {
			names = append(names, name)
		}
	}
	return names
}

// configOf reads the stack's configuration and shows its warnings.
func configOf(ctx *pulumi.Context) (Config, error) {
	of := func(namespace string) func(string) string {
		return func(key string) string { v, _ := ctx.GetConfig(namespace + ":" + key); return v }
	}
	from := Origin{Project: ctx.Project(), Stack: ctx.Stack(), Given: given(os.Getenv(pulumi.EnvConfig), "imagery")}
	var secret []string
	for _, name := range slices.Sorted(maps.Keys(awsKeys)) {
		if ctx.IsConfigSecret("aws:" + name) {
			secret = append(secret, name)
		}
	}
	from.AWS, from.Problems = readAWS(given(os.Getenv(pulumi.EnvConfig), "aws"), secret, of("aws"))
	from.Region = from.AWS.Region
	for _, variable := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} { // as the provider itself would
		if from.Region == "" {
			from.Region = os.Getenv(variable)
		}
	}
	cfg, warnings, err := LoadConfig(from, of("imagery"))
	for _, w := range warnings {
		if err := ctx.Log.Warn(w, nil); err != nil {
			return Config{}, err
		}
	}
	return cfg, err
}
