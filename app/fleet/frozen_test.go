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

// quick is a pace at which a test need not wait for long.
var quick = pace{beat: 50 * time.Millisecond, late: time.Second, every: 100 * time.Millisecond,
	limit: 500 * time.Millisecond, silence: time.Second, blind: 3 * time.Second, apart: 4 * time.Second}

// witness notes what a watchdog does.
type witness struct {
	mu    sync.Mutex
	asked map[string]int // by address
	kills []time.Time
}

// hurry gives the watchdog the quick pace.
func (n *witness) hurry(w *watchdog) {
	n.asked = map[string]int{}
	w.pace = quick
	w.ask = func(ctx context.Context, addr string) verdict {
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

func (n *witness) killTimes() []time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]time.Time(nil), n.kills...)
}

// answered waits until every child has answered the watchdog: it asks again when it has the answer before.
func (n *witness) answered(t *testing.T, f *running) {
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

// Two children are frozen: both are replaced, the second one later, the others go on.
func TestFrozenChildrenAreReplaced(t *testing.T) {
	short.Skip(t, "children that are frozen")
	t.Parallel()
	var w witness
	f := startWatched(t, 0, w.hurry, four()...)
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
	if len(at) != 2 || at[1].Sub(at[0]) < quick.apart-quick.beat {
		t.Errorf("kills at %v, want two that are %s apart", at, quick.apart)
	}
	for _, i := range []int{1, 2} {
		if now := f.Snapshot()[i]; now.PID != before[i].PID {
			t.Errorf("%s was replaced too", now.Name)
		}
	}
	f.get(t, "/pid")
}

// A child that burns the processor and does not answer lives, until it is frozen.
func TestBusyChildIsNotKilled(t *testing.T) {
	short.Skip(t, "a busy child that is not frozen")
	if runtime.GOOS != "linux" {
		if os.Getenv("REQUIRE_ALL") == "1" {
			t.Fatal("needs Linux: the states of another process's threads are read from /proc")
		}
		t.Skip("SKIPPED, REQUIRE_ALL=1 makes this a failure: needs Linux")
	}
	t.Parallel()
	var w witness
	f := startWatched(t, 0, w.hurry, fake("server-1"))
	w.answered(t, f)
	before := f.Snapshot()[0]
	if res, err := http.Post("http://"+before.Address+"/burn", "", nil); err != nil || res.Body.Close() != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(4 * quick.silence); time.Now().Before(end); time.Sleep(quick.beat) {
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

// What was killed on purpose is no business of the watchdog, however long it takes to go.
func TestKilledChildIsNotWatched(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait() // so it stays a zombie until the end
	c := &child{process: cmd.Process, addr: "127.0.0.1:1", stopping: make(chan struct{})}
	if p, _ := c.living(); p != cmd.Process {
		t.Error("it is not watched at all")
	}
	if err := c.kill(); err != nil {
		t.Fatal(err)
	}
	if p, _ := c.living(); p != nil {
		t.Error("it is still watched")
	}
	if err := c.killFrozen(cmd.Process); err == nil {
		t.Error("it was killed twice")
	}
}

// A fleet that stops its servers does not replace a frozen worker meanwhile.
func TestStoppingFleetReplacesNothing(t *testing.T) {
	short.Skip(t, "a fleet that stops while children die")
	t.Parallel()
	var w witness
	f := startWatched(t, 3*quick.silence, w.hurry, fake("server-1", "-deaf"), fake("worker-1"))
	w.answered(t, f)
	signalled(t, f.Snapshot()[1].PID, syscall.SIGSTOP)
	if err := f.stop(); err == nil {
		t.Error("a frozen worker stopped well")
	}
	if s := f.Snapshot()[1]; s.Restarts != 0 || len(w.killTimes()) != 0 {
		t.Errorf("%+v, kills at %v", s, w.killTimes())
	}
}
