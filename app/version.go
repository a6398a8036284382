package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"runtime"

	"imagery/app/cli"
	"imagery/app/observe"
)

const aboutVersion = `Print the release: the SHA-256 of this binary, as /version answers it

--json adds the Go version and the platform.`

// versionCmd is the command version.
func versionCmd(*flag.FlagSet) func(context.Context, cli.Invocation) error {
	return func(_ context.Context, inv cli.Invocation) error {
		release, err := observe.Release()
		if err != nil {
			return err
		}
		if inv.JSON {
			return json.NewEncoder(inv.Out).Encode(map[string]string{
				"release": release, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
		}
		_, err = fmt.Fprintln(inv.Out, release)
		return err
	}
}
