package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"imagery/app/deploy/settings"
)

// cli runs programs in the checkout: pulumi on one stack, and the imagery binary. Each run has a log file.
type cli struct {
	stack, checkout, work string
	operator              []string // variables of the imagery binary, in place of those of pulumi
	runs                  atomic.Int32
}

// interruptTimeout limits the time in which a program must end after an interrupt.
const interruptTimeout = 3 * time.Minute

// process is a program that has been started. It leads a process group of its own.
type process struct {
	cmd  *exec.Cmd
	text bytes.Buffer // of both outputs
	log  string       // path
	file *os.File
}

// start starts a program. When ctx ends, it gets an interrupt.
func (c *cli) start(ctx context.Context, name string, args ...string) (*process, error) {
	what := filepath.Base(name)
	if len(args) > 0 {
		what += "-" + args[0]
	}
	p := &process{log: filepath.Join(c.work, fmt.Sprintf("%03d-%s.log", c.runs.Add(1), what))}
	var err error
	if p.file, err = os.Create(p.log); err != nil {
		return nil, err
	}
	fmt.Fprintf(p.file, "%s  %s %s\n", time.Now().Format(time.TimeOnly), name, strings.Join(args, " "))
	p.cmd = exec.CommandContext(ctx, name, args...)
	p.cmd.Dir = c.checkout
	if name != "pulumi" {
		p.cmd.Env = append(os.Environ(), c.operator...)
	}
	both := io.MultiWriter(&p.text, p.file)
	p.cmd.Stdout, p.cmd.Stderr = both, both
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Cancel = func() error { return p.signal(syscall.SIGINT) }
	p.cmd.WaitDelay = interruptTimeout
	if err := p.cmd.Start(); err != nil {
		p.file.Close()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// signal sends a signal to the program and all that it started.
func (p *process) signal(s syscall.Signal) error { return syscall.Kill(-p.cmd.Process.Pid, s) }

// kill kills the program and all that it started, at once, as the loss of the computer would. Plugins of pulumi have
// process groups of their own, and would go on without it.
func (p *process) kill() error {
	all := descendants(p.cmd.Process.Pid)
	err := p.signal(syscall.SIGKILL)
	for _, pid := range all {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	}
	return err
}

// descendants returns the processes that a process has started, and theirs, where /proc tells it.
func descendants(pid int) (all []int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range files {
		text, _ := os.ReadFile(f) // the thread may have ended
		for _, field := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				all = append(append(all, child), descendants(child)...)
			}
		}
	}
	return all
}

// wait waits for the end, and returns what the program printed. The error has the last lines.
func (p *process) wait() (string, error) {
	err := p.cmd.Wait()
	p.file.Close()
	if err != nil {
		return p.text.String(), fmt.Errorf("%s: %w, see %s: %s", strings.Join(p.cmd.Args, " "), err, p.log,
			tail(p.text.String()))
	}
	return p.text.String(), nil
}

// told is the number of lines of an output in an error.
const told = 6

// tail returns what an output says from its first line that begins with "error:" to an empty line: Pulumi's diagnostics
// of one resource, with the console of an instance if a rollout failed. Without such a line it returns the last lines.
func tail(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(strings.TrimSpace(l), "error: ") })
	if at < 0 {
		return strings.Join(lines[max(0, len(lines)-told):], "\n")
	}
	lines = lines[at:]
	if end := slices.IndexFunc(lines, func(l string) bool { return strings.TrimSpace(l) == "" }); end >= 0 {
		lines = lines[:end]
	}
	return strings.Join(lines, "\n")
}

// run runs a program to its end.
func (c *cli) run(ctx context.Context, name string, args ...string) (string, error) {
	p, err := c.start(ctx, name, args...)
	if err != nil {
		return "", err
	}
	return p.wait()
}

// configuration is the file with the stack's settings. It is not the usual one, so that the checkout stays as it is.
func (c *cli) configuration() string { return filepath.Join(c.work, "Pulumi.yaml") }

