// Package fleet implements role local: it runs servers and workers as child processes, restarts those that exit, and
// distributes HTTP requests over the servers like a cloud load balancer. It has no state that must survive a crash.
//
// It kills and restarts a running child only if it is frozen, because it may hold the lock that all writers need. A
// slow child only gets fewer requests.
package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"imagery/app/deploy/settings"
)

// Options configures a fleet.
type Options struct {
	Exe      string // path of the binary of all children
	Children []Child
	Log      *slog.Logger
	// Panel is optional. It gets the requests whose path starts with PanelPath.
	Panel     http.Handler
	PanelPath string
	// Connections limits the open connections of clients; 0 means 1024.
	Connections int
	// Stdout and Stderr get the output of the children line by line, with the name of the child in front.
	Stdout, Stderr io.Writer
	// Kill is closed to end a slow shutdown: children that still run are killed.
	Kill <-chan struct{}
	// Grace limits how long a child may take to stop before it is killed; 0 means settings.StopTimeout.
	Grace time.Duration
}

// Child describes one process. It must print "listening on http://HOST:PORT" on its standard output, answer /readyz and
// /healthz there, and call WatchParent. On SIGTERM a server must fail /readyz and accept connections for another twice
// probeEvery, and after a response before the end of an upload it must keep reading for a moment. Otherwise requests
// fail with 502, because the balancer cannot tell whether the server had started them.
type Child struct {
	Name   string // unique, such as server-1
	Server bool   // receives requests from the balancer
	Args   []string
	Env    []string // NAME=value, added to the environment of the fleet
}

// Fleet is a balancer and its child processes.
type Fleet struct {
	o        Options
	pool     *pool
	children []*child
	watchdog *watchdog
}

// Status is the state of one child.
type Status struct {
	Name     string
	Role     settings.Role
	PID      int       // 0 while no process runs
	Started  time.Time // of the process, zero while none runs
	Restarts int       // processes started after the first one
	Address  string    // host:port, empty until the process listens
	Ready    bool      // /readyz answered 200 at the last probe
	InFlight int       // open requests of the balancer
	Served   int64     // requests that have ended, over all processes of this child
}

// New returns a fleet. Nothing runs before Run is called.
func New(o Options) *Fleet {
	o.Grace = cmp.Or(o.Grace, settings.StopTimeout)
	f := &Fleet{o: o, pool: newPool()}
	out := &sync.Mutex{} // for both streams, which often share a terminal
	for _, c := range o.Children {
		f.children = append(f.children, &child{Child: c, o: o, pool: f.pool, target: f.pool.add(c.Server), out: out,
			stopping: make(chan struct{}), done: make(chan struct{})})
	}
	f.watchdog = newWatchdog(f.children, o.Log)
	return f
}

// Run serves l and keeps the children running until ctx ends. Then it stops the balancer, the servers and the workers,
// in this order, so that no process gets work that it cannot finish. It returns nil after a clean stop, and an error if
// a child can never start or had to be killed.
func (f *Fleet) Run(ctx context.Context, l net.Listener) error {
	failed := make(chan error, len(f.children)+1)
	b := newBalancer(f.pool, f.o)
	go func() { failed <- b.serve(l) }()
	for _, c := range f.children {
		go func() {
			if err := c.supervise(); err != nil {
				failed <- err
			}
		}()
	}
	watchCtx, stopWatchdog := context.WithCancel(context.Background())
	go f.watchdog.run(watchCtx)
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	stopWatchdog() // from here on only c.stop kills
	f.o.Log.Info("stopping: first the balancer, then servers, then workers")
	return errors.Join(err, f.stop(b))
}

// balancerGrace limits how long short requests may take before the servers are stopped. The servers end long polls and
// uploads themselves.
const balancerGrace = time.Second

func (f *Fleet) stop(b *balancer) error {
	drained := b.drain()
	f.waitFor(balancerGrace, drained)
	servers := f.stopAll(true)
	f.waitFor(balancerGrace, drained) // for the last responses
	b.close()
	return errors.Join(servers, f.stopAll(false))
}

// waitFor waits until done or Kill is closed, but no longer than d.
func (f *Fleet) waitFor(d time.Duration, done <-chan struct{}) {
	select {
	case <-done:
	case <-time.After(d):
	case <-f.o.Kill:
	}
}

// stopAll stops all servers, or all workers, in parallel.
func (f *Fleet) stopAll(servers bool) error {
	var wg sync.WaitGroup
	errs := make([]error, len(f.children))
	for i, c := range f.children {
		if c.Server == servers {
			wg.Go(func() { errs[i] = c.stop() })
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Kill kills the process of the named child. The fleet starts it again.
func (f *Fleet) Kill(name string) error {
	for _, c := range f.children {
		if c.Name == name {
			return c.kill()
		}
	}
	return fmt.Errorf("there is no process %q", name)
}

// Snapshot returns the state of all children, in the order of Options. It is safe for concurrent use.
func (f *Fleet) Snapshot() []Status {
	var all []Status
	for _, c := range f.children {
		all = append(all, c.status())
	}
	return all
}
