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
	awsstore "imagery/app/store/aws"
	"imagery/app/store/local"
)

// extraCommands are the commands beside those of package cli.
var extraCommands = []cli.Command{
	{Name: "selftest", About: aboutSelftest, Setup: selftestCmd},
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
	release, err := observe.Release()
	if err != nil {
		return cli.Deployment{}, err
	}
	if s.Instance == "" {
		s.Instance, _ = os.Hostname() // without a name the history lacks it
	}
	var d cli.Deployment
	var b *backend
	if s.OnAWS() {
		d, b, err = openCloud(ctx, s, region)
	} else {
		d, b, err = openLocal(s)
	}
	if err == nil {
		d.Service, err = newService(s, b, observe.ShortRelease(release), s.Instance)
	}
	return d, err
}

// openCloud opens a deployment on AWS. An empty region stands for that of the environment.
func openCloud(ctx context.Context, s settings.Settings, region string) (cli.Deployment, *backend, error) {
	options := cloudOptions(s, slog.New(slog.DiscardHandler))
	options.Region = region
	c, err := awsstore.Open(ctx, options)
	if err != nil {
		return cli.Deployment{}, nil, fmt.Errorf("open AWS: %w", err)
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
	}, &backend{catalog: c.Catalog(), blobs: c.Blobs(), queue: c.Queue(), deadLetters: c.DeadLetters()}, nil
}

// openLocal opens the deployment on a data folder.
func openLocal(s settings.Settings) (cli.Deployment, *backend, error) {
	if err := local.Check(s.Data); err != nil {
		return cli.Deployment{}, nil, fmt.Errorf("%w (%s)", err, settings.Named("data"))
	}
	if !local.Prepared(s.Data) {
		return cli.Deployment{}, nil, fmt.Errorf("%s is not the data folder of a local service (%s)", s.Data,
			settings.Named("data"))
	}
	l, err := local.Open(local.Options{Dir: s.Data, Visibility: s.Visibility, MaxReceives: s.MaxReceives,
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return cli.Deployment{}, nil, fmt.Errorf("%w (%s)", err, settings.Named("data"))
	}
	return cli.Deployment{Store: l, Close: l.Close,
		Snapshot: func(context.Context, bool) (fsck.Snapshot, error) { return fsck.Local(s.Data) },
		QueueDepth: func(ctx context.Context) (d cli.QueueDepth, err error) {
			d.Visible, d.InFlight, d.DeadLetters, err = l.Depth(ctx)
			return d, err
		},
	}, &backend{catalog: l.Catalog(), blobs: l.Blobs(), queue: l.Queue(), deadLetters: l.DeadLetters()}, nil
}

// cloudOptions returns the options of the AWS store.
func cloudOptions(s settings.Settings, log *slog.Logger) awsstore.Options {
	return awsstore.Options{Table: s.Table, Bucket: s.Bucket, QueueURL: s.QueueURL, DLQURL: s.DLQURL,
		S3PathStyle: s.S3PathStyle, Log: log}
}
