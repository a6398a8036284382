package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"time"

	"imagery/app/admin/fsck"
	"imagery/app/admin/selftest"
	"imagery/app/cli"
	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
	"imagery/app/observe"
	"imagery/app/sepia"
	awsstore "imagery/app/store/aws"
	"imagery/app/store/local"
)

// verbs are what an operator can ask for instead of a role. They take the flags and variables of the roles, too.
var verbs = slices.Concat(cli.Verbs, []cli.Verb{{Name: "selftest", About: aboutSelftest, Setup: runSelftest}})

// runVerb runs the verb that args begin with to its exit code.
func runVerb(args []string, stdout, stderr io.Writer) int {
	if args[0] == "rollout" { // its -table and -region name one stack's resources, and are not those of the roles
		ctx, kill := stopSignals()
		go func() {
			<-kill
			os.Exit(exitFailure)
		}()
		return exitCode(cli.Rollout(ctx, args[1:], stdout, stderr), stderr)
	}
	found, rest, err := cli.Find(verbs, args)
	if err != nil {
		return exitCode(err, stderr)
	}
	var run func(context.Context, cli.Call) error
	s, rest, err := settings.ParseVerb(rest, os.Getenv, func(fs *flag.FlagSet) { run = found[0].Setup(fs) })
	if errors.Is(err, settings.ErrHelp) {
		cli.Usage(stdout, found)
		return exitClean
	}
	if err == nil {
		ctx, kill := stopSignals()
		go func() {
			<-kill
			os.Exit(exitFailure)
		}()
		err = run(ctx, cli.Call{Args: rest, Settings: s,
			Console: cli.Console{Out: stdout, Err: stderr, Live: observe.IsTerminal(stderr), Screen: observe.IsTerminal(stdout), In: answers()},
			Open:    openForOperator})
		err = cli.Clear(err)
	}
	return exitCode(err, stderr)
}

// answers is where somebody can answer a verb; nil where nobody can.
func answers() io.Reader {
	if observe.IsTerminal(os.Stdin) {
		return os.Stdin
	}
	return nil
}

// openForOperator opens what the settings select, and makes nothing: a data folder that is not there was mistyped.
func openForOperator(ctx context.Context, s settings.Settings, region string) (cli.Backend, error) {
	release, err := observe.Release()
	if err != nil {
		return cli.Backend{}, err
	}
	if s.Instance == "" {
		s.Instance, _ = os.Hostname() // an empty name only makes a history poorer
	}
	var o cli.Backend
	var b *backend
	if s.OnAWS() {
		o, b, err = operateCloud(ctx, s, region)
	} else {
		o, b, err = operateLocal(s)
	}
	if err == nil {
		o.Service, err = newService(s, b, observe.ShortRelease(release), s.Instance)
	}
	return o, err
}

func operateCloud(ctx context.Context, s settings.Settings, region string) (cli.Backend, *backend, error) {
	options := cloudOptions(s, slog.New(slog.DiscardHandler))
	options.Region = region
	c, err := awsstore.Open(ctx, options)
	if err != nil {
		return cli.Backend{}, nil, fmt.Errorf("open AWS: %w", err)
	}
	tables, objects := c.Clients()
	return cli.Backend{Store: c, Close: func() error { return nil },
		Snapshot: func(ctx context.Context, hashes bool) (fsck.Snapshot, error) {
			return fsck.AWS(ctx, tables, objects, s.Table, s.Bucket, hashes)
		},
		Depth: func(ctx context.Context) (d cli.Depth, err error) {
			d.Visible, d.InFlight, d.Delayed, d.DeadLetters, err = c.Depth(ctx)
			return d, err
		},
		Record: func(ctx context.Context) (string, error) { return c.ReleaseRecord(ctx, record.AttributeDocument) },
	}, &backend{catalog: c.Catalog(), blobs: c.Blobs(), queue: c.Queue(), deadLetters: c.DeadLetters()}, nil
}

