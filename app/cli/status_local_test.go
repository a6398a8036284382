package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"imagery/app/cli"
	"imagery/app/store/local"
)

// Until it is stopped, a pipe gets one page after the other, and a terminal replaces the page.
func TestStatusWatch(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		data := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, "-data", data)
			d.ports.Now = time.Now
			ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
			defer cancel()
			var out bytes.Buffer
			if err := d.status(ctx, cli.Console{Out: &out, Err: &bytes.Buffer{}, OutTerminal: terminal}, "--watch", "--every",
				"10s"); err != nil {
				t.Error(err)
			}
			got := out.String()
			pages, clears, homes := strings.Count(got, "FLEET    no fleet runs on this folder"), strings.Count(got, "\x1b[2J"),
				strings.Count(got, "\x1b[H")
			if pages != 3 || terminal && (clears != 1 || homes != 3 || strings.Contains(got, "\n\n\x1b") ||
				!strings.HasSuffix(got, "\x1b[J")) ||
				!terminal && (strings.Contains(got, "\x1b") || strings.Count(got, "\n\n"+data) != 2) {
				t.Errorf("terminal %t: %d pages, %q", terminal, pages, got)
			}
			// If it is stopped while it reads, it prints no half page.
			out.Reset()
			ctx, cancel = context.WithCancel(t.Context())
			d.hook = cancel
			if err := d.status(ctx, cli.Console{Out: &out, OutTerminal: terminal}, "--watch"); err != nil || out.Len() > 0 {
				t.Errorf("%v, %q", err, out.String())
			}
			if err := d.status(ctx, cli.Console{Out: &out, OutTerminal: terminal}, "--watch", "--every", "10ms"); err == nil {
				t.Error("it would ask a hundred times a second")
			}
		})
	}
}

// A program can read two documents in a row.
func TestStatusWatchInJSON(t *testing.T) {
	data := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "-data", data)
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		var out bytes.Buffer
		if err := d.status(ctx, cli.Console{Out: &out, OutTerminal: true}, "--watch", "--every", "1s", "--json"); err != nil {
			t.Fatal(err)
		}
		dec := json.NewDecoder(&out)
		for range 2 {
			var doc struct{ Place string }
			if err := dec.Decode(&doc); err != nil || doc.Place == "" {
				t.Fatalf("%v, %+v", err, doc)
			}
		}
	})
}

// Only the fleet of this folder is shown, whatever a killed one left behind.
func TestStatusOfALocalFleet(t *testing.T) {
	d := newDesk(t, "-data", t.TempDir())
	data := d.args[1]
	answer := func(w http.ResponseWriter, folder string) {
		fmt.Fprintf(w, `{"data":%q,"processes":[{"name":"server-1","role":"server","pid":7,"uptime":3600,
			"restarts":2,"ready":true,"release":%q,"done":41,"inFlight":1},
			{"name":"worker-1","role":"worker","pid":0},
			{"name":"worker-2","role":"worker","pid":9}],"queue":{}}`, folder, newRelease)
	}
	for want, serve := range map[string]http.HandlerFunc{
		"1 of 1 servers ready, 0 of 2 workers ready, http://": func(w http.ResponseWriter, _ *http.Request) {
			answer(w, data)
		},
		"no fleet runs on this folder": func(w http.ResponseWriter, _ *http.Request) { answer(w, t.TempDir()) },
		"does not answer: GET /_fleet.json answered 403 Forbidden": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
		},
		"does not answer: invalid character": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") },
	} {
		s := httptest.NewServer(serve)
		if err := os.WriteFile(filepath.Join(data, local.FleetFile), []byte(s.URL+" 12\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := d.screen()
		// lines break where the port is long
		if err != nil || !strings.Contains(strings.Join(strings.Fields(got), " "), want) {
			t.Errorf("%v, want %q in\n%s", err, want, got)
		}
		if strings.HasPrefix(want, "1 of 1") &&
			(!strings.Contains(got, "server-1  ready      bad0bad0bad0  7    1h0m  2         41    1\n") ||
				!strings.Contains(got, "worker-1  down       unknown       -    0s    0         0     0\n")) {
			t.Error(got)
		}
		s.Close()
	}
	if got, err := d.screen(); err != nil || !strings.Contains(got, "connection refused") ||
		strings.Count(got, "127.0.0.1:") > 2 {
		t.Errorf("%v\n%s", err, got)
	}
}
