package fleet

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"imagery/app/testing/short"
)

// alive returns false for zombies: an orphan stays one until init reaps it.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	return !strings.Contains(string(status), "\nState:\tZ")
}

func startProcess(t *testing.T, args string) (cmd *exec.Cmd, url string, pids []int) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), actAs+"=fleet",
		"FLEET_TEST_CHILDREN=server-1,server-2,worker-1,worker-2", "FLEET_TEST_ARGS="+args)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	first, pids := firstLines(out, 4)
	url, ok := listeningOn(first)
	if !ok || len(pids) != 4 {
		t.Fatalf("children %v behind %q, which must be the balancer's", pids, first)
	}
	return cmd, "http://" + url, pids
}

func TestChildrenDieWithTheFleet(t *testing.T) {
	short.Skip(t, "children of a killed fleet")
	for _, args := range []string{"", "-ignore-term"} {
		cmd, _, pids := startProcess(t, args)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		eventually(t, time.Second, "every child is gone", func() bool { return !slices.ContainsFunc(pids, alive) })
		t.Logf("%q: gone after %s", args, time.Since(began))
	}
}

// TestInterrupts: Ctrl-C goes to a whole process group, so the children must be in another one.
func TestInterrupts(t *testing.T) {
	cmd, url, pids := startProcess(t, "-ignore-term")
	for _, pid := range pids {
		if group, err := syscall.Getpgid(pid); err != nil || group != pid {
			t.Errorf("child %d is in the process group %d (%v)", pid, group, err)
		}
	}
	cmd.Process.Signal(os.Interrupt)
	eventually(t, time.Second, "the balancer stops", func() bool { _, err := http.Get(url); return isDialError(err) })
	if slices.ContainsFunc(pids, func(pid int) bool { return !alive(pid) }) {
		t.Error("the first signal killed")
	}
	cmd.Process.Signal(os.Interrupt)
	began := time.Now()
	err := cmd.Wait()
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("the second signal took %s", d)
	}
	if cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("exit: %v", err)
	}
	if slices.ContainsFunc(pids, alive) {
		t.Error("a child is left")
	}
}
