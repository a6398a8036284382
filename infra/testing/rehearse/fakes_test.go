package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"imagery/infra/testing/asgsim"
	"imagery/infra/testing/nspawn"
)

// fleet is a driver of machines in memory that implements machines, too.
type fleet struct {
	asgsim.Memory

	mu      sync.Mutex
	started []nspawn.Status
	calls   []string
}

// Start implements asgsim.Driver.
func (f *fleet) Start(ctx context.Context, m asgsim.Machine) error {
	f.mu.Lock()
	f.started = append(f.started, nspawn.Status{Machine: m, Started: time.Now(),
		Address: fmt.Sprintf("10.99.1.%d", len(f.started)+11)})
	f.mu.Unlock()
	return f.Memory.Start(ctx, m)
}

// Machines implements machines.
func (f *fleet) Machines() (all []nspawn.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.started {
		s.On = f.Running(s.ID)
		all = append(all, s)
	}
	return all
}

func (f *fleet) called(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
}

// PowerOff implements machines.
func (f *fleet) PowerOff(id string) { f.Stop(id) }

// Reboot implements machines.
func (f *fleet) Reboot(id string) { f.called("reboot %s", id) }

// Command implements machines.
func (f *fleet) Command(ctx context.Context, _ string, command ...string) *exec.Cmd {
	return exec.CommandContext(ctx, command[0], command[1:]...)
}

// Zone implements machines.
func (f *fleet) Zone(name string, up bool) error { f.called("%s up=%t", name, up); return nil }

// Balance implements machines.
func (f *fleet) Balance(port int, c nspawn.Check) error {
	f.called("balance %d %s", port, c.Path)
	return nil
}

// StopBalancer implements machines.
func (f *fleet) StopBalancer() { f.called("no balancer") }

// Traffic implements machines.
func (f *fleet) Traffic() (nspawn.Traffic, error) { return nspawn.Traffic{}, nil }

// canned is a moto whose answers are given, by action.
type canned struct {
	mu      sync.Mutex
	answers map[string]string
	seen    []string
}

func (c *canned) set(action, answer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[action] = answer
}

// ServeHTTP implements http.Handler.
func (c *canned) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	action := r.PostFormValue("Action")
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, action)
	w.Header().Set("Content-Type", "text/xml")
	fmt.Fprintf(w, "<Response><%[1]sResult>%[2]s</%[1]sResult>%[2]s</Response>", action, c.answers[action])
}

// motoAt returns the moto at a URL.
func motoAt(url string) *moto {
	return &moto{address: strings.TrimPrefix(url, "http://"), config: aws.Config{Region: region, BaseEndpoint: &url,
		Credentials: credentials.NewStaticCredentialsProvider("rehearsal", "rehearsal", "")}}
}

// rehearsal returns a front with a group of one machine, which is in service, and its parts.
func rehearsal(t *testing.T) (*front, *fleet, *canned) {
	t.Helper()
	host := &fleet{Memory: asgsim.Memory{Script: func(asgsim.Machine) asgsim.Script { return asgsim.Script{} }}}
	sim := asgsim.New(asgsim.Options{Driver: host, Factor: 20})
	host.Simulator = sim
	t.Cleanup(sim.Close)
	sim.Create(asgsim.Group{Name: role, Min: 1, Max: 1, MinHealthy: 100, MaxHealthy: 200, Template: "lt-1", Version: "1",
		Zones: zones[:1]})
	theirs := &canned{answers: map[string]string{}}
	server := httptest.NewServer(theirs)
	t.Cleanup(server.Close)
	f := newFront(motoAt(server.URL), sim, host, nil, "")
	f.groups[role] = groupSource{template: "lt-1", role: role, subnets: map[string]string{"subnet-1": zones[0]}}
	until(t, "an instance is in service", func() bool { return inService(sim) != "" })
	return f, host, theirs
}

// inService returns the instance that is in service, or "".
func inService(sim *asgsim.Simulator) string {
	_, all, _ := sim.Snapshot(role)
	for _, i := range all {
		if i.State == "InService" && i.Healthy {
			return i.ID
		}
	}
	return ""
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 1000 {
		if is() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("not within 10 s: %s", what)
}

// serve returns the configuration of clients of a front.
func serve(t *testing.T, f *front) aws.Config {
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return aws.Config{Region: region, BaseEndpoint: &server.URL, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(administratorKey, "secret", "")}
}
