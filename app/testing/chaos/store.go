package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"imagery/app/admin/fsck"
	"imagery/app/cli"
	"imagery/app/imagery"
	awsstore "imagery/app/store/aws"
	"imagery/app/store/local"
	"imagery/app/testing/fakeaws"
)

// The backends.
const (
	onLocal = "local"
	onAWS   = "aws"
)

// store is the backend of one row, as the processes under test and the checks use it.
type store interface {
	// environment and flags select the store in a process under test. caller names the process in the emulator.
	environment(caller string) []string
	flags() []string
	// purge deletes all messages and returns their number.
	purge(ctx context.Context) (int, error)
	snapshot(ctx context.Context) (fsck.Snapshot, error)
	// operate opens the store for a command; the caller sets the clock and the settings of the service.
	operate(ctx context.Context) (cli.Deployment, error)
	close()
}

// dataFolder is a local data folder.
type dataFolder struct{ dir string }

func newDataFolder(dir string) (store, error) { return dataFolder{dir}, os.Mkdir(dir, 0o700) }

func (f dataFolder) environment(string) []string { return nil }
func (f dataFolder) flags() []string             { return []string{"-data", f.dir} }
func (f dataFolder) close()                      {}

func (f dataFolder) purge(ctx context.Context) (n int, err error) {
	path := url.URL{Scheme: "file", Path: filepath.Join(f.dir, "imagery.db"), RawQuery: "_pragma=busy_timeout(10000)"}
	db, err := sql.Open("sqlite", path.String())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	r, err := db.ExecContext(ctx, "DELETE FROM messages")
	if err != nil {
		return 0, fmt.Errorf("purge the queue: %w", err)
	}
	lost, err := r.RowsAffected()
	return int(lost), err
}

func (f dataFolder) snapshot(context.Context) (fsck.Snapshot, error) { return fsck.Local(f.dir) }

func (f dataFolder) operate(context.Context) (cli.Deployment, error) {
	l, err := local.Open(local.Options{Dir: f.dir, Visibility: time.Second, MaxReceives: 1,
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return cli.Deployment{}, err
	}
	return cli.Deployment{Service: &imagery.Service{Catalog: l.Catalog(), Queue: l.Queue()}, Store: l, Close: l.Close,
		Snapshot: func(ctx context.Context, _ bool) (fsck.Snapshot, error) { return f.snapshot(ctx) }}, nil
}

// emulated is an AWS emulator.
type emulated struct {
	*fakeaws.Cloud
	fakeaws.Stack
}

func newEmulated(ctx context.Context, visibility time.Duration) (store, error) {
	c := fakeaws.New()
	s, err := c.NewStack(ctx, "imagery", imagery.Limits{Visibility: visibility, MaxReceives: 5})
	if err != nil {
		c.Close()
		return nil, err
	}
	return emulated{c, s}, nil
}

func (e emulated) environment(caller string) []string {
	return append(e.Env(caller), "IMAGERY_FAILPOINTS_ON_AWS=1")
}

func (e emulated) flags() []string {
	return []string{"-table", e.Table, "-bucket", e.Bucket, "-queue-url", e.QueueURL, "-s3-path-style"}
}

func (e emulated) close() { e.Close() }

func (e emulated) purge(context.Context) (int, error) {
	return len(e.Queues.Messages(e.QueueURL)), e.Queues.Purge(e.QueueURL)
}

func (e emulated) snapshot(ctx context.Context) (fsck.Snapshot, error) {
	return fsck.AWS(ctx, e.DynamoDB(), e.S3(), e.Table, e.Bucket, true)
}

func (e emulated) operate(ctx context.Context) (cli.Deployment, error) {
	b, err := awsstore.Open(ctx, awsstore.Options{Table: e.Table, Bucket: e.Bucket, QueueURL: e.QueueURL,
		S3PathStyle: true, AWS: e.Config("operator")})
	if err != nil {
		return cli.Deployment{}, err
	}
	return cli.Deployment{Service: &imagery.Service{Catalog: b.Catalog(), Queue: b.Queue()}, Store: b,
		Close:    func() error { return nil },
		Snapshot: func(ctx context.Context, _ bool) (fsck.Snapshot, error) { return e.snapshot(ctx) }}, nil
}
