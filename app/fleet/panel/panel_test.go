package panel_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"imagery/app/fleet/panel"
)

type request struct {
	method, path, peer, host, token, forwarded string
}

func ask(t *testing.T, h http.Handler, r request) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequest(r.method, r.path, nil)
	req.RemoteAddr, req.Host = r.peer, r.host
	if r.token != "" {
		req.Header.Set(panel.TokenHeader, r.token)
	}
	if r.forwarded != "" {
		req.Header.Set("X-Forwarded-For", r.forwarded)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

func newPanel(t *testing.T) (h http.Handler, killed *[]string) {
	t.Helper()
	killed = new([]string)
	return panel.New(panel.Options{
		Processes: func(context.Context) []panel.Process {
			return []panel.Process{{Name: "server-1", Role: "server", PID: 7, Ready: true}}
		},
		Queue: func(context.Context) (panel.Queue, error) { return panel.Queue{DeadLetters: 2}, nil },
		Kill: func(name string) error {
			if name != "server-1" {
				return errors.New("there is no such process")
			}
			*killed = append(*killed, name)
			return nil
		},
	}), killed
}

const here = "127.0.0.1:50000"

func TestOnlyThisMachineMayLook(t *testing.T) {
	h, _ := newPanel(t)
	for _, path := range []string{"/_fleet", "/_fleet.json", "/_fleet/panel.js"} {
		for _, host := range []string{"localhost:8080", "127.0.0.1", "[::1]:8080"} {
			if w := ask(t, h, request{method: "GET", path: path, peer: here, host: host}); w.Code != 200 {
				t.Errorf("GET %s at %s: %d", path, host, w.Code)
			}
		}
		for name, r := range map[string]request{
			"a peer elsewhere":      {peer: "192.0.2.1:50000", host: "localhost"},
			"a name from elsewhere": {peer: here, host: "rebound.example:8080"},
			"no host":               {peer: here},
			"a proxy":               {peer: here, host: "localhost", forwarded: "192.0.2.1"},
		} {
			r.method, r.path = "GET", path
			if w := ask(t, h, r); w.Code != 403 {
				t.Errorf("GET %s by %s: %d", path, name, w.Code)
			}
		}
	}
}

func TestKillNeedsTheTokenOfThePage(t *testing.T) {
	h, killed := newPanel(t)
	var m []string
	for _, path := range []string{"/_fleet/", "/_fleet/index.html", "/_fleet"} {
		page := ask(t, h, request{method: "GET", path: path, peer: here, host: "localhost"}).Body.String()
		m = regexp.MustCompile(`name="fleet-token" content="([^"]+)"`).FindStringSubmatch(page)
		if m == nil || m[1] == "TOKEN" {
			t.Fatalf("no token in %s:\n%s", path, page)
		}
	}
	for _, c := range []struct {
		r    request
		want int
	}{
		{request{method: "POST", path: "/_fleet/kill/server-1", peer: here, host: "localhost"}, 403},
		{request{method: "POST", path: "/_fleet/kill/server-1", peer: here, host: "localhost", token: "guess"}, 403},
		{request{method: "POST", path: "/_fleet/kill/server-1", peer: here, host: "rebound.example", token: m[1]}, 403},
		{request{method: "GET", path: "/_fleet/kill/server-1", peer: here, host: "localhost", token: m[1]}, 404},
		{request{method: "POST", path: "/_fleet/kill/nobody", peer: here, host: "localhost", token: m[1]}, 409},
		{request{method: "POST", path: "/_fleet/kill/server-1", peer: here, host: "localhost", token: m[1]}, 204},
	} {
		if w := ask(t, h, c.r); w.Code != c.want {
			t.Errorf("%+v: %d %s", c.r, w.Code, w.Body)
		}
	}
	if strings.Join(*killed, " ") != "server-1" {
		t.Errorf("killed: %v", *killed)
	}
}

func TestState(t *testing.T) {
	h, _ := newPanel(t)
	var state struct {
		Processes []panel.Process
		Queue     panel.Queue
	}
	w := ask(t, h, request{method: "GET", path: "/_fleet.json", peer: here, host: "localhost"})
	if err := json.Unmarshal(w.Body.Bytes(), &state); err != nil || len(state.Processes) != 1 ||
		state.Queue.DeadLetters != 2 {
		t.Errorf("%s: %v", w.Body, err)
	}
}
