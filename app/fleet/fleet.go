// Package fleet is the local role: it runs servers and workers as child processes, replaces those that die,
// and balances HTTP requests over the servers as a cloud load balancer would. It holds no state of the product:
// whatever it kills, or is killed with, is found again by the next process.
//
// It judges processes that live by one thing only: one that is frozen is killed and replaced, because it may hold the
// lock without which no other one writes. One that is slow loses its requests to the others, and nothing else.
package fleet

import (
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

// Options describe a fleet.
type Options struct {
	Exe      string // path of the binary that every child runs
	Children []Child
	Log      *slog.Logger
	// Panel, if set, gets the requests whose path begins with PanelPath instead of the servers.
	Panel     http.Handler
	PanelPath string
	// Connections bounds the connections that clients may have open; 0 means 1024.
	Connections int
	// Stdout and Stderr get the children's lines, each whole and behind the name of its child.
	Stdout, Stderr io.Writer
	// Kill, when it is closed, ends a stop that takes too long for its user: what still runs is killed.
	Kill <-chan struct{}
	// Grace is how long a child may take to stop before it is killed; 0 means settings.StopTimeout.
	Grace time.Duration
}

// Child is how to start one process. It must print "listening on http://HOST:PORT" on its standard output,
// answer /readyz and /healthz there, and call WatchParent. On SIGTERM a server fails /readyz first and still accepts
// for twice probeEvery; after an answer that came before the end of an upload it reads on for a moment. Without either
// the balancer cannot tell a request that was lost from one that was not begun.
type Child struct {
	Name   string // unique, such as server-1
	Server bool   // gets requests from the balancer
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

// Status is what one child is doing now.
type Status struct {
	Name     string
	Role     settings.Role
	PID      int       // 0 while no process runs
	Started  time.Time // of the process, zero while none runs
	Restarts int       // processes started after the first one
	Address  string    // host:port, empty until the process listens
	Ready    bool      // its /readyz says so
	InFlight int       // requests that the balancer has open there
	Served   int64     // requests that ended there, by all processes of this child
}

// New prepares a fleet; nothing runs before Run.
func New(o Options) *Fleet {
	if o.Grace == 0 {
		o.Grace = settings.StopTimeout
	}
	f := &Fleet{o: o, pool: newPool()}
	out := &sync.Mutex{} // one for both streams: they often end on the same terminal
	for _, c := range o.Children {
		f.children = append(f.children, newChild(c, o, f.pool, out))
	}
	f.watchdog = newWatchdog(f.children, o.Log)
	return f
}

// Run serves l and keeps the children running until ctx ends. Then it stops them in the order in which work
// flows, so that nobody is sent work it cannot finish: the balancer, the servers, the workers. It returns nil
// after a clean stop, else an error: a child can never start, or something had to be killed.
func (f *Fleet) Run(ctx context.Context, l net.Listener) error {
	failed := make(chan error, len(f.children)+1)
	b := newBalancer(f.pool, f.o)
	go func() { failed <- b.serve(l) }()
	for _, c := range f.children {
		go func() {
			if err := c.keep(); err != nil {
				failed <- err
			}
		}()
	}
	watching, rest := context.WithCancel(context.Background())
	go f.watchdog.run(watching)
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	rest() // while the fleet stops, c.stop decides what is killed
	f.o.Log.Info("stopping: first the balancer, then servers, then workers")
	return errors.Join(err, f.stop(b))
}

// balancerGrace is how long short requests may take to finish before the servers are told to stop. Long polls
// and uploads outlive it: the servers themselves end them well.
const balancerGrace = time.Second

func (f *Fleet) stop(b *balancer) error {
	drained := b.drain()
	f.within(balancerGrace, drained)
	servers := f.stopAll(true)
	f.within(balancerGrace, drained) // the last answers are on their way to the clients
	b.close()
	return errors.Join(servers, f.stopAll(false))
}

// within waits for done, but no longer than d and not once Kill is closed.
func (f *Fleet) within(d time.Duration, done <-chan struct{}) {
	select {
	case <-done:
	case <-time.After(d):
	case <-f.o.Kill:
	}
}

// stopAll stops all servers, or all workers, side by side.
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

// Kill ends the named child's process as a crash would; the fleet replaces it.
func (f *Fleet) Kill(name string) error {
	for _, c := range f.children {
		if c.Name == name {
			return c.kill()
		}
	}
	return fmt.Errorf("there is no process %q", name)
}

// Snapshot is the state of every child, in the order of Options. It may be called at any time.
func (f *Fleet) Snapshot() []Status {
	var all []Status
	for _, c := range f.children {
		all = append(all, c.status())
	}
	return all
}
