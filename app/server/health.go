package server

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

const (
	healthzPath = "/healthz"
	readyzPath  = "/readyz"
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
	if down, err := s.health.Check(c.Request().Context()); err != nil {
		detail := "Not answering: " + strings.Join(down, ", ") + "."
		return (&httpError{http.StatusServiceUnavailable, detail, true}).withCause(err)
	}
	return c.String(http.StatusOK, "ready\n")
}
