// Package httpserver provides the HTTP server that every role uses. It limits the header, body, idle and write time of
// a connection, its buffers, and the number of connections. docs/bounds.md lists how much memory one connection can
// occupy.
package httpserver

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"imagery/app/deploy/settings"
)

const (
	// MaxHeaderBytes limits the header of a request. Browsers and load balancers send less. net/http adds 4 KiB.
	MaxHeaderBytes = 32 << 10
	// maxQuery limits the query of a URL, in bytes. Parsed parameters take as much memory as header fields. The longest
	// query of the API has 60 bytes.
	maxQuery = 1 << 10
	// maxFields limits the fields of one header: even a field of three bytes takes some 100 bytes of memory.
	maxFields = 128
	// BodyTimeout limits the body of a request, counted from the end of its header. Uploads set their own deadline.
	BodyTimeout = 10 * time.Second
	// MemoryPerConnection is the memory that one connection may take, in bytes: its header, two buffers of 4 KiB, two
	// goroutine stacks. Bodies are not included.
	MemoryPerConnection = 64 << 10
	// WriteStallTimeout limits one write. A write has at most some 32 KiB, so a client that reads more than a KiB per
	// second keeps its connection.
	WriteStallTimeout = 30 * time.Second
	// socketBuffer is the size of the kernel's buffer of one connection in each direction; Linux doubles it.
	socketBuffer = 64 << 10
)

// MinConnections is the smallest limit of open connections: enough for a few browsers and the probes of a load
// balancer. settings.ProcessBase includes their memory.
const MinConnections = 256

// Connections returns the limit of open connections for a process with that many bytes of memory: one for each 256 KiB,
// which include the kernel's buffers, within MinConnections and 4096.
func Connections(memory int64) int { return int(min(max(memory/(256<<10), MinConnections), 4096)) }

// Server is an http.Server with limits.
type Server struct {
	*http.Server
	conns *conns
	log   *slog.Logger
	body  time.Duration // BodyTimeout, unless a test shortens it
}

// New returns a server with a limit of open connections. Messages that net/http logs about broken connections get the
// given level.
func New(handler http.Handler, connections int, log *slog.Logger, level slog.Level) *Server {
	s := &Server{conns: newConns(connections), log: log, body: BodyTimeout}
	s.Server = &http.Server{
		Handler:           s.limit(handler),
		ReadHeaderTimeout: settings.ReadHeaderTimeout,
		IdleTimeout:       settings.IdleTimeout,
		MaxHeaderBytes:    MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), level),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		ConnState: s.conns.state,
	}
	return s
}

// Serve accepts connections on l until the server is shut down or closed, see http.Server.
func (s *Server) Serve(l net.Listener) error {
	return s.Server.Serve(&listener{Listener: l, conns: s.conns, log: s.log, done: make(chan struct{})})
}

// connKey is the context key of a request's connection.
type connKey struct{}

// limit is a middleware that records the phases of the request's connection, rejects headers with too many fields, and
// sets the deadline of the body.
func (s *Server) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(*conn); ok {
			s.conns.headerComplete(c, r.ContentLength != 0)
			if r.ContentLength != 0 {
				r = r.WithContext(r.Context()) // a copy, since net/http checks the type of the body of its own request
				r.Body = &body{r.Body, s.conns, c}
			}
		}
		fields := 0
		for _, values := range r.Header {
			fields += len(values)
		}
		if fields > maxFields {
			reject(w, http.StatusRequestHeaderFieldsTooLarge, "The request has too many header fields.")
			return
		}
		if len(r.URL.RawQuery) > maxQuery {
			reject(w, http.StatusRequestURITooLong, "The query of the address is too long.")
			return
		}
		if r.ContentLength != 0 { // without a body net/http reads ahead, and a deadline would cancel the request
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.body))
		}
		next.ServeHTTP(w, r)
	})
}

// body records the end of a request body.
type body struct {
	io.ReadCloser
	conns *conns
	conn  *conn
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.conns.bodyEnded(b.conn)
	}
	return n, err
}

// reject writes an error response and closes the connection.
func reject(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Connection", "close")
	WriteProblem(w, status, detail)
}

// RequestID is the response header that identifies a request in the log.
const RequestID = "X-Request-Id"

// WriteProblem writes an error response (RFC 9457) with the detail for people. Its type is always about:blank, because
// the status is enough for programs. The request id is that of the header, if the caller has set it.
func WriteProblem(w http.ResponseWriter, status int, detail string) {
	h := w.Header()
	body, err := json.Marshal(struct {
		Type      string `json:"type"`
		Title     string `json:"title"`
		Status    int    `json:"status"`
		Detail    string `json:"detail"`
		RequestID string `json:"requestId,omitempty"`
	}{"about:blank", http.StatusText(status), status, detail, h.Get(RequestID)})
	if err != nil {
		panic(err) // strings and a number always marshal
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body))) // so that a client need not wait for the end of the connection
	w.WriteHeader(status)
	_, _ = w.Write(body) // fails only if the client is gone
}
