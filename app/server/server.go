// Package server implements the HTTP API of the server role. It translates requests into calls of
// imagery.Service, and results and errors of the domain into HTTP responses; it makes no decisions about images.
// It limits memory (pool.go), time (timeouts), concurrent long polls (longpoll.go), and decides what clients learn
// about errors (errors.go).
//
// Every request passes the middleware in request.go, which assigns the request id, sets read deadlines, recovers
// panics and logs. A handler writes a successful response itself and returns every error, which writeError turns
// into a problem document. An upload is handled in this order: upload.go, form.go (up to the file), receive (the
// bytes of the file), reservation.go (the memory that holds them).
//
// The server keeps no state that another server would need: any number of servers can serve the same images.
package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"imagery/app/deploy/settings"
	"imagery/app/httpserver"
	"imagery/app/imagery"
)

// Options configures a Server; all fields are required but ObjectOrigin, MaxPixels, Memory and Connections.
type Options struct {
	// Service is used for Get, Create and Accept; its Blobs serve results, and /readyz pings its ports.
	Service *imagery.Service
	// Sniff returns the content type of a photo from its first bytes (64 or more, unless the photo is shorter), or a
	// *imagery.BadPhoto of kind Unsupported.
	Sniff func(head []byte) (contentType string, err error)
	// Inspect reads the headers of a photo and returns a *imagery.BadPhoto if it must be rejected. That error wraps
	// io.ErrUnexpectedEOF if the bytes merely end too early, so that a prefix can be inspected.
	Inspect func(r io.Reader) error
	// Budget limits the bytes that all uploads in flight keep in memory. It is ignored if Memory is set: then the
	// bytes are leased from there, a MiB at a time.
	Budget int64
	Memory Memory
	// Connections limits the open connections; 0 means 1024.
	Connections int
	// ObjectOrigin is the origin of links to results, for the page's Content-Security-Policy; empty if the server
	// serves results itself.
	ObjectOrigin string
	// MaxPixels is the width x height that Inspect allows. The page gets it, to reject larger photos before it sends
	// them; 0 is the default of the settings.
	MaxPixels int64
	// Release is the hex SHA-256 of the running binary, the response of /version.
	Release string
	Log     *slog.Logger
}

// Memory hands out bytes of a budget that this process shares with others.
type Memory interface {
	// Acquire blocks until n bytes are free or ctx ends. release returns them and must be called once.
	Acquire(ctx context.Context, n int64) (release func(), err error)
	// TryAcquire is Acquire without blocking; ok is false if the bytes are not free.
	TryAcquire(n int64) (release func(), ok bool)
}

// timeouts are fixed by the API's contract or by the load balancer. Tests shorten them.
type timeouts struct {
	upload       time.Duration // of a whole upload body, counted from the end of the headers
	smallBody    time.Duration // of any other request body
	oversized    time.Duration // to find the file part of an upload whose declared length is too large already
	block        time.Duration // to get the next memory block
	stall        time.Duration // without progress, after which an upload may be evicted from an exhausted pool
	discardFirst time.Duration // of discarding the rest of a rejected body before the response
	discardTotal time.Duration // of discarding it before and after the response
	dependency   time.Duration // of one request's calls to table and bucket
	ready        time.Duration // of the pings of /readyz
	lameDuck     time.Duration // between a failing /readyz and the closed listener
	drain        time.Duration // of the requests in flight once the listener is closed
}

// defaultTimeouts keep every response below 10 s: 7 s for dependencies, and at most 2 s that Accept spends on a hint.
// The drain takes as long as the longest request, and ends well before settings.StopTimeout.
var defaultTimeouts = timeouts{
	upload: settings.UploadTimeout, smallBody: 10 * time.Second, oversized: time.Second,
	block: 2 * time.Second, stall: 5 * time.Second, discardFirst: time.Second, discardTotal: 5 * time.Second,
	dependency: 7 * time.Second, ready: 4 * time.Second, lameDuck: time.Second,
	drain: settings.UploadTimeout + 20*time.Second,
}

