package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"testing"
	"time"

	api "imagery/app/client"
)

// fleetState is the answer of /_fleet.json.
type fleetState struct {
	Processes []struct {
		Name, Role, Release string
		PID, Restarts       int
		Ready               bool
	}
	Queue struct{ Visible, InFlight, DeadLetters int }
}

// TestPanel checks that the fleet's page lists every process, and that its button kills one, which is then replaced.
func TestPanel(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), nil)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	c := api.New(p.url)
	read := func() (s fleetState) {
		res, err := c.Expect(ctx, http.MethodGet, "/_fleet.json", nil, nil, http.StatusOK)
		if err != nil || json.Unmarshal(res.Body, &s) != nil {
			t.Fatalf("%s, %v", res.Body, err)
		}
		return s
	}
	until := func(what string, ok func(fleetState) bool) fleetState {
		for {
			if s := read(); ok(s) {
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
	page, err := c.Expect(ctx, http.MethodGet, "/_fleet", nil, nil, http.StatusOK)
	token := regexp.MustCompile(`name="fleet-token" content="([^"]+)"`).FindSubmatch(page.Body)
	if err != nil || token == nil {
		t.Fatalf("the page: %s, %v", page.Body, err)
	}
	const kill = "/_fleet/kill/worker-1"
	if _, err := c.Expect(ctx, http.MethodPost, kill, nil, nil, http.StatusForbidden); err != nil {
		t.Errorf("a kill without the token: %v", err)
	}
	withToken := func(req *http.Request) { req.Header.Set("X-Fleet-Token", string(token[1])) }
	if _, err := c.Expect(ctx, http.MethodPost, kill, nil, withToken, http.StatusNoContent); err != nil {
		t.Fatalf("a kill: %v", err)
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
