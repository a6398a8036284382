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

	readyFor = 2 * time.Second // an answer of /readyz is given again for so long
)

// healthz says that the process lives, also while it stops. It asks nobody else: a table that is away must not
// make a service manager kill servers that are well.
func (s *Server) healthz(c echo.Context) error { return c.String(http.StatusOK, "ok\n") }

// version names the running binary, for a deployment that has to know which release answers.
func (s *Server) version(c echo.Context) error { return c.String(http.StatusOK, s.Release+"\n") }

// readyz says whether this server should be sent requests. It names what is away; why is for the log.
func (s *Server) readyz(c echo.Context) error {
	if s.isStopping() {
		return &refusal{http.StatusServiceUnavailable, "This server is stopping.", true}
	}
	if down := s.ready.check(s.Service, s.bounds.ready); down != nil {
		return down
	}
	return c.String(http.StatusOK, "ready\n")
}

// readiness remembers which dependencies answered, so that many who ask cost no more than one.
type readiness struct {
	mu    sync.Mutex
	until time.Time
	last  error
}

// check is nil if all dependencies answer. It does not hang when they do, but gives up at the bound.
func (r *readiness) check(service *imagery.Service, bound time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Now().Before(r.until) {
		return r.last
	}
	// Not the context of the request: others may be given this answer too.
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	r.last = probe(ctx, []dependency{
		{"table", service.Catalog.Ping},
		{"bucket", service.Blobs.Ping},
		{"queue", func(ctx context.Context) error { _, err := service.Queue.Limits(ctx); return err }},
	})
	r.until = time.Now().Add(readyFor)
	return r.last
}

// dependency is something that the server cannot work without.
type dependency struct {
	name string
	ping func(context.Context) error
}

// probe pings all at the same time; the refusal names those that failed or did not answer until ctx ended.
func probe(ctx context.Context, all []dependency) error {
	answers := make([]chan error, len(all))
	for i, d := range all {
		answers[i] = make(chan error, 1)
		go func() { answers[i] <- d.ping(ctx) }()
	}
	var names []string
	var causes []error
	for i, d := range all {
		var err error
		select {
		case err = <-answers[i]:
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
	down := &refusal{http.StatusServiceUnavailable, "Not answering: " + strings.Join(names, ", ") + ".", true}
	return down.because(errors.Join(causes...))
}
