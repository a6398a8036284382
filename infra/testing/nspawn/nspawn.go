// Package nspawn boots real machines for tests: Debian with systemd in systemd-nspawn, one bridge for each zone,
// instance metadata on the address that AWS uses, HAProxy as the load balancer, and the logs of the services. It
// implements asgsim.Driver. It changes addresses and links, so it must run in a network
// namespace of its own.
package nspawn

import (
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
	"sync/atomic"
	"syscall"
	"time"

	"imagery/infra/testing/asgsim"
)

// Address is the host's address, on which tests serve their AWS emulators.
const Address = "10.99.0.1"

// metadata is the address of the instance metadata service.
const metadata = "169.254.169.254"

//go:embed aws.sh
var awsCLI []byte

// Options of a host.
type Options struct {
	Dir      string // scratch directory for the lifetime of the machines
	Root     string // a Debian root directory; it is not modified
	Zones    []string
	Check    Check
	UserData func(asgsim.Machine) string
	// Environment holds variables for every service of a machine: the endpoints of the AWS emulators.
	Environment []string
	// Role returns the IAM role that the metadata service names to machines of a group.
	Role func(group string) string
	Log  func(format string, args ...any)
	// Files are mounted into every machine as executables, keyed by path.
	Files map[string]string
	// CPU limits each machine to this share of one core until FullSpeed is called; 0: no limit.
	CPU float64
}

// Host runs machines. Create it with New and stop it with Close.
type Host struct {
	Options
	Simulator *asgsim.Simulator // source of instance metadata; set before the first Start
	server    *http.Server
	cgroups   string // parent of the machines' cgroups
	started   atomic.Int32

	targets sync.Mutex // held while the targets of the load balancer change; taken before mu

	mu       sync.Mutex
	machines map[string]*machine
	proxy    *proxy // nil: there is no load balancer
	bind     string // address of the load balancer; empty: Address
}

type machine struct {
	asgsim.Machine
	address string
	started time.Time
	cmd     *exec.Cmd
	off     chan struct{}
	slot    string // HAProxy server name
	state   string // of the target: ready or drain; empty: not registered
	healthy bool   // has passed a health check
	since   time.Time
}

// New sets up the network, the metadata service and the load balancer.
func New(o Options) (*Host, error) {
	h := &Host{Options: o, machines: map[string]*machine{}}
	if err := network(len(o.Zones)); err != nil {
		return nil, err
	}
	if err := raiseInotify(); err != nil {
		return nil, fmt.Errorf("raise the limit of inotify instances: %w", err)
	}
	var err error
	if h.cgroups, err = ownCgroup(); err != nil {
		return nil, err
	}
	removeOldCgroups(h.cgroups)
	if err := os.WriteFile(filepath.Join(o.Dir, "aws"), awsCLI, 0o755); err != nil {
		return nil, fmt.Errorf("write the AWS CLI: %w", err)
	}
	l, err := net.Listen("tcp", metadata+":80")
	if err != nil {
		return nil, fmt.Errorf("listen for instance metadata: %w", err)
	}
	h.server = &http.Server{Handler: http.HandlerFunc(h.serveMetadata)}
	go func() { _ = h.server.Serve(l) }() // until Close
	if o.Check.Path == "" {
		return h, nil // until Balance
	}
	return h, h.Balance(80, o.Check)
}

// Close powers off all machines and stops the load balancer.
func (h *Host) Close() {
	h.mu.Lock()
	all := slices.Collect(maps.Keys(h.machines))
	h.mu.Unlock()
	for _, id := range all {
		h.PowerOff(id)
	}
	h.server.Close()
	h.StopBalancer()
}

// unitText runs user-data when the network is up, as cloud-init does.
const unitText = `[Unit]
Description=user-data
Wants=network-online.target systemd-networkd-wait-online.service
After=network-online.target
[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStart=/bin/bash /user-data
`

// failure precedes the reason of a failed boot on the console.
const failure = "IMAGERY BOOT FAILED: "

// Start boots a machine.
func (h *Host) Start(_ context.Context, of asgsim.Machine) error {
	number, zone := int(h.started.Add(1)), max(0, slices.Index(h.Zones, of.Zone))
	m := &machine{Machine: of, address: fmt.Sprintf("10.99.%d.%d", zone+1, number+10),
		started: time.Now(), off: make(chan struct{})}
	if err := h.start(m, number, zone); err != nil {
		return fmt.Errorf("start machine %s: %w", of.ID, err)
	}
	return nil
}

func (h *Host) start(m *machine, number, zone int) error {
	if err := h.prepare(m, zone); err != nil {
		return err
	}
	group, err := h.newCgroup(m.ID)
	if err != nil {
		return err
	}
	defer group.Close()
	console, err := os.Create(filepath.Join(h.Dir, m.ID, "console"))
	if err != nil {
		return err
	}
	defer console.Close()
	m.cmd = h.command(m, number, zone)
	m.cmd.Stdout, m.cmd.Stderr = console, console
	m.cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(group.Fd())}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := m.cmd.Start(); err != nil {
		return err
	}
	h.machines[m.ID] = m // not before: methods of a registered machine rely on its process
	go func() {
		_ = m.cmd.Wait() // the exit status of a killed machine does not matter
		close(m.off)
		removeCgroup(group.Name())
		_ = os.Remove(h.cpuGroup(m.ID)) // there is none without a limit
		if _, why, failed := strings.Cut(h.Console(m.ID), failure); failed {
			why, _, _ = strings.Cut(why, "\n")
			h.Log("%s %s: %s%s", m.Group, m.ID, failure, strings.TrimSpace(why))
		}
	}()
	return nil
}

// prepare writes the files that are mounted into m.
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

// fileName returns the name on the host of the file mounted at a path.
func fileName(at string) string { return strings.ReplaceAll(at, "/", "_") }

// command returns the systemd-nspawn command that boots m.
func (h *Host) command(m *machine, number, zone int) *exec.Cmd {
	bind := func(name, at string) string {
		return "--bind-ro=" + filepath.Join(h.Dir, m.ID, name) + ":" + at
	}
	args := []string{"-q", "-D", h.Root, "--volatile=overlay",
		"--machine=m" + strconv.Itoa(number), "--network-bridge=" + bridge(zone),
		"--boot", "--register=no", "--keep-unit", "--console=read-only", "--tmpfs=/var/log/imagery:size=32M,mode=0755",
		bind("host0.network", "/etc/systemd/network/10-host0.network"),
		bind("boot.service", "/etc/systemd/system/boot.service"),
		bind("aws.conf", "/etc/systemd/system.conf.d/10-aws.conf"), bind("user-data", "/user-data"),
		"--bind-ro=" + filepath.Join(h.Dir, "aws") + ":/usr/local/bin/aws",
	}
	for _, at := range slices.Sorted(maps.Keys(h.Files)) {
		args = append(args, bind(fileName(at), at))
	}
	args = append(args, "systemd.wants=boot.service", "systemd.wants=systemd-networkd.service")
	c := exec.Command("systemd-nspawn", args...)
	if h.CPU > 0 {
		// The shell joins the cgroup first, so that all its children are limited.
		within := []string{"-c", `echo 0 >"$0/cgroup.procs" && exec systemd-nspawn "$@"`, h.cpuGroup(m.ID)}
		c = exec.Command("/bin/sh", append(within, args...)...)
	}
	c.Env = append(os.Environ(), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1")
	return c
}
