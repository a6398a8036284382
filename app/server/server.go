package server

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"imagery/app/deploy/settings"
	"imagery/app/httpserver"
	"imagery/app/imagery"
)

// Options are what a server needs; all fields are required but ObjectOrigin and MaxPixels.
type Options struct {
	// Service is used for Get, Create and Accept; its Blobs serve results, and /readyz pings its ports.
	Service *imagery.Service
	// Sniff returns the content type of a photo from its first bytes (64 or more, unless it is shorter), or a
	// *imagery.BadPhoto of kind Unsupported.
	Sniff func(head []byte) (contentType string, err error)
	// Inspect reads headers and returns a *imagery.BadPhoto when the photo must be refused. That error wraps
	// io.ErrUnexpectedEOF when the bytes merely end too early, so that a prefix can be inspected.
	Inspect func(r io.Reader) error
	// Budget is the number of bytes that uploads in flight may hold together. If Memory is set, they take their bytes from
	// there instead, a MiB at a time.
	Budget int64
	Memory Memory
	// Connections bounds the connections that may be open; 0 means 1024.
	Connections int
	// ObjectOrigin is the origin of links to results, for the page's Content-Security-Policy; empty when the
	// server serves results itself.
	ObjectOrigin string
	// MaxPixels is the width x height that Inspect allows, for the page, which refuses the same photos before it
	// sends them; 0 is the default of the settings.
	MaxPixels int64
	// Release is the hex SHA-256 of the running binary, the answer of /version.
	Release string
	Log     *slog.Logger
}

// Memory hands out bytes that this process shares with others.
type Memory interface {
	// Acquire waits until n bytes are free or ctx ends; release gives them back and must be called once.
	Acquire(ctx context.Context, n int64) (release func(), err error)
	// TryAcquire is Acquire that does not wait.
	TryAcquire(n int64) (release func(), ok bool)
}

// bounds are the times that the contract or the load balancer dictates. Tests shorten them.
type bounds struct {
	upload     time.Duration // for a whole upload body, counted from the end of its headers
	smallBody  time.Duration // for any other request body
	look       time.Duration // to find the file part of an upload whose declared length already refuses it
	step       time.Duration // for the room of the next chunk
	stall      time.Duration // without a full chunk, after which an upload loses its room to one that waits
	dropFirst  time.Duration // of reading the rest of a refused body before the answer
	drop       time.Duration // of reading the rest of a refused body altogether
	dependency time.Duration // for the calls of one request to table and bucket
	ready      time.Duration // for the pings of /readyz
	notice     time.Duration // between a failing /readyz and the closed listener
	drain      time.Duration // for the requests in flight once the listener is closed
}

// With the 2 s that Accept spends on a hint at most, 7 s for dependencies keep every answer below 10 s. A
// drain lasts as long as the longest request, and ends well before settings.StopTimeout.
var contractBounds = bounds{
	upload: settings.UploadTimeout, smallBody: 10 * time.Second, look: time.Second,
	step: 2 * time.Second, stall: 5 * time.Second, dropFirst: time.Second, drop: 5 * time.Second,
	dependency: 7 * time.Second, ready: 4 * time.Second, notice: time.Second, drain: settings.UploadTimeout + 20*time.Second,
}

// writeTimeout runs from the end of the headers to the last byte of the answer. It has to outlast an upload
// with its dependencies and the dropped rest; a wait is shorter. Downloads set their own.
const writeTimeout = settings.UploadTimeout + 20*time.Second

// Server answers HTTP requests. It is an http.Handler; Run serves it on a listener.
type Server struct {
	Options
	bounds   bounds
	echo     *echo.Echo
	room     *room
	waits    *waits
	ready    readiness
	stopping chan struct{} // closed when Run begins to stop
}

// New prepares a server.
func New(o Options) *Server { return newServer(o, contractBounds) }

func newServer(o Options, b bounds) *Server {
	stopping := make(chan struct{})
	s := &Server{Options: o, bounds: b, stopping: stopping,
		room: newRoom(o.Budget, o.Memory, b.step, b.stall)}
	// Waits leave half of the connections to uploads and probes.
	s.waits = newWaits(s.lookUp, stopping, min(maxWaiting, s.connections()/2))
	s.echo = s.routes()
	return s
}

func (s *Server) connections() int { return cmp.Or(s.Connections, 1024) }

// ServeHTTP implements http.Handler.
// Deadlines of bodies need a server of net/http around it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.echo.ServeHTTP(w, r) }

// Run serves on l until ctx ends. Then /readyz fails and long polls are answered at once, while requests are
// still taken for a moment, so that a load balancer can notice; then the listener is closed and requests in
// flight are finished. What does not finish within the drain bound is cut. Run returns nil after a stop.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	srv := httpserver.New(s, s.connections(), s.Log, slog.LevelWarn)
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
	select {
	case err := <-served:
		return fmt.Errorf("serve HTTP on %s: %w", l.Addr(), err)
	case <-time.After(s.bounds.notice):
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.bounds.drain)
	defer cancel()
	if err := srv.Shutdown(drain); err != nil {
		s.Log.Warn("requests cut at the end of the drain", "error", err)
		_ = srv.Close() // its error says that a connection was closed already
	}
	<-served
	return nil
}

// isStopping reports whether Run has begun to stop.
// Requests are served all the same: only who sends them is asked to go elsewhere, through /readyz and by
// closing connections.
func (s *Server) isStopping() bool {
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}

// bounded is the context of a request's calls to table and bucket. It ends with its time and not with the
// connection: a client may close its sending side and still read, and a photo that arrived in full is worth
// accepting also when the phone that sent it has just lost its network. spent is what earlier calls took.
func (s *Server) bounded(ctx context.Context, spent time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), s.bounds.dependency-spent)
}

// lookUp is Service.Get in bounded time.
func (s *Server) lookUp(ctx context.Context, id string) (imagery.Image, error) {
	ctx, cancel := s.bounded(ctx, 0)
	defer cancel()
	return s.Service.Get(ctx, id)
}
