package nspawn

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// cpuPeriod is the period of the CPU limit, in microseconds.
const cpuPeriod = 100_000

// cpuGroup returns the machine's control group of the version 1 CPU controller: on this host the unified hierarchy has
// no controllers. The name contains the host's folder, since two tests may run at once.
func (h *Host) cpuGroup(id string) string {
	return filepath.Join("/sys/fs/cgroup/cpu", "imagery"+fileName(h.Dir)+"-"+id)
}

// limitCPU makes the control group of a machine, with a share of one core.
func (h *Host) limitCPU(id string, share float64) error {
	dir := h.cpuGroup(id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("limit the CPU: %w", err)
	}
	for name, value := range map[string]int{"cpu.cfs_period_us": cpuPeriod, "cpu.cfs_quota_us": int(share * cpuPeriod)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strconv.Itoa(value)), 0o644); err != nil {
			return fmt.Errorf("limit the CPU: %w", err)
		}
	}
	return nil
}

// FullSpeed removes a machine's CPU limit and returns for how long the limit throttled it.
func (h *Host) FullSpeed(id string) (throttled time.Duration, err error) {
	stat, err := os.ReadFile(filepath.Join(h.cpuGroup(id), "cpu.stat"))
	if err != nil {
		return 0, fmt.Errorf("read what the bound on the CPU did: %w", err)
	}
	for line := range strings.Lines(string(stat)) {
		if ns, ok := strings.CutPrefix(strings.TrimSpace(line), "throttled_time "); ok {
			n, err := strconv.ParseInt(ns, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read what the bound on the CPU did: %w", err)
			}
			throttled = time.Duration(n)
		}
	}
	return throttled, os.WriteFile(filepath.Join(h.cpuGroup(id), "cpu.cfs_quota_us"), []byte("-1"), 0o644)
}
