//go:build unix

package fleet

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"imagery/app/testing/short"
)

func four() []Child {
	return []Child{fake("server-1"), fake("server-2"), fake("worker-1"), fake("worker-2")}
}

// TestKilledChildrenAreReplaced: whichever child is killed, a client that repeats its requests gets every response.
func TestKilledChildrenAreReplaced(t *testing.T) {
	short.Skip(t, "children that are killed are started again")
	f := start(t, 0, four()...)
	eventually(t, 20*time.Second, "all ready", f.allReady)
	var over atomic.Bool
	var asked atomic.Int64
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for !over.Load() {
				f.get(t, "/pid")
				asked.Add(1)
			}
		})
	}
	kills := 0
	for range 3 {
		for i := range 4 {
			before := f.Snapshot()[i]
			if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			kills++
			eventually(t, 10*time.Second, before.Name+" is replaced", func() bool {
				now := f.Snapshot()[i]
				return now.Ready && now.PID != before.PID && now.Restarts == before.Restarts+1
			})
		}
	}
	over.Store(true)
	clients.Wait()
	eventually(t, time.Second, "nothing is in flight", func() bool {
		return !slices.ContainsFunc(f.Snapshot(), func(s Status) bool { return s.InFlight != 0 })
	})
	served := int64(0)
	for _, s := range f.Snapshot() {
		if s.Restarts != 3 || s.Started.IsZero() || s.Address == "" {
			t.Errorf("%+v", s)
		}
		if s.Role == "worker" && s.Served != 0 {
			t.Errorf("a worker got requests: %+v", s)
		}
		served += s.Served
	}
	if served < asked.Load() {
		t.Errorf("%d requests were counted, %d answered", served, asked.Load())
	}
	t.Logf("%d kills, %d requests answered, %d sent to servers", kills, asked.Load(), served)
	if err := f.stop(); err != nil {
		t.Error(err)
	}
}

// TestPanicIsNotBadUsage: exit code 2 of a child that has listened is a panic.
func TestPanicIsNotBadUsage(t *testing.T) {
	f := start(t, 0, fake("server-1"))
	before := f.get(t, "/pid")
	if res, err := http.Get(f.url + "/panic"); err != nil || res.StatusCode != http.StatusBadGateway {
		t.Fatalf("%v, %v", res, err)
	}
	if after := f.get(t, "/pid"); after == before {
		t.Errorf("pid %s still answers", after)
	}
}

func TestChildThatCannotStart(t *testing.T) {
	short.Skip(t, "a child that never starts")
	t.Parallel()
	for name, c := range map[string]struct {
		child Child
		want  []string
	}{
		"bad usage": {fake("worker-1", "-usage"), []string{"worker-1", "exit status 2", `role "cook" is not known`}},
		"failure":   {fake("worker-1", "-fail"), []string{"worker-1", "exit status 1", "the table is missing"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, 0, fake("server-1"), c.child)
			var err error
			select {
			case err = <-f.done:
				f.done <- err // for the cleanup
			case <-time.After(30 * time.Second):
				t.Fatal("it is tried for ever")
			}
			for _, part := range c.want {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("error %v does not say %q", err, part)
				}
			}
			if pid := f.Snapshot()[0].PID; pid != 0 {
				t.Errorf("server-1 still runs as %d", pid)
			}
		})
	}
}

func TestMissingBinary(t *testing.T) {
	short.Skip(t, "a binary that is missing")
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(t.TempDir(), "nothing")
	err = New(Options{Exe: missing, Children: four(), Log: slog.New(slog.DiscardHandler)}).Run(t.Context(), l)
	if err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("error %v does not name the binary", err)
	}
}

// TestGracefulStop: servers are stopped before workers, and requests in flight are answered.
func TestGracefulStop(t *testing.T) {
	short.Skip(t, "a clean stop")
	t.Parallel()
	events := filepath.Join(t.TempDir(), "events")
	children := four()
	for i := range children {
		children[i].Args = append(children[i].Args, "-events", events)
	}
	f := start(t, 0, children...)
	eventually(t, 20*time.Second, "all ready", f.allReady)
	res, err := http.Get(f.url + "/slow?for=2s")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	answered := make(chan string, 1)
	go func() {
		body, err := io.ReadAll(res.Body)
		answered <- fmt.Sprint(string(body), err)
	}()
	if err := f.stop(); err != nil {
		t.Error(err)
	}
	if got := <-answered; got != "done<nil>" {
		t.Errorf("the request in flight ended with %q", got)
	}
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("the stop took %s", d)
	}
	text, err := os.ReadFile(events)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(strings.ReplaceAll(strings.TrimSpace(string(text)), " ", "_"))
	if len(lines) != 8 {
		t.Fatalf("events: %q", lines)
	}
	for i, l := range lines {
		if strings.HasPrefix(l, "server") != (i < 4) {
			t.Errorf("workers and servers stopped together: %q", lines)
		}
	}
	if _, err := http.Get(f.url + "/pid"); !isDialError(err) {
		t.Errorf("the balancer still listens: %v", err)
	}
}

