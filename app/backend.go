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

// backend has the stores of the service, on AWS or in a data folder.
type backend struct {
	catalog      imagery.Catalog
	blobs        imagery.Blobs
	queue        imagery.Queue
	deadLetters  imagery.Queue
	origin       string                      // origin of links to results; empty if the server sends the bytes itself
	housekeeping func(context.Context) error // nil on AWS, where lifecycle rules do it
	close        func() error
}

// probeKeys are the keys that /readyz requests from the bucket. They need not exist, but the role may read their
// prefix.
var probeKeys = map[settings.Role]string{settings.Server: "processed/readyz", settings.Worker: "upload/readyz"}

// openBackend opens the backend that the settings select. It makes no calls to AWS.
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

// prepareData creates the data folder and its schema. Errors name the setting.
func prepareData(s settings.Settings) error {
	if err := local.Prepare(s.Data); err != nil {
		return fmt.Errorf("%w (%s)", err, settings.Named("data"))
	}
	return nil
}

// newService returns a service on the backend. The caller sets Filter if it processes photos.
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
