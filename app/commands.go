package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"time"

	"imagery/app/admin/fsck"
	"imagery/app/admin/selftest"
	"imagery/app/cli"
	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
	"imagery/app/observe"
	"imagery/app/sepia"
	"imagery/app/store/local"
)

// extraCommands are the commands beside those of package cli.
var extraCommands = []cli.Command{
	{Name: "selftest", About: aboutSelftest, NoJSON: true, Setup: selftestCmd},
	{Name: "version", About: aboutVersion, NoSettings: true, Setup: versionCmd},
}

// newConsole returns the console of the commands. In is nil unless a person can answer.
func newConsole(stdout, stderr io.Writer) cli.Console {
	c := cli.Console{Out: stdout, Err: stderr, OutTerminal: observe.IsTerminal(stdout),
		ErrTerminal: observe.IsTerminal(stderr)}
	if observe.IsTerminal(os.Stdin) {
		c.In = os.Stdin
	}
	return c
}

// openDeployment opens the deployment that the settings select. It creates nothing: a missing data folder is an error.
func openDeployment(ctx context.Context, s settings.Settings, region string) (cli.Deployment, error) {
	open := openLocalDeployment
	if s.OnAWS() {
		open = openCloudDeployment
	}
	d, b, err := open(ctx, s, region)
	if err == nil {
		d.Service, err = newService(s, b)
	}
	return d, err
}

func openCloudDeployment(ctx context.Context, s settings.Settings, region string) (
	d cli.Deployment, _ stores, _ error) {
	c, err := openCloud(ctx, s, region, slog.New(slog.DiscardHandler))
	if err != nil {
		return d, nil, err
	}
	tables, objects := c.Clients()
	return cli.Deployment{Store: c, Close: func() error { return nil },
		Snapshot: func(ctx context.Context, hashes bool) (fsck.Snapshot, error) {
			return fsck.AWS(ctx, tables, objects, s.Table, s.Bucket, hashes)
		},
		QueueDepth: func(ctx context.Context) (d cli.QueueDepth, err error) {
			d.Visible, d.InFlight, d.Delayed, d.DeadLetters, err = c.Depth(ctx)
			return d, err
		},
		Record: func(ctx context.Context) (string, error) { return c.ReleaseRecord(ctx, record.AttributeDocument) },
	}, c, nil
}

func openLocalDeployment(_ context.Context, s settings.Settings, _ string) (
	d cli.Deployment, _ stores, _ error) {
	if err := local.Check(s.Data); err != nil {
		return d, nil, dataError(err)
	}
	if !local.Prepared(s.Data) {
		return d, nil, dataError(fmt.Errorf("%s is not the data folder of a local service", s.Data))
	}
	s.QueueChaos = 0 // the roles alone inject faults
	l, err := openFolder(s, slog.New(slog.DiscardHandler))
	if err != nil {
		return d, nil, err
	}
	return cli.Deployment{Store: l, Close: l.Close,
		Snapshot: func(context.Context, bool) (fsck.Snapshot, error) { return fsck.Local(s.Data) },
		QueueDepth: func(ctx context.Context) (d cli.QueueDepth, err error) {
			d.Visible, d.InFlight, d.DeadLetters, err = l.Depth(ctx)
			return d, err
		},
	}, l, nil
}

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