// TestChildThatIgnoresSIGTERM: it is killed after the grace period, or when Options.Kill is closed.
func TestChildThatIgnoresSIGTERM(t *testing.T) {
	for _, patient := range []bool{true, false} {
		grace := 300 * time.Millisecond
		if !patient {
			grace = time.Hour
		}
		f := start(t, grace, fake("server-1", "-ignore-term"), fake("worker-1", "-ignore-term"))
		eventually(t, 20*time.Second, "all ready", f.allReady)
		pids := []int{f.Snapshot()[0].PID, f.Snapshot()[1].PID}
		if !patient {
			time.AfterFunc(200*time.Millisecond, f.kill)
		}
		began := time.Now()
		err := f.stop()
		if err == nil || !strings.Contains(err.Error(), "kill server-1") || !strings.Contains(err.Error(), "kill worker-1") {
			t.Errorf("patient %t: error %v", patient, err)
		}
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("patient %t: the stop took %s", patient, d)
		}
		if alive(pids[0]) || alive(pids[1]) {
			t.Errorf("patient %t: a child is left", patient)
		}
	}
}

// TestDrainUnderLoad: when servers are stopped one by one under load, no request fails although clients do not repeat.
func TestDrainUnderLoad(t *testing.T) {
	short.Skip(t, "a drain while requests are open")
	f := start(t, 0, four()...)
	eventually(t, 20*time.Second, "all ready", f.allReady)
	var over atomic.Bool
	var asked, failed atomic.Int64
	var clients sync.WaitGroup
	for i := range 8 {
		body := strings.Repeat("x", 1+i*40_000)
		clients.Go(func() {
			for !over.Load() {
				asked.Add(1)
				res, err := http.Post(f.url+"/sum", "text/plain", strings.NewReader(body))
				if err == nil {
					_, err = io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
				if err != nil || res.StatusCode != http.StatusOK {
					failed.Add(1)
					t.Errorf("request: %v, %v", res, err)
				}
			}
		})
	}
	for i := range 4 {
		before := f.Snapshot()[i%2]
		syscall.Kill(before.PID, syscall.SIGTERM)
		eventually(t, 20*time.Second, before.Name+" is replaced", func() bool {
			now := f.Snapshot()[i%2]
			return now.Ready && now.PID != before.PID
		})
	}
	over.Store(true)
	clients.Wait()
	t.Logf("4 drains, %d requests, %d failed", asked.Load(), failed.Load())
}

// TestLinesStayWhole: children write in pieces to two streams at the same time; no line is cut or mixed.
func TestLinesStayWhole(t *testing.T) {
	const n = 200
	f := start(t, 0, fake("server-1", "-chatter", fmt.Sprint(n)), fake("worker-1", "-chatter", fmt.Sprint(n)))
	eventually(t, 30*time.Second, "all listen", f.allReady)
	count := map[string]int{}
	for _, line := range f.out.all() {
		name, text, ok := strings.Cut(line, " | ")
		if !ok {
			t.Fatalf("no name: %.80q", line)
		}
		if _, ok := listeningOn(text); ok || strings.HasPrefix(text, "pid ") {
			continue
		}
		if len(text) < 8 || text != strings.Repeat(text[:8], 1000)+".\n" {
			t.Fatalf("not one whole line: %.80q", line)
		}
		count[name+text[:8]]++
	}
	if len(count) != 2*n {
		t.Errorf("%d different lines, want %d", len(count), 2*n)
	}
	for line, times := range count {
		if times != 2 {
			t.Errorf("%s was written %d times, want once per stream", line, times)
		}
	}
}

func TestBackoff(t *testing.T) {
	var b backoff
	for i, most := range []time.Duration{200, 400, 800, 1600, 3200, 5000, 5000} {
		most *= time.Millisecond
		if d := b.next(healthyAfter - 1); d < most/2 || d > most {
			t.Errorf("wait %d is %s, want %s to %s", i, d, most/2, most)
		}
	}
	if d := b.next(healthyAfter); d < 100*time.Millisecond || d > 200*time.Millisecond {
		t.Errorf("after health it is %s", d)
	}
}
