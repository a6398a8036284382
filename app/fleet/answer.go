package fleet

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"
)

// errNoAnswer ends a request to a server that hangs.
var errNoAnswer = errors.New("the server gave no answer in time")

// dropFor is how long the rest of an upload is read after an early answer. Closing at once would reset the
// connection, and a client that sends everything before it reads would never see the answer.
const dropFor = 5 * time.Second

// upload is the body of a request, which is read here and by the Transport.
type upload struct {
	io.ReadCloser
	ended  atomic.Bool // nothing more will come
	broken atomic.Bool // and it ended too early
}

// Read repeats the end. The Transport asks once more after the announced length; by then the answer may have
// begun and net/http may have closed the body, which it would take for a broken upload, and cut the answer.
func (u *upload) Read(p []byte) (int, error) {
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

// dropRest lets the client finish what it is sending, for a while. The connection is closed afterwards, see
// answer.
func (u *upload) dropRest(w http.ResponseWriter) {
	if u.ended.Load() {
		return
	}
	control := http.NewResponseController(w)
	control.Flush()
	control.SetReadDeadline(time.Now().Add(dropFor)) // also for a read of the Transport that is under way
	io.Copy(io.Discard, u)
}

// answer is what the client gets.
type answer struct {
	http.ResponseWriter
	body *upload
}

// Unwrap lets a ResponseController find the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader makes an answer before the end of the body the last one of its connection: to keep it, net/http
// would read the rest before it sends the answer, and a client that has stopped sending would never get one.
func (a *answer) WriteHeader(status int) {
	if status >= http.StatusOK && !a.body.ended.Load() {
		a.Header().Set("Connection", "close")
	}
	a.ResponseWriter.WriteHeader(status)
}

// refuse answers for a server that could not.
func (b *balancer) refuse(w http.ResponseWriter, r *http.Request, body *upload, err error) {
	status, detail := http.StatusBadGateway, "The server died while it had this request. Repeat it: that is safe."
	switch {
	case errors.Is(err, errNoServer):
		status, detail = http.StatusServiceUnavailable, "No server is up at the moment. Try again in a moment."
	case errors.Is(err, errNoAnswer):
		status, detail = http.StatusGatewayTimeout, "The server gave no answer in time. Repeat the request: that is safe."
	case errors.Is(err, errBadUpgrade):
		status, detail = http.StatusBadRequest, "The Upgrade header is not valid."
	case body.broken.Load():
		status, detail = http.StatusBadRequest, "The request ended before its announced length."
	}
	id := rand.Text()
	level := slog.LevelWarn
	if status < http.StatusInternalServerError {
		level = slog.LevelInfo
	}
	b.log.Log(r.Context(), level, "request refused by the balancer", "method", r.Method, "path", r.URL.Path, "status", status, "request_id", id, "error", err)
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Request-Id", id)
	if status >= http.StatusInternalServerError {
		h.Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(struct {
		Type      string `json:"type"`
		Title     string `json:"title"`
		Status    int    `json:"status"`
		Detail    string `json:"detail"`
		RequestID string `json:"requestId"`
	}{"about:blank", http.StatusText(status), status, detail, id})
}