// writeTimeout runs from the end of the headers to the last byte of the response. It covers an upload, its calls to
// dependencies and the discarded rest; a long poll is shorter. Downloads set their own.
const writeTimeout = settings.UploadTimeout + 20*time.Second

// Server is the http.Handler of the server role; Run serves it on a listener.
type Server struct {
	Options
	timeouts   timeouts
	echo       *echo.Echo
	pool       *pool
	longPoller longPoller
	health     imagery.Health
	stopping   chan struct{} // closed when Run begins to stop
}

// New returns a server that is not listening yet.
func New(o Options) *Server { return newServer(o, defaultTimeouts) }

func newServer(o Options, t timeouts) *Server {
	o.Connections = cmp.Or(o.Connections, 1024)
	s := &Server{Options: o, timeouts: t, stopping: make(chan struct{}),
		pool: newPool(o.Budget, o.Memory, t.block, t.stall),
		health: imagery.Health{Timeout: t.ready, Dependencies: []imagery.Dependency{
			{Name: "table", Ping: o.Service.Catalog.Ping},
			{Name: "bucket", Ping: o.Service.Blobs.Ping},
			{Name: "queue", Ping: func(ctx context.Context) error { _, err := o.Service.Queue.Limits(ctx); return err }},
		}}}
	// Half of the connections stay free for uploads and probes.
	s.longPoller = longPoller{read: s.getImage, stopping: s.stopping, limit: min(maxLongPolls, s.Connections/2),
		watches: map[string]*watch{}}
	s.echo = s.routes()
	return s
}

// ServeHTTP implements http.Handler. Read and write deadlines have an effect only below a server of net/http.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.echo.ServeHTTP(w, r) }

// Run serves on l until ctx ends, then stops gracefully: /readyz fails and long polls return at once, while requests
// are still accepted for the lame duck period, so that a load balancer can react; then the listener is closed and
// requests in flight are finished. Connections that are still open after the drain timeout are closed. Run returns
// nil after a stop.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	srv := httpserver.New(s, s.Connections, s.Log, slog.LevelWarn)
	srv.WriteTimeout = writeTimeout
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve HTTP on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	s.Log.Info("stopping: no longer ready")
	close(s.stopping)
	time.Sleep(s.timeouts.lameDuck)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeouts.drain)
	defer cancel()
	if err := srv.Shutdown(drain); err != nil {
		s.Log.Warn("requests cut off at the end of the drain", "error", err)
		_ = srv.Close() // its error is that a connection was closed already
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP on %s: %w", l.Addr(), err)
	}
	return nil
}

// isStopping reports whether Run has begun to stop. Requests are still served; /readyz and the header Connection send
// clients elsewhere.
func (s *Server) isStopping() bool {
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}

// dependencyContext returns the context of a request's calls to table and bucket. It ends with the dependency timeout,
// less the time spent by earlier calls, but not with the connection: a client may close its sending side and still
// read, and a photo that arrived in full is accepted even if the client has lost its network since.
func (s *Server) dependencyContext(ctx context.Context, spent time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), s.timeouts.dependency-spent)
}

// getImage calls Service.GetForUser with the dependency timeout.
func (s *Server) getImage(ctx context.Context, id string) (imagery.Image, error) {
	ctx, cancel := s.dependencyContext(ctx, 0)
	defer cancel()
	return s.Service.GetForUser(ctx, id)
}

// routes registers every route. There are no wildcard routes: one would make 405 of the 404 of unknown addresses.
func (s *Server) routes() *echo.Echo {
	e := echo.New()
	e.Logger.SetOutput(io.Discard) // logRequest logs every request
	e.HTTPErrorHandler = s.writeError
	e.Pre(s.middleware)

	get := func(path string, h echo.HandlerFunc) { e.Match([]string{http.MethodGet, http.MethodHead}, path, h) }
	e.POST("/image", s.create)
	get("/image/:id", s.show)
	e.POST("/image/:id/upload", s.upload)
	get("/image/:id/processed", s.processed)

	get(healthzPath, s.healthz)
	get(readyzPath, s.readyz)
	get("/version", s.version)
	for _, a := range pageAssets(s.ObjectOrigin, s.MaxPixels) {
		get(a.path, a.serve)
	}
	return e
}

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
