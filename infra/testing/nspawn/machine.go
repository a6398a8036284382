package nspawn

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
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
	const rtmin = 34
	if pid := h.Leader(id); pid > 1 { // 0, for a machine that has just exited, would signal our own process group
		_ = syscall.Kill(pid, syscall.Signal(rtmin+4)) // it may have exited already
	}
	select {
	case <-m.off:
	case <-time.After(stopTimeout):
		h.PowerOff(id)
	}
}

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
	args := append([]string{"-t", strconv.Itoa(h.Leader(id)), "-a"}, command...)
	out, err := exec.Command("nsenter", args...).CombinedOutput()
	return string(bytes.TrimSpace(out)), err
}

// Console returns the console output of a machine.
func (h *Host) Console(id string) string {
	b, _ := os.ReadFile(filepath.Join(h.Dir, id, "console"))
	return string(b)
}

// Address returns the IP address of a machine.
func (h *Host) Address(id string) string { return h.get(id).address }
