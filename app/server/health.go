package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"imagery/app/imagery"
)

const (
	healthzPath = "/healthz"
	readyzPath  = "/readyz"

	// readyCacheTime sets how long a result of /readyz is reused.
	readyCacheTime = 2 * time.Second
)

// healthz is the liveness check; it succeeds while the server stops, too. It calls no dependency, since a table outage
// must not make the service manager restart healthy servers.
func (s *Server) healthz(c echo.Context) error { return c.String(http.StatusOK, "ok\n") }

// version responds with the release, so that a deployment can tell which one is running.
func (s *Server) version(c echo.Context) error { return c.String(http.StatusOK, s.Release+"\n") }

// readyz is the readiness check: it fails while the server stops or a dependency does not respond. The response names
// the dependencies; the causes are logged.
func (s *Server) readyz(c echo.Context) error {
	if s.isStopping() {
		return &httpError{http.StatusServiceUnavailable, "This server is stopping.", true}
	}
	if down := s.readiness.check(s.Service, s.timeouts.ready); down != nil {
		return down
	}
	return c.String(http.StatusOK, "ready\n")
}

// readiness caches the result of the last check, so that frequent probes do not load the dependencies.
type readiness struct {
	mu    sync.Mutex
	until time.Time
	last  error
}

// check pings all dependencies, unless there is a cached result. It returns an httpError that names those that failed
// or did not respond within the timeout.
func (r *readiness) check(service *imagery.Service, timeout time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Now().Before(r.until) {
		return r.last
	}
	// Not the request's context, since the result is cached for other requests.
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	r.last = probe(ctx, []dependency{
		{"table", service.Catalog.Ping},
		{"bucket", service.Blobs.Ping},
		{"queue", func(ctx context.Context) error { _, err := service.Queue.Limits(ctx); return err }},
	})
	r.until = time.Now().Add(readyCacheTime)
	return r.last
}

// dependency is a service without which this server cannot handle requests.
type dependency struct {
	name string
	ping func(context.Context) error
}

// probe pings all dependencies concurrently. It does not wait for those that ignore the end of ctx.
func probe(ctx context.Context, all []dependency) error {
	results := make([]chan error, len(all))
	for i, d := range all {
		results[i] = make(chan error, 1)
		go func() { results[i] <- d.ping(ctx) }()
	}
	var names []string
	var causes []error
	for i, d := range all {
		var err error
		select {
		case err = <-results[i]:
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err != nil {
			names = append(names, d.name)
			causes = append(causes, fmt.Errorf("ping %s: %w", d.name, err))
		}
	}
	if names == nil {
		return nil
	}
	down := &httpError{http.StatusServiceUnavailable, "Not answering: " + strings.Join(names, ", ") + ".", true}
	return down.withCause(errors.Join(causes...))
}
