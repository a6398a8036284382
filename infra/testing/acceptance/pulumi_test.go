package main

import (
	"context"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// TestKillReachesOtherProcessGroups: pulumi's plugins are in groups of their own.
func TestKillReachesOtherProcessGroups(t *testing.T) {
	c := &cli{checkout: t.TempDir(), work: t.TempDir()}
	p, err := c.start(t.Context(), "bash", "-c", `setsid --wait bash -c 'echo $$; exec sleep 300' & wait`)
	if err != nil {
		t.Fatal(err)
	}
	// A child is in the group of its parent until setsid has run.
	apart := func(pid int) bool {
		group, err := syscall.Getpgid(pid)
		return err == nil && group != p.cmd.Process.Pid
	}
	var all []int
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		all = descendants(p.cmd.Process.Pid)
		if slices.ContainsFunc(all, apart) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no descendant of %d is in another group: %v", p.cmd.Process.Pid, all)
		}
	}
	if err := p.kill(); err != nil {
		t.Error(err)
	}
	if _, err := p.wait(); err == nil {
		t.Error("a killed program succeeded")
	}
	for _, pid := range all {
		for deadline := time.Now().Add(10 * time.Second); syscall.Kill(pid, 0) == nil; {
			if time.Now().After(deadline) {
				t.Errorf("process %d lives", pid)
				_ = syscall.Kill(pid, syscall.SIGKILL)
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// TestAnInterruptEndsAProgram: it gets SIGINT, and the error has what it said.
func TestAnInterruptEndsAProgram(t *testing.T) {
	c := &cli{checkout: t.TempDir(), work: t.TempDir()}
	ctx, cancel := context.WithCancel(t.Context())
	p, err := c.start(ctx, "bash", "-c", `trap 'echo "error: interrupted"; exit 3' INT; echo ready >`+c.work+
		`/ready; while :; do sleep 0.1; done`)
	if err != nil {
		t.Fatal(err)
	}
	run := &T{test: &test{out: t.Output(), begun: time.Now(), side: side{factor: 1}}}
	waited := run.until(t.Context(), "it runs", 10*time.Second, func(context.Context) (bool, error) {
		return exists(c.work + "/ready"), nil
	})
	if waited != nil {
		t.Fatal(waited)
	}
	cancel()
	text, err := p.wait()
	if err == nil || !strings.Contains(err.Error(), "error: interrupted") || !strings.Contains(text, "interrupted") {
		t.Errorf("%q, %v", text, err)
	}
}

// TestTail: the reason of a failed up has all that the rollout says, and nothing of other resources.
func TestTail(t *testing.T) {
	rollout := "error: program failed:\n    release 1 does not work\n" +
		strings.Repeat("      | a line of a console\n", 20) + "    More: aws logs tail"
	for text, want := range map[string]string{
		"Diagnostics:\n    " + rollout + "\n\nResources:\n    1 errored\n": rollout,
		"1\n2\n3\n4\n5\n6\n7\n8\n": "3\n4\n5\n6\n7\n8",
		"":                         "",
	} {
		if got := strings.TrimSpace(tail(text)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
