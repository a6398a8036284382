package fleet

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"time"

	"imagery/app/deploy/settings"
	"imagery/app/httpserver"
)

const (
	// defaultResponseTimeout bounds a request until its response starts. An upload may take settings.UploadTimeout and
	// a long poll 20 s, and no request is both, so only a server that hangs reaches it.
	defaultResponseTimeout = settings.UploadTimeout + 30*time.Second
	// continueTimeout limits how long the balancer waits for the answer to Expect: 100-continue before it sends the body
	// anyway. The server reads the image from the table first.
	continueTimeout = 5 * time.Second
)

// defaultConnections is the default of Options.Connections.
const defaultConnections = 1024

// requestContext is the key of a request's context in itself. The Transport does not end a connection attempt with its
// request, but passes on the values of the context; otherwise clients who left would still wait for a server.
type requestContext struct{}

// balancer forwards requests to the servers of a pool. It buffers no bodies, and never sends a request to a second
// server once the first may have received any of it. The client may repeat it: all requests of the service are
// idempotent.
type balancer struct {
	pool            *pool
	log             *slog.Logger
	web             *httpserver.Server
	transport       *http.Transport
	responseTimeout time.Duration // shorter in tests
}

// newBalancer returns a balancer over the pool's servers. Requests below panelPath go to the panel, if there is one.
func newBalancer(p *pool, o Options) *balancer {
	b := &balancer{pool: p, log: o.Log, responseTimeout: defaultResponseTimeout}
	handler := http.Handler(b)
	if o.Panel != nil {
		handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, o.PanelPath) {
				o.Panel.ServeHTTP(w, r)
			} else {
				b.ServeHTTP(w, r)
			}
		})
	}
	b.web = httpserver.New(handler, cmp.Or(o.Connections, defaultConnections), o.Log, slog.LevelDebug)
	b.transport = &http.Transport{
		// Only the connecting is ever repeated, before a request is sent.
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return p.connect(ctx.Value(requestContext{}).(context.Context))
		},
		// A request on a reused connection that the server is closing may or may not have arrived. A new loopback
		// connection costs little, and the Transport does not repeat requests on it.
		DisableKeepAlives:     true,
		DisableCompression:    true, // forward the client's Accept-Encoding unchanged
		ExpectContinueTimeout: continueTimeout,
	}
	return b
}

func (b *balancer) serve(l net.Listener) error {
	if err := b.web.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}

// drain rejects new requests and those that wait for a server. The returned channel is closed after the last response.
func (b *balancer) drain() <-chan struct{} {
	close(b.pool.closed)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.web.Shutdown(context.Background()) // a listener that does not close is no problem now
	}()
	return done
}

// close ends every connection.
func (b *balancer) close() { b.web.Close() }

// bodyTimeout bounds the time of a request body: the limit of the server, plus time for its response.
const bodyTimeout = settings.UploadTimeout + 10*time.Second

// ServeHTTP forwards one request. Its time is limited only until the response header, because the client may read a
// large photo slowly.
func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if upgrade := strings.Join(r.Header.Values("Upgrade"), ""); upgrade != "" {
		if strings.ContainsFunc(upgrade, func(r rune) bool { return r < ' ' || r > '~' }) {
			b.writeError(w, r, &requestBody{}, errBadUpgrade)
			return
		}
		r.Header.Del("Upgrade") // no server supports an upgrade, and HTTP allows ignoring it
	}
	client := r.Context()
	ctx, cancel := context.WithCancelCause(client)
	defer cancel(nil)
	timeout := time.AfterFunc(b.responseTimeout, func() { cancel(errNoResponse) })
	defer timeout.Stop()

	body := &requestBody{ReadCloser: r.Body}
	if r.ContentLength == 0 {
		body.ended.Store(true)
	} else {
		// The proxy reports a dead server only after the body has ended, so a client that stalls then would keep the
		// request open for ever. net/http sets a new deadline for the next request.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	}
	r = r.WithContext(context.WithValue(ctx, requestContext{}, ctx))
	r.Body = body
	proxy := httputil.ReverseProxy{
		Rewrite:        rewrite,
		Transport:      b.transport,
		ErrorLog:       b.web.ErrorLog,
		ModifyResponse: func(*http.Response) error { timeout.Stop(); return nil },
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			// A broken body also ends the context, but the client may still read the response.
			if client.Err() != nil && !body.broken.Load() {
				panic(http.ErrAbortHandler) // the client has disconnected
			}
			b.writeError(w, r, body, err)
		},
	}
	proxy.ServeHTTP(&responseWriter{w, body}, r)
	body.drain(w)
}

