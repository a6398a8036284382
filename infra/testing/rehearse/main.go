// Command rehearse runs a real `pulumi up` of this checkout without an AWS account, and ends with a URL that works.
// Pulumi and its AWS provider talk to moto; the Auto Scaling groups that they create are run by the simulator of
// package asgsim, on machines of package nspawn behind HAProxy. scripts/rehearse runs it.
//
// The process starts itself again in namespaces of its own. When the first process ends, for any reason, all machines,
// mounts and links end with it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// factor divides the durations of hooks, health checks, drains and warm-ups.
const factor = 10

// acceptanceLate delays policies in an acceptance run until after the first instances have booted.
const acceptanceLate = time.Minute

type options struct {
	port       int
	root, work string
	keep       bool
	acceptance bool
	scenes     []string // arguments of scripts/acceptance
	late       time.Duration
}

func main() { os.Exit(run()) }

func run() (code int) {
	var o options
	flag.IntVar(&o.port, "port", 8080, "port of the URL on 127.0.0.1")
	flag.StringVar(&o.root, "root", "", "root folder of the machines")
	flag.StringVar(&o.work, "work", "", "scratch folder, removed at the end")
	flag.BoolVar(&o.keep, "keep", false, "keep the service running until Ctrl-C")
	flag.BoolVar(&o.acceptance, "acceptance", false, "run scripts/acceptance, which makes the stack, with the arguments")
	flag.DurationVar(&o.late, "late-rights", 0, "time until a policy that a role gets counts")
	inside := flag.Bool("inside", false, "this process has namespaces of its own")
	flag.Parse()
	o.scenes = flag.Args()
	if o.acceptance && o.late == 0 {
		o.late = acceptanceLate
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	do := outside
	if *inside {
		do = rehearse
	} else {
		defer os.RemoveAll(o.work)
	}
	err := do(ctx, o)
	exit := (*exec.ExitError)(nil)
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && (o.acceptance || !*inside): // the other process has said why
		return max(1, exit.ExitCode())
	}
	fmt.Fprintln(os.Stderr, "rehearse:", err)
	return 1
}

// link is the pair of interfaces that joins this machine with the network of the rehearsal.
const (
	outerAddress, innerAddress = "10.98.0.1", "10.98.0.2"
	outerLink, innerLink       = "rehearse0", "rehearse1"
)

// outside starts the rehearsal in its namespaces, joins its network with that of this machine, and forwards the port.
func outside(ctx context.Context, o options) error {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", o.port))
	if err != nil {
		return fmt.Errorf("listen for browsers; --port chooses another port: %w", err)
	}
	defer l.Close()
	child := exec.Command("/proc/self/exe", append([]string{"-inside"}, os.Args[1:]...)...)
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	ready, err := child.StdinPipe() // closed when the link is up
	if err != nil {
		return err
	}
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true,
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	if err := child.Start(); err != nil {
		return fmt.Errorf("start in namespaces of its own: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	defer func() { _ = child.Process.Kill() }() // it may have ended
	if err := join(child.Process.Pid); err != nil {
		return err
	}
	ready.Close()
	go forward(l, "10.99.0.1:80")
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	_ = child.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-ended:
		return err
	case <-time.After(30 * time.Second):
		return fmt.Errorf("the rehearsal did not stop within 30 s and was killed")
	}
}

// join gives this machine a link to the network namespace of a process.
func join(pid int) error {
	_ = exec.Command("ip", "link", "del", outerLink).Run() // one that a killed rehearsal left
	for _, s := range []string{
		fmt.Sprintf("link add %s type veth peer name %s netns %d", outerLink, innerLink, pid),
		"addr add " + outerAddress + "/30 dev " + outerLink, "link set " + outerLink + " up",
		"route replace 10.99.0.0/16 via " + innerAddress,
	} {
		if err := ip(s); err != nil {
			return err
		}
	}
	return nil
}

// ip runs one command of iproute2.
func ip(command string) error {
	if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", command, err, out)
	}
	return nil
}

// forward copies connections of l to an address.
func forward(l net.Listener, to string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // closed
		}
		go func() {
			defer c.Close()
			d, err := net.DialTimeout("tcp", to, 5*time.Second)
			if err != nil {
				return
			}
			defer d.Close()
			go func() { _, _ = io.Copy(d, c); _ = d.(*net.TCPConn).CloseWrite() }()
			_, _ = io.Copy(c, d)
		}()
	}
}

// hosts is a copy of /etc/hosts, mounted over it in this namespace.
type hosts struct{ path string }

func newHosts(dir string) (*hosts, error) {
	h := &hosts{filepath.Join(dir, "hosts")}
	text, err := os.ReadFile("/etc/hosts")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(h.path, text, 0o644); err != nil {
		return nil, err
	}
	if err := syscall.Mount(h.path, "/etc/hosts", "", syscall.MS_BIND, ""); err != nil {
		return nil, fmt.Errorf("mount /etc/hosts: %w", err)
	}
	return h, nil
}

// add gives a name an address.
func (h *hosts) add(address, name string) error {
	f, err := os.OpenFile(h.path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("add a name to /etc/hosts: %w", err)
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "%s %s\n", address, name); err != nil {
		return fmt.Errorf("add a name to /etc/hosts: %w", err)
	}
	return nil
}
