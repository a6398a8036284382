// Package panel serves the status page of a local fleet. It shows the processes and the queue, and has a button that
// kills a process, to demonstrate that nothing is lost. Only the person at this machine may use it, but any web page in
// a local browser can send requests to localhost. So the panel answers only a loopback peer with a loopback Host, and
// the kill needs a token that only its own page has.
package panel

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"embed"
	"encoding/json"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"imagery/app/httpserver"
)

// Prefix is the prefix of all paths of the panel.
const Prefix = "/_fleet"

// Process is the state of one process of the fleet.
type Process struct {
	Name     string `json:"name"`
	Role     string `json:"role"`
	PID      int    `json:"pid"`      // 0 while none runs
	Uptime   int64  `json:"uptime"`   // seconds
	Restarts int    `json:"restarts"` // processes started after the first one
	Ready    bool   `json:"ready"`
	Release  string `json:"release"`  // empty while it does not answer
	Done     int64  `json:"done"`     // requests or jobs of this process
	InFlight int    `json:"inFlight"` // requests or jobs in progress
}

// Queue counts the messages of the queue.
type Queue struct {
	Visible     int     `json:"visible"`
	InFlight    int     `json:"inFlight"`
	DeadLetters int     `json:"deadLetters"`
	Oldest      float64 `json:"oldestUnfinished"` // age in seconds of the oldest unfinished image, 0 when there is none
}

// Options configures a panel. All fields are required.
type Options struct {
	Data      string // absolute path of the data folder, which identifies the fleet
	Processes func(context.Context) []Process
	Queue     func(context.Context) (Queue, error)
	// Kill kills the named process.
	Kill func(name string) error
}

// tokenPlaceholder is replaced by the token, which consists of letters and digits and needs no escaping. html/template
// would make the binary much larger: it calls methods by name, so the linker would keep all methods of the AWS clients.
const tokenPlaceholder = "TOKEN"

//go:embed web
var files embed.FS

// Panel handles all requests below Prefix.
type Panel struct {
	o     Options
	token string
	mux   *http.ServeMux
	page  []byte
}

// New returns a panel with a new token.
func New(o Options) *Panel {
	page, err := files.ReadFile("web/index.html")
	if err != nil {
		panic(err) // impossible, as the files are embedded
	}
	web, err := fs.Sub(files, "web")
	if err != nil {
		panic(err)
	}
	p := &Panel{o: o, token: rand.Text(), mux: http.NewServeMux()}
	p.page = bytes.Replace(page, []byte(tokenPlaceholder), []byte(p.token), 1)
	p.mux.HandleFunc("GET "+Prefix, p.index)
	p.mux.HandleFunc("GET "+Prefix+"/{$}", p.index)
	p.mux.HandleFunc("GET "+Prefix+"/index.html", p.index) // the file itself has only the placeholder
	p.mux.HandleFunc("GET "+Prefix+".json", p.state)
	p.mux.HandleFunc("POST "+Prefix+"/kill/{name}", p.kill)
	p.mux.Handle("GET "+Prefix+"/", http.StripPrefix(Prefix, http.FileServerFS(web)))
	return p
}

// ServeHTTP implements http.Handler.
func (p *Panel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; "+
		"connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	if !fromThisMachine(r) {
		httpserver.WriteProblem(w, http.StatusForbidden,
			"The fleet's page is only available to a browser on the same machine, at localhost.")
		return
	}
	p.mux.ServeHTTP(w, r)
}

// fromThisMachine reports whether the request comes directly from this machine and names it as the host. It rejects
// requests through a proxy, and host names that resolve to 127.0.0.1 (DNS rebinding).
func fromThisMachine(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() || proxied(r) {
		return false
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return slices.Contains([]string{"localhost", "127.0.0.1", "::1", "[::1]"}, host)
}

// proxied reports whether a proxy forwarded the request.
func proxied(r *http.Request) bool {
	return slices.ContainsFunc([]string{"X-Forwarded-For", "Forwarded", "X-Real-Ip"}, func(name string) bool {
		return len(r.Header.Values(name)) > 0
	})
}

func (p *Panel) index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(p.page) // fails only if the client is gone
}

// stateTimeout keeps the requests of a page, one per second, from accumulating.
const stateTimeout = 3 * time.Second

func (p *Panel) state(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), stateTimeout)
	defer cancel()
	queue, err := p.o.Queue(ctx)
	if err != nil {
		httpserver.WriteProblem(w, http.StatusServiceUnavailable, "The queue does not answer.")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(struct {
		Data      string    `json:"data"`
		Processes []Process `json:"processes"`
		Queue     Queue     `json:"queue"`
	}{p.o.Data, p.o.Processes(ctx), queue})
}

// TokenHeader is the request header with the token. A page of another origin can neither read the token nor set the
// header.
const TokenHeader = "X-Fleet-Token"

func (p *Panel) kill(w http.ResponseWriter, r *http.Request) {
	if subtle.ConstantTimeCompare([]byte(r.Header.Get(TokenHeader)), []byte(p.token)) != 1 {
		httpserver.WriteProblem(w, http.StatusForbidden, "Only the fleet's own page may kill a process. Reload the page.")
		return
	}
	if err := p.o.Kill(r.PathValue("name")); err != nil {
		httpserver.WriteProblem(w, http.StatusConflict, err.Error())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
