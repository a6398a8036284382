// Package nspawn starts real machines for tests: Debian with systemd in systemd-nspawn, one bridge for each zone,
// instance metadata on the address that AWS uses, HAProxy as the load balancer, and alarms over what the services
// write into their logs. It is a driver of the simulator of Auto Scaling. It changes addresses and links, so it must run
// in a network namespace of its own.
package nspawn

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"imagery/infra/testing/asgsim"
)

// Address is the host's, for whatever stands in for AWS.
const Address = "10.99.0.1"

// metadata is where every instance asks for its own.
const metadata = "169.254.169.254"

//go:embed aws.sh
var awsCLI []byte

// Options of a host.
type Options struct {
	Dir      string // scratch, for as long as the machines live
	Root     string // a Debian root folder, which stays as it is
	Zones    []string
	Check    Check
	UserData func(asgsim.Machine) string
	// Environment of every service of a machine, as a private network's DNS would be: where AWS is.
	Environment []string
	// Role names the credentials that a machine of a group gets from its metadata.
	Role func(group string) string
	Log  func(format string, args ...any)
	// Files are put into every machine, by their paths there; they are executable.
	Files map[string]string
	// CPU bounds each machine to this share of one core, until FullSpeed; 0: no bound.
	CPU float64
}

// Host runs machines. Make it with New and end it with Close.
type Host struct {
	Options
	Simulator *asgsim.Simulator // whose metadata the machines read; set before the first start
	proxy     *proxy
	server    *http.Server
	cgroups   string // folder that holds one for each machine

	mu       sync.Mutex
	machines map[string]*machine
	next     int
}

type machine struct {
	asgsim.Machine
	address string
	cmd     *exec.Cmd
	off     chan struct{}
	slot    string // of the balancer
	healthy bool   // was, once
	since   time.Time
}

// New makes the network and the balancer.
func New(o Options) (*Host, error) {
	h := &Host{Options: o, machines: map[string]*machine{}}
	if err := network(len(o.Zones)); err != nil {
		return nil, err
	}
	var err error
	if h.cgroups, err = ownCgroup(); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(o.Dir, "aws"), awsCLI, 0o755); err != nil {
		return nil, fmt.Errorf("write the AWS CLI: %w", err)
	}
	l, err := net.Listen("tcp", metadata+":80")
	if err != nil {
		return nil, fmt.Errorf("listen for instance metadata: %w", err)
	}
	h.server = &http.Server{Handler: http.HandlerFunc(h.serveMetadata)}
	go func() { _ = h.server.Serve(l) }() // until Close
	if h.proxy, err = startProxy(o.Dir, o.Check); err != nil {
		return nil, err
	}
	return h, nil
}

// Close takes the power of all machines.
func (h *Host) Close() {
	h.mu.Lock()
	all := make([]string, 0, len(h.machines))
	for id := range h.machines {
		all = append(all, id)
	}
	h.mu.Unlock()
	for _, id := range all {
		h.PowerOff(id)
	}
	h.server.Close()
	h.proxy.close()
}

// The unit runs user-data when the network is up, as cloud-init does.
const unitText = `[Unit]
Description=user-data
Wants=network-online.target systemd-networkd-wait-online.service
After=network-online.target
[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStart=/bin/bash /user-data
`

// failure begins the reason that a boot gives on the console.
const failure = "IMAGERY BOOT FAILED: "

// Start boots a machine.
func (h *Host) Start(_ context.Context, of asgsim.Machine) error {
	h.mu.Lock()
	h.next++
	number := h.next
	h.mu.Unlock()
	zone := max(0, slices.Index(h.Zones, of.Zone))
	m := &machine{Machine: of, address: fmt.Sprintf("10.99.%d.%d", zone+1, number+10), off: make(chan struct{})}
	if err := h.prepare(m, zone); err != nil {
		return fmt.Errorf("prepare machine %s: %w", of.ID, err)
	}
	group, err := h.newCgroup(of.ID)
	if err != nil {
		return fmt.Errorf("prepare machine %s: %w", of.ID, err)
	}
	defer group.Close()
	console, err := os.Create(filepath.Join(h.Dir, of.ID, "console"))
	if err != nil {
		return fmt.Errorf("prepare machine %s: %w", of.ID, err)
	}
	defer console.Close()
	m.cmd = h.command(m, number, zone)
	m.cmd.Stdout, m.cmd.Stderr = console, console
	m.cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(group.Fd())}
	if err := h.powerOn(m); err != nil {
		return fmt.Errorf("start machine %s: %w", of.ID, err)
	}
	go func() {
		_ = m.cmd.Wait() // a machine that was killed is off, like one that shut down
		close(m.off)
		removeCgroup(group.Name())
		_ = os.Remove(h.cpuGroup(of.ID)) // there is none without a bound
		if _, why, failed := strings.Cut(h.Console(of.ID), failure); failed {
			why, _, _ = strings.Cut(why, "\n")
			h.Log("%s %s: %s%s", of.Group, of.ID, failure, strings.TrimSpace(why))
		}
	}()
	return nil
}

