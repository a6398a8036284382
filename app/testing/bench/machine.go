package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// describeMachine describes the machine and the time of a measurement that begins.
func describeMachine(ctx context.Context) string {
	cpu := field("/proc/cpuinfo", "model name")
	if family, model := field("/proc/cpuinfo", "cpu family"), field("/proc/cpuinfo", "model"); family != "" {
		cpu += fmt.Sprintf(" (family %s, model %s)", family, model)
	}
	kib, _ := strconv.ParseFloat(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 64)
	text := fmt.Sprintf("%s, %d cores, %.0f GiB, Linux %s, %s, %s", cpu, runtime.NumCPU(), kib/(1<<20),
		firstWord("/proc/sys/kernel/osrelease"), runtime.Version(), time.Now().UTC().Format(time.DateOnly))
	// The source may be a copy without a repository.
	if out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=10").Output(); err == nil {
		text += ", commit " + strings.TrimSpace(string(out))
	}
	return text + "; load average " + firstWord("/proc/loadavg") + " at the start"
}

// loadAtEnd is the end of the description of a measurement: the load average of one minute.
func loadAtEnd() string { return ", " + firstWord("/proc/loadavg") + " at the end" }

// field returns the value of the first line "name : value" of a file, or "".
func field(path, name string) string {
	data, _ := os.ReadFile(path) // the report works without it
	for line := range strings.Lines(string(data)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func firstWord(path string) string {
	data, _ := os.ReadFile(path)
	return firstWords(data, 1)
}

// usableCores returns the numbers of the cores that this process may use.
func usableCores() (cores []int, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("read the cores of this machine: %w", err)
	}
	for c := 0; len(cores) < set.Count(); c++ {
		if set.IsSet(c) {
			cores = append(cores, c)
		}
	}
	return cores, nil
}
