package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"imagery/app/deploy/settings"
	"imagery/app/imagery"
	awsstore "imagery/app/store/aws"
	"imagery/app/store/local"
)

// backend is where images live, whichever it is.
type backend struct {
	catalog      imagery.Catalog
	blobs        imagery.Blobs
	queue        imagery.Queue
	deadLetters  imagery.Queue
	origin       string                      // of links to results; empty when the server serves them itself
	housekeeping func(context.Context) error // nil where the platform cleans up
	close        func() error
}

// probeKeys are what /readyz asks the bucket for: an object that need not exist, under a prefix that the role
// may read.
var probeKeys = map[settings.Role]string{settings.Server: "processed/readyz", settings.Worker: "upload/readyz"}

// openBackend opens the backend that the settings select. It does not wait for AWS.
func openBackend(ctx context.Context, s settings.Settings, log *slog.Logger) (*backend, error) {
	if s.OnAWS() {
		b, err := awsstore.Open(ctx, awsstore.Options{
			Table: s.Table, Bucket: s.Bucket, QueueURL: s.QueueURL, DLQURL: s.DLQURL,
			Visibility: s.Visibility, MaxReceives: s.MaxReceives, S3PathStyle: s.S3PathStyle,
			ProbeKey: probeKeys[s.Role], Log: log,
		})
		if err != nil {
			return nil, fmt.Errorf("open AWS: %w", err)
		}
		return &backend{catalog: b.Catalog(), blobs: b.Blobs(), queue: b.Queue(), deadLetters: b.DeadLetters(),
			origin: b.ObjectOrigin(), close: func() error { return nil }}, nil
	}
	if err := prepareData(s); err != nil {
		return nil, err
	}
	o := local.Options{Dir: s.Data, Visibility: s.Visibility, MaxReceives: s.MaxReceives, Log: log}
	if s.QueueChaos != 0 {
		o.Chaos = local.HeavyChaos(uint64(s.QueueChaos))
	}
	b, err := local.Open(o)
	if err != nil {
		return nil, fmt.Errorf("%w (%s)", err, settings.Named("data"))
	}
	return &backend{catalog: b.Catalog(), blobs: b.Blobs(), queue: b.Queue(), deadLetters: b.DeadLetters(),
		housekeeping: func(ctx context.Context) error {
			_, err := b.Sweep(ctx, time.Now(), s.UploadLife)
			return err
		}, close: b.Close}, nil
}

// prepareData makes the data folder and its schema; a problem names the setting.
func prepareData(s settings.Settings) error {
	if err := local.Prepare(s.Data); err != nil {
		return fmt.Errorf("%w (%s)", err, settings.Named("data"))
	}
	return nil
}

// newService wires the domain to a backend. Filter is the caller's.
func newService(s settings.Settings, b *backend, release, instance string) (*imagery.Service, error) {
	hook, err := failpoints(s)
	if err != nil {
		return nil, err
	}
	return &imagery.Service{
		Catalog: b.catalog, Blobs: b.blobs, Queue: b.queue, DeadLetters: b.deadLetters, Now: time.Now,
		Release: release, Instance: instance, UploadLife: s.UploadLife, ResendAfter: s.ResendAfter, Hook: hook,
	}, nil
}