// prepare writes what is this machine's own.
func (h *Host) prepare(m *machine, zone int) error {
	dir := filepath.Join(h.Dir, m.ID)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"user-data":     h.UserData(m.Machine),
		"boot.service":  unitText,
		"host0.network": fmt.Sprintf(networkText, m.address, zone+1),
		"aws.conf":      "[Manager]\nDefaultEnvironment=\"" + strings.Join(h.Environment, "\" \"") + "\"\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	for at, text := range h.Files {
		if err := os.WriteFile(filepath.Join(dir, fileName(at)), []byte(text), 0o755); err != nil {
			return err
		}
	}
	if h.CPU > 0 {
		return h.limitCPU(m.ID, h.CPU)
	}
	return nil
}

// fileName is the name on the host of a file that a machine has at a path.
func fileName(at string) string { return strings.ReplaceAll(at, "/", "_") }

// command is the machine's power switch.
func (h *Host) command(m *machine, number, zone int) *exec.Cmd {
	bind := func(name, at string) string {
		return "--bind-ro=" + filepath.Join(h.Dir, m.ID, name) + ":" + at
	}
	args := []string{"-q", "-D", h.Root, "--volatile=overlay",
		"--machine=m" + strconv.Itoa(number), "--network-bridge=" + bridge(zone),
		"--boot", "--register=no", "--keep-unit", "--console=read-only", "--tmpfs=/var/log/imagery:size=32M,mode=0755",
		bind("host0.network", "/etc/systemd/network/10-host0.network"), bind("boot.service", "/etc/systemd/system/boot.service"),
		bind("aws.conf", "/etc/systemd/system.conf.d/10-aws.conf"), bind("user-data", "/user-data"),
		"--bind-ro=" + filepath.Join(h.Dir, "aws") + ":/usr/local/bin/aws",
	}
	for _, at := range slices.Sorted(maps.Keys(h.Files)) {
		args = append(args, bind(fileName(at), at))
	}
	args = append(args, "systemd.wants=boot.service", "systemd.wants=systemd-networkd.service")
	c := exec.Command("systemd-nspawn", args...)
	if h.CPU > 0 {
		// It moves itself there before it starts anything.
		within := []string{"-c", `echo 0 >"$0/cgroup.procs" && exec systemd-nspawn "$@"`, h.cpuGroup(m.ID)}
		c = exec.Command("/bin/sh", append(within, args...)...)
	}
	c.Env = append(os.Environ(), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1")
	return c
}

// powerOn makes a machine known once it has a process, which everybody who knows it may ask for.
func (h *Host) powerOn(m *machine) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := m.cmd.Start(); err != nil {
		return err
	}
	h.machines[m.ID] = m
	return nil
}

func (h *Host) get(id string) *machine {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.machines[id]
}

// Running reports whether the machine has power.
func (h *Host) Running(id string) bool {
	m := h.get(id)
	if m == nil {
		return false
	}
	select {
	case <-m.off:
		return false
	default:
		return true
	}
}

// leader is the machine's process 1 as the host sees it; 0 if there is none. Signals to systemd-nspawn itself would
// leave the machine running.
func (m *machine) leader() int {
	pid := m.cmd.Process.Pid
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid)) // gone is no child
	for _, f := range strings.Fields(string(b)) {
		if n, err := strconv.Atoi(f); err == nil {
			return n
		}
	}
	return 0
}

// stopBound is what a machine may take to shut down; services have their own bounds inside.
const stopBound = 2 * time.Minute

// Stop is the power button: systemd stops every service, and powers off.
func (h *Host) Stop(id string) {
	m := h.get(id)
	if m == nil || !h.Running(id) {
		return
	}
	const rtmin = 34
	if pid := m.leader(); pid > 1 { // one that has just gone has none, and 0 would be this process and its group
		_ = syscall.Kill(pid, syscall.Signal(rtmin+4)) // it may be going already
	}
	select {
	case <-m.off:
	case <-time.After(stopBound):
		h.PowerOff(id)
	}
}

// PowerOff takes the power, and returns when nothing of the machine is left.
func (h *Host) PowerOff(id string) {
	m := h.get(id)
	for h.Running(id) {
		if pid := m.leader(); pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		select {
		case <-m.off:
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Exec runs a command inside a machine and returns what it prints.
func (h *Host) Exec(id string, command ...string) (string, error) {
	m := h.get(id)
	out, err := exec.Command("nsenter", append([]string{"-t", strconv.Itoa(m.leader()), "-a"}, command...)...).CombinedOutput()
	return string(bytes.TrimSpace(out)), err
}

// Console is what the machine wrote on its console.
func (h *Host) Console(id string) string {
	b, _ := os.ReadFile(filepath.Join(h.Dir, id, "console"))
	return string(b)
}

// Address is where a machine is.
func (h *Host) Address(id string) string { return h.get(id).address }

// Leader is the process 1 of a machine as the host sees it; -1 when it has no power.
func (h *Host) Leader(id string) int {
	if pid := h.get(id).leader(); pid > 1 {
		return pid
	}
	return -1
}