// errBadUpgrade rejects a request whose Upgrade header is malformed.
var errBadUpgrade = errors.New("the Upgrade header contains characters that are not allowed in a protocol name")

// rewrite changes only the destination and the X-Forwarded headers, like an Application Load Balancer.
func rewrite(r *httputil.ProxyRequest) {
	r.Out.URL.Scheme, r.Out.URL.Host = "http", "server"
	r.Out.URL.RawQuery = r.In.URL.RawQuery
	r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
	r.SetXForwarded()
}

// errNoResponse is the cause of a request that ends because its server did not respond within responseTimeout.
var errNoResponse = errors.New("the server did not respond in time")

// drainTimeout bounds the reading of the rest of a body after an early response. Closing at once would reset the
// connection, and a client that reads only after it has sent everything would lose the response.
const drainTimeout = 5 * time.Second

// requestBody is the body of a request. The Transport and the balancer both read it.
type requestBody struct {
	io.ReadCloser
	ended  atomic.Bool // at its end, or failed
	broken atomic.Bool // failed before its end
}

// Read returns io.EOF again after the end. The Transport reads once more after the declared length; by then net/http
// may have closed the body because the response has started, and the Transport would abort the response.
func (u *requestBody) Read(p []byte) (int, error) {
	if u.ended.Load() && !u.broken.Load() {
		return 0, io.EOF
	}
	n, err := u.ReadCloser.Read(p)
	if err != nil {
		if err != io.EOF {
			u.broken.Store(true)
		}
		u.ended.Store(true)
	}
	return n, err
}

// drain flushes the response and discards the rest of the body for at most drainTimeout. The connection is closed
// afterwards; see responseWriter.
func (u *requestBody) drain(w http.ResponseWriter) {
	if u.ended.Load() {
		return
	}
	control := http.NewResponseController(w)
	control.Flush()
	control.SetReadDeadline(time.Now().Add(drainTimeout)) // also ends a pending read of the Transport
	io.Copy(io.Discard, u)
}

// responseWriter writes the response to the client.
type responseWriter struct {
	http.ResponseWriter
	body *requestBody
}

// Unwrap implements the interface that http.ResponseController needs.
func (a *responseWriter) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader closes the connection after a response that is sent before the end of the request body. To reuse it,
// net/http would read the rest before it sends the response, which a client that has stopped sending would never get.
func (a *responseWriter) WriteHeader(status int) {
	if status >= http.StatusOK && !a.body.ended.Load() {
		a.Header().Set("Connection", "close")
	}
	a.ResponseWriter.WriteHeader(status)
}

// writeError responds to a request that no server answered.
func (b *balancer) writeError(w http.ResponseWriter, r *http.Request, body *requestBody, err error) {
	status, detail := http.StatusBadGateway, "The server died while it processed this request. Repeat it: that is safe."
	switch {
	case errors.Is(err, errNoServer):
		status, detail = http.StatusServiceUnavailable, "No server is up at the moment. Try again in a few seconds."
	case errors.Is(err, errNoResponse):
		status, detail = http.StatusGatewayTimeout, "The server did not respond in time. Repeat the request: that is safe."
	case errors.Is(err, errBadUpgrade):
		status, detail = http.StatusBadRequest, "The Upgrade header is not valid."
	case body.broken.Load():
		status, detail = http.StatusBadRequest, "The request ended before its declared length."
	}
	id := rand.Text()
	level := slog.LevelWarn
	if status < http.StatusInternalServerError {
		level = slog.LevelInfo
	}
	b.log.Log(r.Context(), level, "request failed in the balancer", "method", r.Method, "path", r.URL.Path,
		"status", status, "request_id", id, "error", err)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set(httpserver.RequestID, id)
	if status >= http.StatusInternalServerError {
		h.Set("Retry-After", "1")
	}
	httpserver.WriteProblem(w, status, detail)
}
