//go:build unix

package local_test

import (
	"context"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// A dead process leaves its socket, a stopped one does not read from it. Neither may delay a sender.
func TestDeadAndStoppedReceiversDoNotDelaySenders(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	s := open(t, dir)
	dead, stopped := receiver(t, dir), receiver(t, dir)
	must(t, dead.Process.Kill())
	dead.Wait()
	must(t, stopped.Process.Signal(syscall.SIGSTOP))
	before := sockets(t, dir)

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for range 100 { // more than fit into a socket's buffer
		must(t, s.Queue().Send(ctx, []byte("m"), ""))
	}
	if after := sockets(t, dir); len(before) != 2 || len(after) != 1 {
		t.Errorf("sockets were %v, are %v; want only that of the stopped process", before, after)
	}
	must(t, stopped.Process.Kill())
	stopped.Wait()
	if _, err := s.Sweep(t.Context(), time.Now(), time.Hour); err != nil {
		t.Error(err)
	}
	if left := sockets(t, dir); len(left) > 0 {
		t.Errorf("after the sweep there are %v", left)
	}
}

// receiver starts a process that waits for messages, and returns once its socket exists.
func receiver(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	n := len(sockets(t, dir))
	cmd, _ := child(t, consume, dir)
	for deadline := time.Now().Add(20 * time.Second); len(sockets(t, dir)) == n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the process does not listen")
		}
	}
	return cmd
}
