package e2e

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"testing"
	"time"
)

// fleetState is what /_fleet.json shows.
type fleetState struct {
	Processes []struct {
		Name, Role, Release string
		PID, Restarts       int
		Ready               bool
	}
	Queue struct{ Visible, InFlight, DeadLetters int }
}

// TestPanel: the fleet's page shows every process, and its button kills a real one, which is replaced.
func TestPanel(t *testing.T) {
	p := start(t, t.TempDir(), nil)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	look := func() (s fleetState) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/_fleet.json", nil)
		if err != nil {
			t.Fatal(err)
		}
		if status, body, err := do(req); err != nil || status != http.StatusOK || json.Unmarshal(body, &s) != nil {
			t.Fatalf("%d %s, %v", status, body, err)
		}
		return s
	}
	until := func(what string, ok func(fleetState) bool) fleetState {
		for {
			if s := look(); ok(s) {
				return s
			} else if ctx.Err() != nil {
				t.Fatalf("%s: %+v", what, s)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	before := until("all ready", func(s fleetState) bool {
		ready := 0
		for _, c := range s.Processes {
			if c.Ready && len(c.Release) == 64 {
				ready++
			}
		}
		return ready == 4
	})
	pids := map[int]bool{}
	for _, c := range p.children(t) {
		pids[c.pid] = true
	}
	for _, c := range before.Processes {
		if !pids[c.PID] {
			t.Errorf("%s has no process %d", c.Name, c.PID)
		}
	}
	res, err := http.Get(p.url + "/_fleet")
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(res.Body)
	res.Body.Close()
	token := regexp.MustCompile(`name="fleet-token" content="([^"]+)"`).FindSubmatch(page)
	if err != nil || token == nil {
		t.Fatalf("the page: %s, %v", page, err)
	}
	kill, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/_fleet/kill/worker-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if status, _, err := do(kill); err != nil || status != http.StatusForbidden {
		t.Errorf("a kill without the token: %d, %v", status, err)
	}
	kill.Header.Set("X-Fleet-Token", string(token[1]))
	if status, body, err := do(kill); err != nil || status != http.StatusNoContent {
		t.Fatalf("a kill: %d %s, %v", status, body, err)
	}
	until("worker-1 is replaced", func(s fleetState) bool {
		for i, c := range s.Processes {
			if c.Name == "worker-1" {
				return c.Ready && c.Restarts == 1 && c.PID != before.Processes[i].PID
			}
		}
		return false
	})
}
