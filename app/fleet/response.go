package fleet

import (
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"imagery/app/httpserver"
)

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
