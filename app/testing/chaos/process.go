package main

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

// stopTimeout bounds a clean shutdown; processes work on small photos only.
const stopTimeout = 40 * time.Second

// process is one run of the binary: a fleet, or a server or worker beside one.
type process struct {
	cmd   *exec.Cmd
	url   string
	log   *processLog
	ended chan struct{} // closed when the process has ended; the fields below are valid then

	endedAt time.Time
	err     error // of Wait
}

// launch starts the binary and waits until it listens.
func launch(ctx context.Context, exe string, env []string, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, exe, args...), log: newProcessLog(), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %v: %w", args, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		p.endedAt = time.Now()
		close(p.ended)
	}()
	found, err := p.awaitLine(ctx, `(?m)^listening on (http://\S+)$`)
	if err != nil {
		p.kill()
		return nil, fmt.Errorf("start %v: %w", args, err)
	}
	p.url = found[1]
	return p, nil
}

// awaitLine waits until the log has a line that matches the pattern, and returns the groups of the last match.
func (p *process) awaitLine(ctx context.Context, pattern string) ([]string, error) {
	re := regexp.MustCompile(pattern)
	for ended := false; ; {
		found, changed := p.log.find(re)
		if found != nil {
			return found, nil
		}
		if ended {
			return nil, fmt.Errorf("the process ended without a line %q: %w\n%s", pattern, p.err, p.log.tail())
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

// childPID returns the process id of a child of the fleet, after restarts of the latest one.
func (p *process) childPID(ctx context.Context, name string) (int, error) {
	found, err := p.awaitLine(ctx, `"child started".*"name":"`+name+`","pid":(\d+)`)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(found[1])
}

// wait waits until the process has ended.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the process does not end: %w\n%s", ctx.Err(), p.log.tail())
	}
}

// killed reports whether SIGKILL ended the process.
func (p *process) killed() bool {
	exit := (*exec.ExitError)(nil)
	if !errors.As(p.err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// stop sends SIGTERM and waits for a clean exit. A process that has already ended is no error: a fault ended it.
func (p *process) stop(ctx context.Context) error {
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
	if err := p.wait(ctx); err != nil {
		return err
	}
	if p.err != nil {
		return fmt.Errorf("a clean stop ended with %w\n%s", p.err, p.log.tail())
	}
	return nil
}

// kill sends SIGKILL and waits until the process has ended.
func (p *process) kill() {
	p.cmd.Process.Kill() // an error means that it has ended already
	<-p.ended
}

// processLog keeps the output of a process.
type processLog struct {
	mu      sync.Mutex
	text    []byte
	changed chan struct{} // closed and replaced with every write
}

func newProcessLog() *processLog { return &processLog{changed: make(chan struct{})} }

func (l *processLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	close(l.changed)
	l.changed = make(chan struct{})
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
