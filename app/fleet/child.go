package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"imagery/app/deploy/settings"
)

const (
	// startAttempts bounds the exits of a child that has never listened: nothing but a restart of the whole
	// fleet with other settings will help it.
	startAttempts = 5
	// exitUsage is the exit code of bad usage, but also of a Go panic.
	exitUsage = 2
	// outputDelay is how long a dead process's output may be held open by somebody else.
	outputDelay = time.Second
	// killDelay is how long the kernel may take to end a killed process.
	killDelay = 5 * time.Second
)

// child keeps one process running. One goroutine runs keep; everything else may be called from any.
type child struct {
	Child
	o        Options
	pool     *pool
	target   *target
	out      *sync.Mutex   // held while a line is written
	stopping chan struct{} // closed by stop
	done     chan struct{} // closed when the last process has ended

	mu       sync.Mutex
	process  *os.Process // nil while none runs
	addr     string      // where it listens, empty before that and once it is being killed
	started  time.Time
	starts   int
	listened bool // any process of this child ever did
}

// exit is how one process ended, or why it did not begin.
type exit struct {
	err     error         // nil: exit code 0
	own     bool          // it ended itself, no signal did
	code    int           // of an own exit
	healthy time.Duration // from listening to its end
	line    string        // the last one of its standard error
}

func newChild(c Child, o Options, p *pool, out *sync.Mutex) *child {
	return &child{Child: c, o: o, pool: p, target: p.add(c.Server), out: out,
		stopping: make(chan struct{}), done: make(chan struct{})}
}

// keep starts the process, and starts it again whenever it ends, however it ended, until stop is called. An
// error says that the child can never start; then nobody tries again.
func (c *child) keep() error {
	defer close(c.done)
	var wait backoff
	for attempt := 1; ; attempt++ {
		end := c.run()
		if c.isStopping() {
			return nil
		}
		if err := c.hopeless(end, attempt); err != nil {
			return err
		}
		delay := wait.next(end.healthy)
		c.o.Log.Warn("child ended", "name", c.Name, "status", describe(end.err), "again_in", delay.Round(time.Millisecond))
		select {
		case <-time.After(delay):
		case <-c.stopping:
			return nil
		}
	}
}

// hopeless tells a child that cannot start from one that dies. A child that has listened once has the right
// settings: from then on exit code 2 is a panic, and a table that is away is a bad moment. What a signal ended
// was not its own decision.
func (c *child) hopeless(end exit, attempt int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.listened || !end.own:
		return nil
	case end.code == exitUsage || attempt >= startAttempts:
		why := describe(end.err)
		if end.line != "" {
			why += ": " + end.line
		}
		return fmt.Errorf("start %s: %s", c.Name, why)
	}
	return nil
}

// run starts one process and waits for its end. While it lives its lines are passed on, and one of them tells
// where it listens: port 0 leaves the choice to the kernel, so two fleets never fight for a port.
func (c *child) run() exit {
	alive, ended := context.WithCancel(context.Background()) // not the fleet's: while it drains, probes go on
	defer ended()
	var up time.Time
	cmd := exec.Command(c.o.Exe, c.Args...)
	cmd.Env = append(append(os.Environ(), c.Env...), parentEnv+"="+parentStdin)
	cmd.SysProcAttr = ownGroup()
	cmd.WaitDelay = outputDelay
	stderr := &lines{mu: c.out, to: c.o.Stderr, name: c.Name}
	stdout := &lines{mu: c.out, to: c.o.Stdout, name: c.Name, seen: func(line string) {
		// Only the first such line counts: what a process logs later may quote anything.
		if addr, ok := listeningOn(line); ok && up.IsZero() {
			up = time.Now()
			c.isUp(alive, addr)
		}
	}}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := c.start(cmd); err != nil {
		return exit{err: err, own: true}
	}
	err := cmd.Wait() // also for the rest of the output; without it a zombie would stay
	stdout.flush()
	stderr.flush()
	end := exit{err: err, own: cmd.ProcessState.Exited(), code: cmd.ProcessState.ExitCode(), line: stderr.last}
	if !up.IsZero() {
		end.healthy = time.Since(up)
	}
	c.mu.Lock()
	c.process, c.addr = nil, ""
	c.mu.Unlock()
	c.pool.gone(c.target)
	return end
}

var errStopping = errors.New("the fleet is stopping")

// start starts cmd unless stop was called: a process that stop does not see would outlive it.
func (c *child) start(cmd *exec.Cmd) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isStopping() {
		return errStopping
	}
	// The write end stays open as long as this process lives; Wait closes it.
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

// isUp begins to route to the process, if it is a server, and to ask for its readiness: at once, not at the
// next tick, for a request may be waiting.
func (c *child) isUp(alive context.Context, addr string) {
	c.mu.Lock()
	c.listened, c.addr = true, addr
	c.mu.Unlock()
	c.pool.listening(c.target, addr)
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

// stop asks the process to end, and kills it when its time is over or the user's patience is. It returns when
// the process is gone, and after a kill never later than killDelay. It must be called once.
func (c *child) stop() error {
	c.mu.Lock()
	close(c.stopping)
	process := c.process // the last one: start looks at stopping under the same lock
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
		return fmt.Errorf("%w, and still runs", err)
	}
}

// kill ends the process at once.
func (c *child) kill() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.killLocked()
}

// killFrozen ends the given process, unless it has ended by itself or is to end anyway.
func (c *child) killFrozen(process *os.Process) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process != process || c.addr == "" || c.isStopping() {
		return fmt.Errorf("%s ends without it", c.Name)
	}
	return c.killLocked()
}

func (c *child) killLocked() error {
	if c.process == nil {
		return fmt.Errorf("%s does not run just now", c.Name)
	}
	if err := c.process.Kill(); err != nil {
		return fmt.Errorf("kill %s: %w", c.Name, err)
	}
	c.addr = ""
	return nil
}

// living returns the process and its address while it listens, nil when there is none or it is to end.
func (c *child) living() (*os.Process, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.addr == "" || c.isStopping() {
		return nil, ""
	}
	return c.process, c.addr
}

// status puts together what the process and its connections say; the two are not one instant.
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

func describe(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}
