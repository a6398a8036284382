package nspawn

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"imagery/infra/testing/asgsim"
)

func (h *Host) get(id string) *machine {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.machines[id]
}

// Running reports whether the machine is powered on.
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

// Leader returns the host's process id of a machine's process 1, or 0 if it is powered off. Signals must go to it:
// systemd-nspawn itself does not forward them.
func (h *Host) Leader(id string) int {
	pid := h.get(id).cmd.Process.Pid
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid)) // an exited process has no children
	first, _, _ := strings.Cut(string(b), " ")
	leader, _ := strconv.Atoi(first)
	return leader
}

// stopTimeout bounds a clean shutdown; each service has its own stop timeout within it.
const stopTimeout = 2 * time.Minute

// Stop asks systemd to stop every service and power off. After stopTimeout it calls PowerOff.
func (h *Host) Stop(id string) {
	m := h.get(id)
	if m == nil || !h.Running(id) {
		return
	}
	h.signal(id, poweroff)
	select {
	case <-m.off:
	case <-time.After(stopTimeout):
		h.PowerOff(id)
	}
}

// Signals to systemd, relative to SIGRTMIN.
const poweroff, reboot = 4, 5

// signal sends a signal to a machine's process 1.
func (h *Host) signal(id string, n int) {
	const rtmin = 34
	if pid := h.Leader(id); pid > 1 { // 0, for a machine that has just exited, would signal our own process group
		_ = syscall.Kill(pid, syscall.Signal(rtmin+n)) // it may have exited already
	}
}

// Reboot asks systemd to stop every service and to boot again. The machine keeps its address, but not its disk: it
// boots like a new one.
func (h *Host) Reboot(id string) { h.signal(id, reboot) }

// PowerOff kills the machine and returns when all its processes have exited.
func (h *Host) PowerOff(id string) {
	m := h.get(id)
	for h.Running(id) {
		if pid := h.Leader(id); pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		select {
		case <-m.off:
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Exec runs a command inside a machine and returns its output.
func (h *Host) Exec(id string, command ...string) (string, error) {
	out, err := h.Command(context.Background(), id, command...).CombinedOutput()
	return string(bytes.TrimSpace(out)), err
}

// Command returns a command that runs inside a machine.
func (h *Host) Command(ctx context.Context, id string, command ...string) *exec.Cmd {
	args := append([]string{"-t", strconv.Itoa(h.Leader(id)), "-a"}, command...)
	return exec.CommandContext(ctx, "nsenter", args...)
}

// Status describes a machine.
type Status struct {
	asgsim.Machine
	Address string
	Started time.Time
	On      bool
}

// Machines returns every machine that was started, in the order of the starts.
func (h *Host) Machines() (all []Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.machines {
		s := Status{Machine: m.Machine, Address: m.address, Started: m.started, On: true}
		select {
		case <-m.off:
			s.On = false
		default:
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Status) int { return a.Started.Compare(b.Started) })
	return all
}

// Console returns the console output of a machine.
func (h *Host) Console(id string) string {
	b, _ := os.ReadFile(filepath.Join(h.Dir, id, "console"))
	return string(b)
}

// Address returns the IP address of a machine.
func (h *Host) Address(id string) string { return h.get(id).address }
