package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"imagery/app/deploy/settings"
	"imagery/app/imagery"
	"imagery/app/observe"
	awsstore "imagery/app/store/aws"
	"imagery/app/store/local"
)

// backend has the stores of the service, on AWS or in a data folder.
type backend struct {
	stores
	origin       string                      // origin of links to results; empty if the server sends the bytes itself
	housekeeping func(context.Context) error // nil on AWS, where lifecycle rules do it
	close        func() error
}

// stores is implemented by the stores of both packages.
type stores interface {
	Catalog() imagery.Catalog
	Blobs() imagery.Blobs
	Queue() imagery.Queue
	DeadLetters() imagery.Queue
}

// openBackend opens the backend that the settings select. It makes no calls to AWS.
func openBackend(ctx context.Context, s settings.Settings, log *slog.Logger) (*backend, error) {
	if s.OnAWS() {
		b, err := openCloud(ctx, s, "", log)
		if err != nil {
			return nil, err
		}
		return &backend{stores: b, origin: b.ObjectOrigin(), close: func() error { return nil }}, nil
	}
	if err := prepareData(s); err != nil {
		return nil, err
	}
	b, err := openFolder(s, log)
	if err != nil {
		return nil, err
	}
	return &backend{stores: b, close: b.Close, housekeeping: func(ctx context.Context) error {
		_, err := b.Sweep(ctx, time.Now(), s.UploadLife)
		return err
	}}, nil
}

// probeKeys are the keys that /readyz requests from the bucket. They need not exist, but the role may read their
// prefix.
var probeKeys = map[settings.Role]string{settings.Server: "processed/readyz", settings.Worker: "upload/readyz"}

// openCloud opens the stores on AWS. An empty region stands for that of the environment.
func openCloud(ctx context.Context, s settings.Settings, region string, log *slog.Logger) (*awsstore.Store, error) {
	b, err := awsstore.Open(ctx, awsstore.Options{
		Table: s.Table, Bucket: s.Bucket, QueueURL: s.QueueURL, DLQURL: s.DLQURL,
		Visibility: s.Visibility, MaxReceives: s.MaxReceives, S3PathStyle: s.S3PathStyle, Region: region,
		ProbeKey: probeKeys[s.Role], Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("open AWS: %w", err)
	}
	return b, nil
}

// prepareData creates the data folder and its schema.
func prepareData(s settings.Settings) error { return dataError(local.Prepare(s.Data)) }

// openFolder opens the stores in a prepared data folder.
func openFolder(s settings.Settings, log *slog.Logger) (*local.Store, error) {
	o := local.Options{Dir: s.Data, Visibility: s.Visibility, MaxReceives: s.MaxReceives, Log: log}
	if s.QueueChaos != 0 {
		o.Chaos = local.HeavyChaos(uint64(s.QueueChaos))
	}
	b, err := local.Open(o)
	return b, dataError(err)
}

// dataError adds the setting to an error of the data folder.
func dataError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w (%s)", err, settings.Named("data"))
}

// newService returns a service on the stores. The caller sets Filter if it processes photos.
func newService(s settings.Settings, b stores) (*imagery.Service, error) {
	hook, err := failpoints(s)
	if err != nil {
		return nil, err
	}
	release, err := observe.Release()
	if err != nil {
		return nil, err
	}
	return &imagery.Service{
		Catalog: b.Catalog(), Blobs: b.Blobs(), Queue: b.Queue(), DeadLetters: b.DeadLetters(), Now: time.Now,
		Release: observe.ShortRelease(release), Instance: instance(s), UploadLife: s.UploadLife,
		ResendAfter: s.ResendAfter, Hook: hook,
	}, nil
}

// instance returns the name of this process in logs and in the history of images.
func instance(s settings.Settings) string {
	if s.Instance != "" {
		return s.Instance
	}
	host, _ := os.Hostname() // an empty name only makes them less informative
	return host
}
