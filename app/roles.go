package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"imagery/app/deploy/settings"
	"imagery/app/fleet"
	"imagery/app/imagery"
	"imagery/app/observe"
	"imagery/app/sepia"
	"imagery/app/server"
	"imagery/app/worker"
)

// process has what server and worker have in common.
type process struct {
	settings settings.Settings
	log      *slog.Logger
	release  string
	backend  *backend
	service  *imagery.Service
	memory   memory
	listener net.Listener
}

// runRole runs a server or worker until ctx ends.
func runRole(ctx context.Context, s settings.Settings, stdout, stderr io.Writer) error {
	ctx = fleet.WatchParent(ctx, func() { os.Exit(exitFailure) })
	p, err := begin(ctx, s, stdout, stderr)
	if err != nil {
		return err
	}
	defer p.backend.close()
	notifySystemd(ctx, p.listener, p.log)
	if s.OnAWS() {
		go heartbeat(ctx, p.log)
	}
	if s.Role == settings.Server {
		return p.server().Run(ctx, p.listener)
	}
	return p.worker().Run(ctx, p.listener)
}

// begin opens the stores and the listener of a server or worker. The caller must close process.backend.
func begin(ctx context.Context, s settings.Settings, stdout, stderr io.Writer) (*process, error) {
	release, err := observe.Release()
	if err != nil {
		return nil, err
	}
	s.Instance = instance(s)
	p := &process{settings: s, release: release}
	p.log = observe.NewLogger(stderr, s.Log, observe.Identity{Stack: s.Stack, Role: string(s.Role),
		Release: observe.ShortRelease(release), Instance: s.Instance})
	if p.memory, err = planMemory(s); err != nil {
		return nil, err
	}
	if p.backend, err = openBackend(ctx, s, p.log); err != nil {
		return nil, err
	}
	if p.service, err = newService(s, p.backend); err != nil {
		return nil, err
	}
	if p.listener, err = listen(s, stdout); err != nil {
		return nil, err
	}
	return p, nil
}

// listen opens the listener of the role and prints its address.
func listen(s settings.Settings, stdout io.Writer) (net.Listener, error) {
	l, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w (%s)", s.Listen, err, settings.Named("listen"))
	}
	fmt.Fprintf(stdout, "listening on %s\n", urlOf(l))
	return l, nil
}

// urlOf returns the URL of the listener for clients on this machine.
func urlOf(l net.Listener) string {
	address := l.Addr().(*net.TCPAddr)
	if address.IP.IsUnspecified() {
		return fmt.Sprintf("http://localhost:%d", address.Port)
	}
	return "http://" + address.String()
}

func (p *process) server() *server.Server {
	return server.New(server.Options{
		Service: p.service, Sniff: sniff,
		Inspect: func(r io.Reader) error {
			_, err := sepia.Filter{MaxPixels: p.settings.MaxPixels, MaxMemory: p.settings.PhotoMemory}.Check(r)
			return err
		},
		Budget: p.memory.uploads, Memory: p.memory.shared, Connections: p.memory.connections,
		ObjectOrigin: p.backend.origin, MaxPixels: p.settings.MaxPixels, Release: p.release, Log: p.log,
	})
}

// probeTimeout is the time that the clients of AWS give a call with its retries.
const probeTimeout = 8 * time.Second

func (p *process) worker() *worker.Worker {
	s, plan := p.settings, p.memory.worker
	p.service.Filter = sepia.Filter{MaxPixels: s.MaxPixels, MaxMemory: plan.Photos}
	health := imagery.Health{Timeout: probeTimeout, Dependencies: []imagery.Dependency{
		{Name: "table", Ping: p.service.Catalog.Ping}, {Name: "bucket", Ping: p.service.Blobs.Ping}}}
	return worker.New(worker.Options{
		Service: p.service, Queue: p.service.Queue, Memory: p.memory.photos, Slots: plan.Slots, Waiting: plan.Waiting,
		Outage: s.Outage,
		// A third of the age at which a hint is sent again, but at most the period of the metric for the oldest image.
		ReconcileEvery: min(time.Minute, s.ResendAfter/3),
		Probe:          func(ctx context.Context) error { _, err := health.Check(ctx); return err },
		Housekeeping:   p.backend.housekeeping, Consume: s.Consume, Instance: s.Instance, Release: p.release, Log: p.log,
	})
}

// heartbeat logs the metric 1 every settings.HeartbeatEvery until ctx ends, so that an alarm can detect an instance
// whose log does not arrive. The first one comes after an interval, so a process in a restart loop sends none.
func heartbeat(ctx context.Context, log *slog.Logger) {
	ticks := time.NewTicker(settings.HeartbeatEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
			beat := []observe.Measure{observe.Count(settings.MetricHeartbeat, 1)}
			observe.Line(ctx, log, slog.LevelInfo, "heartbeat", beat)
		}
	}
}

// sniff returns the content type of a photo from its first bytes.
func sniff(head []byte) (string, error) {
	f, err := sepia.Sniff(head)
	return "image/" + string(f), err
}
