// Package httpserver gives every listener of every role the same bounds: on the header, body, idle and write time of
// a connection, on its buffers, and on the number of connections. The table in docs/bounds.md says what one connection
// can make a process hold.
package httpserver

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"imagery/app/deploy/settings"
)

const (
	// MaxHeaderBytes is more than browsers and load balancers send. net/http adds 4 KiB of its own.
	MaxHeaderBytes = 32 << 10
	// maxQuery bounds the query of an address, in bytes, whose parameters are kept as fields are. Ours have 60.
	maxQuery = 1 << 10
	// maxFields bounds what the fields of one header take beside their bytes: a field of three bytes takes a hundred.
	maxFields = 128
	// BodyTimeout bounds the body of a request, from the end of its header on. Uploads set their own bound.
	BodyTimeout = 10 * time.Second
	// MemoryPerConnection bounds the memory of one connection, in bytes: its header, two buffers of 4 KiB, two stacks.
	// Bodies are counted elsewhere.
	MemoryPerConnection = 64 << 10
	// WriteStall bounds the time in which a write makes no progress. A write has at most some 32 KiB, so a client that
	// reads a KiB per second keeps its connection.
	WriteStall = 30 * time.Second
	// socketBuffer bounds what the kernel keeps for one connection in each direction; Linux doubles it.
	socketBuffer = 64 << 10
)

// MinConnections is enough for some browsers and the probes of a load balancer. settings.ProcessBase has room for them.
const MinConnections = 256

// Connections returns how many connections a process with that many bytes of memory may have open: at 256 KiB for
// each, the kernel's buffers included.
func Connections(memory int64) int { return int(min(max(memory/(256<<10), MinConnections), 4096)) }

// Server is an http.Server with bounds.
type Server struct {
	*http.Server
	conns *conns
	log   *slog.Logger
	body  time.Duration // BodyTimeout; tests shorten it
}

// New returns a server that keeps at most so many connections open. What net/http logs of broken connections is logged
// at the given level.
func New(handler http.Handler, connections int, log *slog.Logger, level slog.Level) *Server {
	s := &Server{conns: newConns(connections), log: log, body: BodyTimeout}
	s.Server = &http.Server{
		Handler:           s.bound(handler),
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

// bound tells the connection when its header is complete, refuses headers of too many fields, and sets the deadline of
// the body.
func (s *Server) bound(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(*conn); ok {
			s.conns.handling(c, r.ContentLength != 0)
			if r.ContentLength != 0 {
				r = r.WithContext(r.Context()) // a copy: net/http looks at the type of the body of its own request
				r.Body = &body{r.Body, s.conns, c}
			}
		}
		if fields(r.Header) > maxFields {
			refuse(w, http.StatusRequestHeaderFieldsTooLarge, "The request has too many header fields.")
			return
		}
		if len(r.URL.RawQuery) > maxQuery {
			refuse(w, http.StatusRequestURITooLong, "The query of the address is too long.")
			return
		}
		if r.ContentLength != 0 { // without a body net/http reads ahead, and a deadline would cancel the request
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.body))
		}
		next.ServeHTTP(w, r)
	})
}

// body tells when it has ended.
type body struct {
	io.ReadCloser
	conns *conns
	conn  *conn
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.conns.ended(b.conn)
	}
	return n, err
}

func fields(h http.Header) (n int) {
	for _, values := range h {
		n += len(values)
	}
	return n
}

// refuse answers in the form of RFC 9457 and ends the connection.
func refuse(w http.ResponseWriter, status int, detail string) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Connection", "close")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"type": "about:blank", "title": http.StatusText(status), "status": status,
		"detail": detail}) // the client is gone if this fails
}