func operateLocal(s settings.Settings) (cli.Backend, *backend, error) {
	if err := local.Check(s.Data); err != nil {
		return cli.Backend{}, nil, fmt.Errorf("%w (%s)", err, settings.Named("data"))
	}
	if !local.Prepared(s.Data) {
		return cli.Backend{}, nil, fmt.Errorf("%s is no data folder of a local service (%s)", s.Data, settings.Named("data"))
	}
	// What it would log, that it polls because the folder's path is too long for sockets, is nothing to a verb.
	l, err := local.Open(local.Options{Dir: s.Data, Visibility: s.Visibility, MaxReceives: s.MaxReceives, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return cli.Backend{}, nil, fmt.Errorf("%w (%s)", err, settings.Named("data"))
	}
	return cli.Backend{Store: l, Close: l.Close,
		Snapshot: func(context.Context, bool) (fsck.Snapshot, error) { return fsck.Local(s.Data) },
		Depth: func(ctx context.Context) (d cli.Depth, err error) {
			d.Visible, d.InFlight, d.DeadLetters, err = l.Depth(ctx)
			return d, err
		},
	}, &backend{catalog: l.Catalog(), blobs: l.Blobs(), queue: l.Queue(), deadLetters: l.DeadLetters()}, nil
}

func cloudOptions(s settings.Settings, log *slog.Logger) awsstore.Options {
	return awsstore.Options{Table: s.Table, Bucket: s.Bucket, QueueURL: s.QueueURL, DLQURL: s.DLQURL, S3PathStyle: s.S3PathStyle, Log: log}
}

// selftestBound limits one attempt of a selftest; a boot waits for it.
const selftestBound = 60 * time.Second

// selftestPause separates the attempts of a selftest that is repeated.
const selftestPause = 5 * time.Second

const aboutSelftest = `Does the whole job once on built-in pictures, through the real bucket, table and queue: what an instance must pass
before it gets traffic. It touches nothing but its own, and cleans up. A wrong result is final; with --retry a refusal,
a timeout or another error of a service is not: rights that were granted minutes ago may not work everywhere yet.`

// runSelftest is the verb selftest. It proves that this machine can do the job on AWS.
func runSelftest(fs *flag.FlagSet) func(context.Context, cli.Call) error {
	retry := fs.Duration("retry", 0, "how `long` to repeat a test that fails for a reason that may pass, such as 5m")
	return func(ctx context.Context, c cli.Call) error {
		s := c.Settings
		if len(c.Args) > 0 {
			return &settings.UsageError{Problems: []string{fmt.Sprintf("unexpected argument %q (see -h)", c.Args[0])}}
		}
		if *retry < 0 {
			return &settings.UsageError{Problems: []string{fmt.Sprintf("--retry %s is negative", *retry)}}
		}
		if !s.OnAWS() {
			return &settings.UsageError{Problems: []string{
				fmt.Sprintf("selftest proves access to AWS: it needs a table, a bucket and a queue (%s; %s; %s)",
					settings.Named("table"), settings.Named("bucket"), settings.Named("queue-url"))}}
		}
		log := observe.NewLogger(c.Err, observe.Identity{Stack: s.Stack, Role: "selftest"})
		return selftest.Retry(ctx, *retry, selftestPause, func(ctx context.Context, out io.Writer) error {
			return trySelftest(ctx, s, log, out)
		}, c.Out)
	}
}

// trySelftest runs the selftest once, with clients of its own.
func trySelftest(ctx context.Context, s settings.Settings, log *slog.Logger, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, selftestBound)
	defer cancel()
	b, err := awsstore.Open(ctx, cloudOptions(s, log))
	if err != nil {
		return fmt.Errorf("open AWS: %w", err)
	}
	return selftest.Run(ctx, selftest.Dependencies{
		Catalog: b.Catalog(), Blobs: b.Blobs(), Queue: b.Queue(), Filter: sepia.Filter{MaxPixels: s.MaxPixels},
		DeleteItem: b.DeleteItem, DeleteObject: b.DeleteObject, Now: time.Now,
	}, out)
}
