package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"time"

	"imagery/app/admin/selftest"
	"imagery/app/cli"
	"imagery/app/deploy/settings"
	"imagery/app/observe"
	"imagery/app/sepia"
)

const (
	// selftestTimeout bounds one attempt; the boot of an instance waits for it.
	selftestTimeout = 60 * time.Second
	// selftestPause is the time between two attempts.
	selftestPause = 5 * time.Second
)

const aboutSelftest = `Process built-in pictures on AWS, as an instance must before it gets traffic

It uses the real bucket, table and queue, but only its own items and objects, and removes them. A wrong result is
final. With --retry a permission error, a timeout or another error of a service is not: permissions that were granted
minutes ago may not be effective yet.`

// selftestCmd is the command selftest. It proves that this machine can do the job on AWS.
func selftestCmd(fs *flag.FlagSet) func(context.Context, cli.Invocation) error {
	retry := fs.Duration("retry", 0, "how `long` to repeat a test that fails for a temporary reason, such as 5m")
	return func(ctx context.Context, inv cli.Invocation) error {
		s := inv.Settings
		if *retry < 0 {
			return &settings.UsageError{Problems: []string{fmt.Sprintf("--retry %s is negative", *retry)}}
		}
		if !s.OnAWS() {
			return &settings.UsageError{Problems: []string{
				fmt.Sprintf("selftest proves access to AWS: it needs a table, a bucket and a queue (%s; %s; %s)",
					settings.Named("table"), settings.Named("bucket"), settings.Named("queue-url"))}}
		}
		log := observe.NewLogger(inv.Err, s.Log, observe.Identity{Stack: s.Stack, Role: "selftest"})
		return selftest.Retry(ctx, *retry, selftestPause, func(ctx context.Context, out io.Writer) error {
			return trySelftest(ctx, s, log, out)
		}, inv.Out)
	}
}

// trySelftest runs the selftest once, with new clients.
func trySelftest(ctx context.Context, s settings.Settings, log *slog.Logger, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, selftestTimeout)
	defer cancel()
	b, err := openCloud(ctx, s, "", log)
	if err != nil {
		return err
	}
	return selftest.Run(ctx, selftest.Dependencies{
		Catalog: b.Catalog(), Blobs: b.Blobs(), Queue: b.Queue(), Filter: sepia.Filter{MaxPixels: s.MaxPixels},
		DeleteItem: b.DeleteItem, DeleteObject: b.DeleteObject, Now: time.Now,
	}, out)
}
