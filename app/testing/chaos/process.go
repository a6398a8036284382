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

// stopBound is how long a process may take to end cleanly; it is at work on small photos only.
const stopBound = 40 * time.Second

// process is one run of the binary: a fleet, or a server or worker beside one.
type process struct {
	cmd   *exec.Cmd
	url   string
	log   *logbook
	ended chan struct{} // closed when it is gone, and then:
	at    time.Time     // when
	err   error         // how
}

// launch starts the binary and waits until it listens.
func launch(ctx context.Context, exe string, env []string, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, exe, args...), log: newLogbook(), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %v: %w", args, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		p.at = time.Now()
		close(p.ended)
	}()
	found, err := p.await(ctx, `(?m)^listening on (http://\S+)$`)
	if err != nil {
		p.kill()
		return nil, fmt.Errorf("start %v: %w", args, err)
	}
	p.url = found[1]
	return p, nil
}

// await waits until the log has a line of that form, and returns its groups. The last such line counts.
func (p *process) await(ctx context.Context, form string) ([]string, error) {
	re := regexp.MustCompile(form)
	for last := false; ; {
		found, changed := p.log.find(re)
		if found != nil {
			return found, nil
		}
		if last {
			return nil, fmt.Errorf("the process ended without a line %q: %w\n%s", form, p.err, p.log.tail())
		}
		select {
		case <-changed:
		case <-p.ended:
			last = true // one more look: its last words may have come meanwhile
		case <-ctx.Done():
			return nil, fmt.Errorf("no line %q: %w\n%s", form, ctx.Err(), p.log.tail())
		}
	}
}

// child is the pid of the present process of one of a fleet's children.
func (p *process) child(ctx context.Context, name string) (int, error) {
	found, err := p.await(ctx, `"child started".*"name":"`+name+`","pid":(\d+)`)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(found[1])
}

// end waits until the process is gone.
func (p *process) end(ctx context.Context) error {
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the process does not end: %w\n%s", ctx.Err(), p.log.tail())
	}
}

// killed reports whether SIGKILL ended it.
func (p *process) killed() bool {
	exit := (*exec.ExitError)(nil)
	if !errors.As(p.err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// stop ends the process cleanly. One that is gone already is no error: the attack knows why.
func (p *process) stop(ctx context.Context) error {
	select {
	case <-p.ended:
		return nil
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, stopBound)
	defer cancel()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	if err := p.end(ctx); err != nil {
		return err
	}
	if p.err != nil {
		return fmt.Errorf("a clean stop ended with %w\n%s", p.err, p.log.tail())
	}
	return nil
}

// kill ends the process at once and waits until it is gone.
func (p *process) kill() {
	p.cmd.Process.Kill() // an error means that it is gone
	<-p.ended
}

// logbook keeps what a process writes.
type logbook struct {
	mu      sync.Mutex
	text    []byte
	changed chan struct{} // closed and replaced with every write
}

func newLogbook() *logbook { return &logbook{changed: make(chan struct{})} }

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	close(l.changed)
	l.changed = make(chan struct{})
	return len(b), nil
}

// find returns the groups of the last match, or a channel that tells when to look again.
func (l *logbook) find(re *regexp.Regexp) (groups []string, changed <-chan struct{}) {
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

// tail is the end of the log, for messages.
func (l *logbook) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text[max(0, len(l.text)-2000):])
}
