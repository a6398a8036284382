// Package panel is the second page of a local fleet: it shows the processes and the queue, and lets a person kill
// a process and watch nothing be lost. It is for the person at this machine only: any other page in a browser may
// try to post to localhost, so it answers a loopback peer with a loopback Host, and a change needs a token that
// only its own page knows.
package panel

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"
)

// Prefix begins every path of the panel.
const Prefix = "/_fleet"

// Process is one process of the fleet.
type Process struct {
	Name     string `json:"name"`
	Role     string `json:"role"`
	PID      int    `json:"pid"`      // 0 while none runs
	Uptime   int64  `json:"uptime"`   // seconds
	Restarts int    `json:"restarts"` // processes started after the first one
	Ready    bool   `json:"ready"`
	Release  string `json:"release"`  // empty while it does not answer
	Done     int64  `json:"done"`     // requests or jobs of this process
	InFlight int    `json:"inFlight"` // of them, now
}

// Queue is what waits.
type Queue struct {
	Visible     int     `json:"visible"`
	InFlight    int     `json:"inFlight"`
	DeadLetters int     `json:"deadLetters"`
	Oldest      float64 `json:"oldestUnfinished"` // age in seconds of the oldest unfinished image, 0 when there is none
}

// Options say where the panel looks.
type Options struct {
	Data      string // the folder, absolute, by which one fleet is told from another
	Processes func(context.Context) []Process
	Queue     func(context.Context) (Queue, error)
	// Kill ends the named process as a crash would.
	Kill func(name string) error
}

// tokenPlace is where the page has the token. The token is letters and digits, so it needs no escaping. A package
// of templates would be a lot for one word: it calls methods by name, so the linker keeps every method of the
// program, those of all operations of AWS's clients among them.
const tokenPlace = "TOKEN"

//go:embed web
var files embed.FS

// Panel is the handler of everything below Prefix.
type Panel struct {
	o     Options
	token string
	mux   *http.ServeMux
	page  []byte
}

// New returns a panel with a token of its own.
func New(o Options) (*Panel, error) {
	page, err := files.ReadFile("web/index.html")
	if err != nil {
		return nil, fmt.Errorf("read the panel's page: %w", err)
	}
	web, err := fs.Sub(files, "web")
	if err != nil {
		return nil, fmt.Errorf("read the panel's files: %w", err)
	}
	p := &Panel{o: o, token: rand.Text(), mux: http.NewServeMux()}
	p.page = bytes.Replace(page, []byte(tokenPlace), []byte(p.token), 1)
	p.mux.HandleFunc("GET "+Prefix, p.index)
	p.mux.HandleFunc("GET "+Prefix+"/{$}", p.index)
	p.mux.HandleFunc("GET "+Prefix+"/index.html", p.index) // the file has no token
	p.mux.HandleFunc("GET "+Prefix+".json", p.state)
	p.mux.HandleFunc("POST "+Prefix+"/kill/{name}", p.kill)
	p.mux.Handle("GET "+Prefix+"/", http.StripPrefix(Prefix, http.FileServerFS(web)))
	return p, nil
}

// ServeHTTP implements http.Handler.
func (p *Panel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	if !fromHere(r) {
		refuse(w, http.StatusForbidden, "The fleet's page is for a browser on the same machine, at localhost.")
		return
	}
	p.mux.ServeHTTP(w, r)
}

// fromHere reports whether the request comes from this machine and means it: a name that somebody else's DNS
// points here, or a proxy that speaks for others, does not count.
func fromHere(r *http.Request) bool {
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

// proxied reports whether a proxy passed the request on.
func proxied(r *http.Request) bool {
	return len(r.Header.Values("X-Forwarded-For"))+len(r.Header.Values("Forwarded"))+len(r.Header.Values("X-Real-Ip")) > 0
}

// refuse answers in the form of RFC 9457, as the rest of the service does.
func refuse(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"type": "about:blank", "title": http.StatusText(status),
		"status": status, "detail": detail}) // the client is gone if this fails
}

func (p *Panel) index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(p.page) // the client is gone if this fails
}

// lookBound keeps a page that asks every second from piling up.
const lookBound = 3 * time.Second

func (p *Panel) state(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), lookBound)
	defer cancel()
	queue, err := p.o.Queue(ctx)
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, "The queue does not answer.")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(struct {
		Data      string    `json:"data"`
		Processes []Process `json:"processes"`
		Queue     Queue     `json:"queue"`
	}{p.o.Data, p.o.Processes(ctx), queue})
}

// TokenHeader carries the page's token. A page of another origin may neither read the token nor set the header.
const TokenHeader = "X-Fleet-Token"

func (p *Panel) kill(w http.ResponseWriter, r *http.Request) {
	if subtle.ConstantTimeCompare([]byte(r.Header.Get(TokenHeader)), []byte(p.token)) != 1 {
		refuse(w, http.StatusForbidden, "Only the fleet's own page may kill; load it again.")
		return
	}
	if err := p.o.Kill(r.PathValue("name")); err != nil {
		refuse(w, http.StatusConflict, err.Error())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
