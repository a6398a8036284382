//go:build unix

package fleet

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"imagery/app/testing/short"
)

// quick has short intervals for tests.
var quick = timing{tick: 50 * time.Millisecond, maxDelay: time.Second, probeInterval: 100 * time.Millisecond,
	probeTimeout: 500 * time.Millisecond, killAfter: time.Second, killAfterUnknown: 3 * time.Second,
	killInterval: 4 * time.Second}

// recorder records the probes and kills of a watchdog.
type recorder struct {
	mu    sync.Mutex
	asked map[string]int // by address
	kills []time.Time
}

// attach makes the watchdog quick and records what it does.
func (n *recorder) attach(w *watchdog) {
	n.asked = map[string]int{}
	w.timing = quick
	w.ask = func(ctx context.Context, addr string) probeResult {
		n.mu.Lock()
		n.asked[addr]++
		n.mu.Unlock()
		return askHealth(ctx, addr)
	}
	w.kill = func(c *child, p *os.Process) error {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.kills = append(n.kills, time.Now())
		return c.killFrozen(p)
	}
}

func (n *recorder) killTimes() []time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]time.Time(nil), n.kills...)
}

// answered waits until the watchdog has probed every child three times, so that it has at least one answer.
func (n *recorder) answered(t *testing.T, f *running) {
	t.Helper()
	eventually(t, 20*time.Second, "all ready", f.allReady)
	for _, s := range f.Snapshot() {
		eventually(t, 20*time.Second, s.Name+" is asked three times", func() bool {
			n.mu.Lock()
			defer n.mu.Unlock()
			return n.asked[s.Address] >= 3
		})
	}
}

func signalled(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatal(err)
	}
}

// TestFrozenChildrenAreReplaced: two frozen children are replaced one after the other, the others keep running.
func TestFrozenChildrenAreReplaced(t *testing.T) {
	short.Skip(t, "children that are frozen")
	t.Parallel()
	var w recorder
	f := startWatched(t, 0, w.attach, four()...)
	w.answered(t, f)
	before := f.Snapshot()
	frozen := []int{0, 3}
	for _, i := range frozen {
		signalled(t, before[i].PID, syscall.SIGSTOP)
	}
	for _, i := range frozen {
		eventually(t, 60*time.Second, before[i].Name+" is replaced", func() bool {
			now := f.Snapshot()[i]
			return now.Ready && now.PID != before[i].PID && now.Restarts == 1
		})
	}
	at := w.killTimes()
	if len(at) != 2 || at[1].Sub(at[0]) < quick.killInterval-quick.tick {
		t.Errorf("kills at %v, want two that are %s apart", at, quick.killInterval)
	}
	for _, i := range []int{1, 2} {
		if now := f.Snapshot()[i]; now.PID != before[i].PID {
			t.Errorf("%s was replaced too", now.Name)
		}
	}
	f.get(t, "/pid")
}

// TestBusyChildIsNotKilled: a child that uses all CPUs and does not answer is killed only once it is frozen.
func TestBusyChildIsNotKilled(t *testing.T) {
	short.Skip(t, "a busy child that is not frozen")
	if runtime.GOOS != "linux" {
		if os.Getenv("REQUIRE_ALL") == "1" {
			t.Fatal("needs Linux: the states of another process's threads are read from /proc")
		}
		t.Skip("SKIPPED, REQUIRE_ALL=1 makes this a failure: needs Linux")
	}
	t.Parallel()
	var w recorder
	f := startWatched(t, 0, w.attach, fake("server-1"))
	w.answered(t, f)
	before := f.Snapshot()[0]
	if res, err := http.Post("http://"+before.Address+"/burn", "", nil); err != nil || res.Body.Close() != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(4 * quick.killAfter); time.Now().Before(end); time.Sleep(quick.tick) {
		if now := f.Snapshot()[0]; now.PID != before.PID {
			t.Fatal("it was killed for being slow")
		}
	}
	if n := len(w.killTimes()); n > 0 {
		t.Fatalf("%d kills", n)
	}
	signalled(t, before.PID, syscall.SIGSTOP)
	eventually(t, 60*time.Second, "the frozen child is replaced", func() bool {
		now := f.Snapshot()[0]
		return now.Ready && now.PID != before.PID
	})
}

// TestKilledChildIsNotWatched: the watchdog ignores a child that was killed on purpose.
func TestKilledChildIsNotWatched(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait() // reaped only at the end, so it stays a zombie
	c := &child{process: cmd.Process, addr: "127.0.0.1:1", stopping: make(chan struct{})}
	if p, _ := c.listeningProcess(); p != cmd.Process {
		t.Error("it is not watchState at all")
	}
	if err := c.kill(); err != nil {
		t.Fatal(err)
	}
	if p, _ := c.listeningProcess(); p != nil {
		t.Error("it is still watchState")
	}
	if err := c.killFrozen(cmd.Process); err == nil {
		t.Error("it was killed twice")
	}
}

// TestStoppingFleetReplacesNothing: a fleet that is stopping does not replace a frozen worker.
func TestStoppingFleetReplacesNothing(t *testing.T) {
	short.Skip(t, "a fleet that stops while children die")
	t.Parallel()
	var w recorder
	f := startWatched(t, 3*quick.killAfter, w.attach, fake("server-1", "-ignore-term"), fake("worker-1"))
	w.answered(t, f)
	signalled(t, f.Snapshot()[1].PID, syscall.SIGSTOP)
	if err := f.stop(); err == nil {
		t.Error("a frozen worker stopped well")
	}
	if s := f.Snapshot()[1]; s.Restarts != 0 || len(w.killTimes()) != 0 {
		t.Errorf("%+v, kills at %v", s, w.killTimes())
	}
}
