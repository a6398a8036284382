// Command infra is the Pulumi program of Imagery: `pulumi up` builds the binary, creates the AWS resources and rolls
// the release out. stack.go creates the resources, config.go lists the configuration keys.
package main

import (
	"cmp"
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
	if len(os.Args) > 1 && os.Args[1] == "policies" { // run by a person; Pulumi's engine passes no arguments
		if err := printPolicies(os.Stdout, os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		return
	}
	pulumi.Run(program(nil, onAWS{}))
}

// program returns the Pulumi program. A nil builder is chosen by the configuration; tests pass their own.
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

// given lists the keys of a namespace in the configuration that the engine passes in an environment variable. The SDK
// has no function for this.
func given(config, namespace string) []string {
	var all map[string]string
	if json.Unmarshal([]byte(config), &all) != nil { // not started by Pulumi's engine
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

// configOf reads the stack's configuration and logs its warnings.
func configOf(ctx *pulumi.Context) (Config, error) {
	of := func(namespace string) func(string) string {
		return func(key string) string { v, _ := ctx.GetConfig(namespace + ":" + key); return v }
	}
	from := Origin{Project: ctx.Project(), Stack: ctx.Stack(), Given: given(os.Getenv(pulumi.EnvConfig), "imagery")}
	secret := slices.DeleteFunc(slices.Sorted(maps.Keys(awsKeys)), func(name string) bool {
		return !ctx.IsConfigSecret("aws:" + name)
	})
	from.AWS, from.Problems = readAWS(given(os.Getenv(pulumi.EnvConfig), "aws"), secret, of("aws"))
	// As the provider does:
	from.Region = cmp.Or(from.AWS.Region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"))
	cfg, warnings, err := LoadConfig(from, of("imagery"))
	return cfg, cmp.Or(err, logAll(ctx.Log.Warn, warnings...))
}
