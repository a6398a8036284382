package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// cgroup is a Linux control group, of version 1 or 2, with a memory limit.
type cgroup struct {
	dir string
	v2  bool
}

// cgroups counts the groups of this process, for their names.
var cgroups atomic.Int64

// newCgroup makes a group with that many bytes of memory and no swap, or skips the test where that is impossible.
func newCgroup(t *testing.T, bytes int64) cgroup {
	t.Helper()
	name := fmt.Sprintf("imagery-test-%d-%d", os.Getpid(), cgroups.Add(1))
	g := cgroup{dir: filepath.Join("/sys/fs/cgroup/memory", name)}
	limits := []string{"memory.limit_in_bytes", "memory.memsw.limit_in_bytes"}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		g = cgroup{filepath.Join("/sys/fs/cgroup", name), true}
		limits = []string{"memory.max", "memory.swap.max"}
		bytesOf := map[string]int64{"memory.max": bytes, "memory.swap.max": 0}
		_ = os.WriteFile("/sys/fs/cgroup/cgroup.subtree_control", []byte("+memory"), 0o644) // it may be on already
		return g.make(t, limits, bytesOf)
	}
	return g.make(t, limits, map[string]int64{limits[0]: bytes, limits[1]: bytes})
}

func (g cgroup) make(t *testing.T, limits []string, bytes map[string]int64) cgroup {
	t.Helper()
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		skipUnlessRequired(t, "needs root and a memory cgroup: "+err.Error())
	}
	t.Cleanup(func() {
		if err := os.Remove(g.dir); err != nil {
			t.Error(err)
		}
	})
	for i, name := range limits {
		err := os.WriteFile(filepath.Join(g.dir, name), []byte(strconv.FormatInt(bytes[name], 10)), 0o644)
		if err != nil && !(i == 1 && errors.Is(err, os.ErrNotExist)) { // a kernel without accounting of swap
			skipUnlessRequired(t, "needs root and a memory cgroup: "+err.Error())
		}
	}
	return g
}

// by returns the command that runs another command in the group.
func (g cgroup) by() []string {
	return []string{"/bin/sh", "-c", `echo $$ > "$0" && exec "$@"`, filepath.Join(g.dir, "cgroup.procs")}
}

// peak returns the peak memory of the group in bytes, page cache included.
func (g cgroup) peak(t *testing.T) int64 {
	t.Helper()
	name := "memory.max_usage_in_bytes"
	if g.v2 {
		name = "memory.peak"
	}
	n, err := strconv.ParseInt(g.value(t, name, ""), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// refills returns how often the group reached its limit, so that the kernel had to free page cache.
func (g cgroup) refills(t *testing.T) string {
	t.Helper()
	if g.v2 {
		return g.value(t, "memory.events", "max ")
	}
	return g.value(t, "memory.failcnt", "")
}

// kills returns how many processes of the group the kernel killed for their memory.
func (g cgroup) kills(t *testing.T) string {
	t.Helper()
	name := "memory.oom_control"
	if g.v2 {
		name = "memory.events"
	}
	return g.value(t, name, "oom_kill ")
}

// value returns the rest of the line of a file that begins with key.
func (g cgroup) value(t *testing.T, name, key string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(g.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, key); ok {
			return strings.TrimSpace(v)
		}
	}
	t.Fatalf("no %q in %s of the group: %s", key, name, text)
	return ""
}

// skipUnlessRequired skips a test that cannot run here, or fails it when REQUIRE_ALL=1.
func skipUnlessRequired(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("REQUIRE_ALL") == "1" {
		t.Fatal(why)
	}
	t.Skip("SKIPPED, REQUIRE_ALL=1 makes this a failure: ", why)
}
