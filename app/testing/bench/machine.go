package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// machine describes the machine and the time of a measurement.
type machine struct {
	CPU    string
	Cores  int
	Memory string
	Kernel string
	Go     string
	Commit string
	Date   string
	Load   [2]string // load average of one minute, at the start and at the end
}

func thisMachine(ctx context.Context) machine {
	m := machine{CPU: field("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), Go: runtime.Version(),
		Date: time.Now().UTC().Format(time.DateOnly), Kernel: firstWord("/proc/sys/kernel/osrelease")}
	m.Load[0] = firstWord("/proc/loadavg")
	if family, model := field("/proc/cpuinfo", "cpu family"), field("/proc/cpuinfo", "model"); family != "" {
		m.CPU += fmt.Sprintf(" (family %s, model %s)", family, model)
	}
	if kib, err := strconv.Atoi(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB")); err == nil {
		m.Memory = fmt.Sprintf("%.0f GiB", float64(kib)/(1<<20))
	}
	// The source may be a copy without a repository.
	if out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=10").Output(); err == nil {
		m.Commit = strings.TrimSpace(string(out))
	}
	return m
}

// finish stores the load average at the end.
func (m *machine) finish() { m.Load[1] = firstWord("/proc/loadavg") }

func (m machine) String() string {
	s := fmt.Sprintf("%s, %d cores, %s, Linux %s, %s, %s", m.CPU, m.Cores, m.Memory, m.Kernel, m.Go, m.Date)
	if m.Commit != "" {
		s += ", commit " + m.Commit
	}
	return s + fmt.Sprintf("; load average %s at the start, %s at the end", m.Load[0], m.Load[1])
}

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
func usableCores() ([]int, error) { return parseCores(field("/proc/self/status", "Cpus_allowed_list")) }

// parseCores parses a list of cores as the kernel writes it, such as 0-3,6.
func parseCores(list string) (cores []int, err error) {
	for part := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err := strconv.Atoi(from)
		last, lastErr := strconv.Atoi(to)
		if err := errors.Join(err, lastErr); err != nil {
			return nil, fmt.Errorf("read the cores of this machine, %q: %w", list, err)
		}
		for c := first; c <= last; c++ {
			cores = append(cores, c)
		}
	}
	return cores, nil
}