// onStack returns the arguments of a pulumi command that reads the stack's settings.
func (c *cli) onStack(args ...string) []string {
	return append(args, "--stack", c.stack, "--config-file", c.configuration(), "--non-interactive")
}

// pulumi runs a command on the stack.
func (c *cli) pulumi(ctx context.Context, args ...string) (string, error) {
	return c.run(ctx, "pulumi", c.onStack(args...)...)
}

// changes are the flags of commands that change resources.
var changes = []string{"--yes", "--skip-preview", "--suppress-progress"}

// up brings the stack to its settings.
func (c *cli) up(ctx context.Context) (string, error) {
	return c.pulumi(ctx, append([]string{"up"}, changes...)...)
}

// set changes a setting of the stack. The next up applies it.
func (c *cli) set(ctx context.Context, key, value string) error {
	_, err := c.pulumi(ctx, "config", "set", key, value)
	return err
}

// create makes the stack, with the settings of the user's own configuration file, if there is one.
func (c *cli) create(ctx context.Context) error {
	own := filepath.Join(c.checkout, "Pulumi."+settings.ShortStack(c.stack)+".yaml")
	text, err := os.ReadFile(own)
	missing := os.IsNotExist(err)
	if err != nil && !missing {
		return err
	}
	if _, err := c.run(ctx, "pulumi", "stack", "init", c.stack, "--non-interactive"); err != nil {
		return err
	}
	// If secrets have a passphrase, `stack init` writes into the file.
	if err := os.Remove(own); err != nil && !os.IsNotExist(err) {
		return err
	}
	if !missing {
		if err := os.WriteFile(own, text, 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(c.configuration(), text, 0o600)
}

// read runs a pulumi command that only reads, and returns what it prints without warnings.
func (c *cli) read(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "pulumi", append(args, "--stack", c.stack, "--non-interactive")...)
	cmd.Dir = c.checkout
	var said bytes.Buffer
	cmd.Stderr = &said
	text, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, tail(said.String()))
	}
	return string(text), nil
}

// outputs are those of the stack that scenes use.
type outputs struct {
	URL            string              `json:"url"`
	ImagesBucket   string              `json:"imagesBucket"`
	Release        string              `json:"release"`
	Table          string              `json:"table"`
	QueueURL       string              `json:"queueUrl"`
	DLQURL         string              `json:"dlqUrl"`
	ServerGroup    string              `json:"serverGroup"`
	WorkerGroup    string              `json:"workerGroup"`
	GuardAlarms    map[string][]string `json:"guardAlarms"`
	AlarmTopic     string              `json:"alarmTopic"`
	Region         string              `json:"region"`
	AZs            []string            `json:"azs"`
	MonthlyCostUSD struct {
		Total float64 `json:"total"`
	} `json:"monthlyCostUsd"`
}

// outputs reads the outputs of the stack, and whether it exists.
func (c *cli) outputs(ctx context.Context) (o outputs, exists bool, err error) {
	text, err := c.read(ctx, "stack", "output", "--json")
	if err != nil {
		if strings.Contains(err.Error(), "no stack named") {
			err = nil
		}
		return o, false, err
	}
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return o, true, fmt.Errorf("read the outputs of stack %s: %w", c.stack, err)
	}
	return o, true, nil
}

// unlock takes the lock of an update that was killed from the stack.
func (c *cli) unlock(ctx context.Context) error {
	_, err := c.run(ctx, "pulumi", "cancel", "--yes", "--stack", c.stack, "--non-interactive")
	return err
}

// remove destroys the stack's resources and forgets it.
func (c *cli) remove(ctx context.Context) error {
	_, err := c.pulumi(ctx, append([]string{"destroy"}, changes...)...)
	if err != nil {
		return err
	}
	_, err = c.run(ctx, "pulumi", "stack", "rm", c.stack, "--yes", "--preserve-config", "--non-interactive")
	return err
}
