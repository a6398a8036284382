package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"imagery/app/cloud"
	"imagery/app/imagery"
	"imagery/app/local"
	"imagery/app/settings"
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
		b, err := cloud.Open(ctx, cloud.Options{
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
	b, err := local.Open(local.Options{Dir: s.Data, Visibility: s.Visibility, MaxReceives: s.MaxReceives, Log: log})
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

// failpointsOnAWS must be 1 before a failpoint is armed in front of real data.
const failpointsOnAWS = "IMAGERY_FAILPOINTS_ON_AWS"

// failpoints arms what the setting names; nil, and so free, when it names nothing.
func failpoints(s settings.Settings) (func(imagery.Point, string), error) {
	if s.Failpoint == "" {
		return nil, nil
	}
	if s.OnAWS() && os.Getenv(failpointsOnAWS) != "1" {
		return nil, &settings.UsageError{Problems: []string{fmt.Sprintf(
			"failpoints kill processes: on AWS they need %s=1 too (%s)", failpointsOnAWS, settings.Named("failpoint"))}}
	}
	armed := map[string]bool{}
	for spec := range strings.SplitSeq(s.Failpoint, ",") {
		point, _, _ := strings.Cut(spec, "@")
		if !slices.Contains(imagery.Points, imagery.Point(point)) {
			return nil, &settings.UsageError{Problems: []string{fmt.Sprintf(
				"failpoint %q is none of %v (%s)", point, imagery.Points, settings.Named("failpoint"))}}
		}
		armed[spec] = true
	}
	return func(p imagery.Point, id string) {
		if armed[string(p)] || armed[string(p)+"@"+id] {
			die()
		}
	}, nil
}

// die ends the process as a crash does: at once, nothing flushed, nothing handed back.
func die() {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Signal(syscall.SIGKILL)
	}
	panic(errors.Join(errors.New("could not kill myself"), err))
}
