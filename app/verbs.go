package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"imagery/app/cloud"
	"imagery/app/observe"
	"imagery/app/ops/selftest"
	"imagery/app/sepia"
	"imagery/app/settings"
)

// verbs are what an operator can ask for instead of a role. They take the flags and variables of the roles.
var verbs = map[string]func(ctx context.Context, s settings.Settings, stdout, stderr io.Writer) error{
	"selftest": runSelftest,
}

// runVerb runs one verb to its exit code.
func runVerb(verb string, args []string, stdout, stderr io.Writer) int {
	run, ok := verbs[verb]
	if !ok || !slices.Contains(settings.Verbs, verb) {
		return exitCode(&settings.UsageError{Problems: []string{fmt.Sprintf("unknown verb %q (see -h)", verb)}}, stderr)
	}
	s, err := settings.Parse(args, os.Getenv, stdout)
	if errors.Is(err, settings.ErrHelp) {
		return exitClean
	}
	if err == nil {
		ctx, _ := stopSignals()
		err = run(ctx, s, stdout, stderr)
	}
	return exitCode(err, stderr)
}

// selftestBound is how long a selftest may take; a boot waits for it.
const selftestBound = 100 * time.Second

// runSelftest proves that this machine can do the job on AWS.
func runSelftest(ctx context.Context, s settings.Settings, stdout, stderr io.Writer) error {
	if !s.OnAWS() {
		return &settings.UsageError{Problems: []string{fmt.Sprintf("selftest proves access to AWS: it needs a table, a bucket and a queue (%s; %s; %s)",
			settings.Named("table"), settings.Named("bucket"), settings.Named("queue-url"))}}
	}
	ctx, cancel := context.WithTimeout(ctx, selftestBound)
	defer cancel()
	b, err := cloud.Open(ctx, cloud.Options{Table: s.Table, Bucket: s.Bucket, QueueURL: s.QueueURL, DLQURL: s.DLQURL,
		S3PathStyle: s.S3PathStyle, Log: observe.NewLogger(stderr, observe.Identity{Stack: s.Stack, Role: "selftest"})})
	if err != nil {
		return fmt.Errorf("open AWS: %w", err)
	}
	return selftest.Run(ctx, selftest.Backend{Catalog: b.Catalog(), Blobs: b.Blobs(), Queue: b.Queue(),
		Filter: sepia.Filter{MaxPixels: s.MaxPixels}, DeleteItem: b.DeleteItem, DeleteObject: b.DeleteObject, Now: time.Now}, stdout)
}
