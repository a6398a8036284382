package fleet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"time"

	"imagery/app/deploy/settings"
)

const (
	// startAttempts limits the starts of a child that has never listened: it needs other settings, and so a restart of
	// the fleet.
	startAttempts = 5
	// exitUsage is the exit code after bad usage, but also after a Go panic.
	exitUsage = 2
	// outputDelay limits how long a grandchild may keep the output of a dead process open.
	outputDelay = time.Second
	// killDelay limits the time until a killed process has ended.
	killDelay = 5 * time.Second
)

// child keeps one process running. One goroutine runs supervise; all other methods are safe for concurrent use.
type child struct {
	Child
	o        Options
	pool     *pool
	target   *target
	out      *sync.Mutex   // locked while a line is written
	stopping chan struct{} // closed by stop
	done     chan struct{} // closed when the last process has ended

	mu       sync.Mutex
	process  *os.Process // nil while none runs
	addr     string      // where it listens; empty before that and after a kill
	started  time.Time
	starts   int
	listened bool // at least one process of this child has listened
}

// exit describes how a process ended, or why it did not start.
type exit struct {
	err     error         // nil: exit code 0
	code    int           // -1 after a signal
	healthy time.Duration // from listening to the exit
	line    string        // last line of standard error
}

// supervise starts the process, and starts it again after each exit, until stop is called. It returns an error if the
// child cannot start at all.
func (c *child) supervise() error {
	defer close(c.done)
	var delays backoff
	for attempt := 1; ; attempt++ {
		end := c.run()
		if c.isStopping() {
			return nil
		}
		if err := c.permanentStartFailure(end, attempt); err != nil {
			return err
		}
		delay := delays.next(end.healthy)
		c.o.Log.Warn("child ended", "name", c.Name, "status", exitStatus(end.err), "again_in", delay.Round(time.Millisecond))
		select {
		case <-time.After(delay):
		case <-c.stopping:
			return nil
		}
	}
}

// permanentStartFailure returns an error if the child will never start. A child that has listened once has valid
// settings: from then on exit code 2 is a panic, and an unavailable table is a transient error. A process that was
// ended by a signal did not fail by itself.
func (c *child) permanentStartFailure(end exit, attempt int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.listened || end.code < 0:
		return nil
	case end.code == exitUsage || attempt >= startAttempts:
		why := exitStatus(end.err)
		if end.line != "" {
			why += ": " + end.line
		}
		return fmt.Errorf("start %s: %s", c.Name, why)
	}
	return nil
}

// run starts one process, forwards its output, and waits until it exits. The process prints its address: it listens on
// port 0, so that two fleets never compete for a port.
func (c *child) run() exit {
	alive, ended := context.WithCancel(context.Background()) // not of the fleet: probes continue while it drains
	defer ended()
	var up time.Time
	cmd := exec.Command(c.o.Exe, c.Args...)
	cmd.Env = append(append(os.Environ(), c.Env...), parentEnv+"="+parentStdin)
	cmd.SysProcAttr = ownGroup()
	cmd.WaitDelay = outputDelay
	stderr := &linePrefixer{mu: c.out, to: c.o.Stderr, name: c.Name}
	stdout := &linePrefixer{mu: c.out, to: c.o.Stdout, name: c.Name, onLine: func(line string) {
		// Only the first such line counts: a later log line may contain the same text.
		if addr, ok := listeningOn(line); ok && up.IsZero() {
			up = time.Now()
			c.onListening(alive, addr)
		}
	}}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := c.start(cmd); err != nil {
		return exit{err: err}
	}
	err := cmd.Wait() // also waits for the rest of the output, and reaps the process
	stdout.flush()
	stderr.flush()
	end := exit{err: err, code: cmd.ProcessState.ExitCode(), line: stderr.last}
	if !up.IsZero() {
		end.healthy = time.Since(up)
	}
	c.mu.Lock()
	c.process, c.addr = nil, ""
	c.mu.Unlock()
	c.pool.setAddress(c.target, "")
	return end
}

