// Package process starts the built binary, follows its log and ends it. The benchmark uses it.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// stopTimeout bounds a clean shutdown.
const stopTimeout = 40 * time.Second

// Process is one run of the binary.
type Process struct {
	URL string // address that it listens on

	cmd   *exec.Cmd
	log   *processLog
	ended chan struct{} // closed when the process has ended; the fields below are valid then

	EndedAt time.Time
	Err     error // of exec.Cmd.Wait
}

// Command says what to start.
type Command struct {
	Exe  string
	Args []string
	Env  []string // added to the environment of this process
	// MaxLog limits the bytes of the output that are kept, from its beginning. 0 keeps everything.
	MaxLog int
}

// Start starts a process and waits until it listens.
func (c Command) Start(ctx context.Context) (*Process, error) {
	p := &Process{cmd: exec.CommandContext(ctx, c.Exe, c.Args...), ended: make(chan struct{}),
		log: &processLog{limit: c.MaxLog, changed: make(chan struct{})}}
	p.cmd.Env = append(os.Environ(), c.Env...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %v: %w", c.Args, err)
	}
	go func() {
		p.Err = p.cmd.Wait()
		p.EndedAt = time.Now()
		close(p.ended)
	}()
	found, err := p.AwaitLine(ctx, `(?m)^listening on (http://\S+)$`)
	if err != nil {
		p.Kill()
		return nil, fmt.Errorf("start %v: %w", c.Args, err)
	}
	p.URL = found[1]
	return p, nil
}

// Done returns a channel that is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.ended }

// PID returns the id of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// AwaitLine waits until the log has a line that matches the pattern, and returns the groups of the last match.
func (p *Process) AwaitLine(ctx context.Context, pattern string) ([]string, error) {
	re := regexp.MustCompile(pattern)
	for ended := false; ; {
		found, changed := p.log.find(re)
		if found != nil {
			return found, nil
		}
		if ended {
			return nil, fmt.Errorf("the process ended without a line %q: %w\n%s", pattern, p.Err, p.log.tail())
		}
		select {
		case <-changed:
		case <-p.ended:
			ended = true // search once more: the last lines may have been written meanwhile
		case <-ctx.Done():
			return nil, fmt.Errorf("no line %q: %w\n%s", pattern, ctx.Err(), p.log.tail())
		}
	}
}

// ChildPID returns the process id of a child of a fleet, after restarts of the latest one.
func (p *Process) ChildPID(ctx context.Context, name string) (int, error) {
	found, err := p.AwaitLine(ctx, `"child started".*"name":"`+name+`","pid":(\d+)`)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(found[1])
}

// Wait waits until the process has ended.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the process does not end: %w\n%s", ctx.Err(), p.log.tail())
	}
}

// Killed reports whether SIGKILL ended the process.
func (p *Process) Killed() bool {
	exit := (*exec.ExitError)(nil)
	if !errors.As(p.Err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// Stop sends SIGTERM and waits for a clean exit. A process that has already ended is no error: the caller may have
// killed it.
func (p *Process) Stop(ctx context.Context) error {
	select {
	case <-p.ended:
		return nil
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	if err := p.Wait(ctx); err != nil {
		return err
	}
	if p.Err != nil {
		return fmt.Errorf("a clean stop ended with %w\n%s", p.Err, p.log.tail())
	}
	return nil
}

// Kill sends SIGKILL and waits until the process has ended.
func (p *Process) Kill() {
	p.cmd.Process.Kill() // an error means that it has ended already
	<-p.ended
}

// processLog keeps the output of a process.
type processLog struct {
	limit int

	mu      sync.Mutex
	text    []byte
	changed chan struct{} // closed and replaced with every write
}

func (l *processLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limit == 0 || len(l.text) < l.limit {
		l.text = append(l.text, b...)
		close(l.changed)
		l.changed = make(chan struct{})
	}
	return len(b), nil
}

// find returns the groups of the last match, or a channel that is closed with the next write.
func (l *processLog) find(re *regexp.Regexp) (groups []string, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := re.FindAllSubmatch(l.text, -1)
	if len(all) == 0 {
		return nil, l.changed
	}
	for _, g := range all[len(all)-1] {
		groups = append(groups, string(g))
	}
	return groups, nil
}

// tail returns the end of the log, for error messages.
func (l *processLog) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text[max(0, len(l.text)-2000):])
}
