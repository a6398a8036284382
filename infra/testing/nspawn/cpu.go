package nspawn

import (
	"errors"
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
	err := os.MkdirAll(dir, 0o755)
	for name, value := range map[string]int{"cpu.cfs_period_us": cpuPeriod, "cpu.cfs_quota_us": int(share * cpuPeriod)} {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(strconv.Itoa(value)), 0o644))
	}
	return err
}

// FullSpeed removes a machine's CPU limit and returns for how long the limit throttled it.
func (h *Host) FullSpeed(id string) (throttled time.Duration, err error) {
	stat, err := os.ReadFile(filepath.Join(h.cpuGroup(id), "cpu.stat"))
	if err != nil {
		return 0, err
	}
	_, ns, _ := strings.Cut(string(stat), "throttled_time ")
	if _, err := fmt.Sscan(ns, (*int64)(&throttled)); err != nil {
		return 0, fmt.Errorf("read the time of throttling from %q: %w", stat, err)
	}
	return throttled, os.WriteFile(filepath.Join(h.cpuGroup(id), "cpu.cfs_quota_us"), []byte("-1"), 0o644)
}