var errStopping = errors.New("the fleet is stopping")

// start starts cmd unless stop was called. The lock ensures that stop sees every process that was started.
func (c *child) start(cmd *exec.Cmd) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isStopping() {
		return errStopping
	}
	// The write end stays open until this process ends or Wait closes it; see WatchParent.
	if _, err := cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.process, c.started = cmd.Process, time.Now()
	c.starts++
	c.o.Log.Info("child started", "name", c.Name, "pid", cmd.Process.Pid)
	return nil
}

// onListening adds the process to the pool and starts its readiness probes at once, because a request may be waiting.
func (c *child) onListening(alive context.Context, addr string) {
	c.mu.Lock()
	c.listened, c.addr = true, addr
	c.mu.Unlock()
	c.pool.setAddress(c.target, addr)
	go c.probe(alive, addr)
}

func (c *child) isStopping() bool {
	select {
	case <-c.stopping:
		return true
	default:
		return false
	}
}

// stop terminates the process, and kills it after Options.Grace or once Options.Kill is closed. It returns when the
// process has ended, but at most killDelay after a kill. It must be called once.
func (c *child) stop() error {
	c.mu.Lock()
	close(c.stopping)
	process := c.process // no other will start: start checks stopping under the same lock
	c.mu.Unlock()
	if process != nil {
		terminate(process) // an error means that it has ended
	}
	var err error
	select {
	case <-c.done:
		return nil
	case <-time.After(c.o.Grace):
		err = fmt.Errorf("kill %s: it did not stop within %s", c.Name, c.o.Grace)
	case <-c.o.Kill:
		err = fmt.Errorf("kill %s: it was still stopping", c.Name)
	}
	if process != nil {
		process.Kill() // an error means that it has ended
	}
	select {
	case <-c.done:
		return err
	case <-time.After(killDelay):
		return fmt.Errorf("%w, and it still runs", err)
	}
}

// kill kills the process.
func (c *child) kill() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.killLocked()
}

// killFrozen kills the given process, unless it has already ended or is being stopped.
func (c *child) killFrozen(process *os.Process) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process != process || c.addr == "" || c.isStopping() {
		return fmt.Errorf("%s has ended or is being stopped", c.Name)
	}
	return c.killLocked()
}

func (c *child) killLocked() error {
	if c.process == nil {
		return fmt.Errorf("%s is not running", c.Name)
	}
	if err := c.process.Kill(); err != nil {
		return fmt.Errorf("kill %s: %w", c.Name, err)
	}
	c.addr = ""
	return nil
}

// listeningProcess returns the process and its address, or nil if none listens or it is being stopped.
func (c *child) listeningProcess() (*os.Process, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.addr == "" || c.isStopping() {
		return nil, ""
	}
	return c.process, c.addr
}

// status returns the state of the child. The process and its connections are read one after the other.
func (c *child) status() Status {
	s := Status{Name: c.Name, Role: settings.Worker}
	if c.Server {
		s.Role = settings.Server
	}
	c.pool.describe(c.target, &s)
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Restarts = max(0, c.starts-1)
	if c.process != nil {
		s.PID, s.Started = c.process.Pid, c.started
	}
	return s
}

func exitStatus(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// backoff computes the delay before a child is started again: 100 ms to 5 s, doubled after each early exit.
type backoff struct{ last time.Duration }

const (
	backoffFirst = 200 * time.Millisecond // jitter takes off up to a half
	backoffMax   = 5 * time.Second
	healthyAfter = 10 * time.Second
)

// next returns the delay after a process that listened for this long. Jitter keeps children that exited together from
// starting together.
func (b *backoff) next(healthy time.Duration) time.Duration {
	if healthy >= healthyAfter {
		b.last = 0
	}
	b.last = min(max(2*b.last, backoffFirst), backoffMax)
	return b.last - rand.N(b.last/2)
}
