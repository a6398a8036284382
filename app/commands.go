package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"imagery/app/admin/fsck"
	"imagery/app/cli"
	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
	"imagery/app/observe"
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
