package fleet

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// bench is a watchdog with two fake children, for use inside synctest.
type bench struct {
	*watchdog
	log   bytes.Buffer
	began time.Time

	mu              sync.Mutex
	results         map[string]probeResult      // by address
	anyThreadActive func(pid int) (bool, error) // nil: no thread is ever active
	kills           []kill
}

type kill struct {
	name  string
	pid   int
	after time.Duration
}

// pids of the fake children. The pid of a replacement is larger by two.
var pids = map[string]int{"server-1": 1001, "server-2": 1002}

func newBench() *bench {
	s := &bench{began: time.Now(), results: map[string]probeResult{}}
	var children []*child
	for _, name := range []string{"server-1", "server-2"} {
		children = append(children, &child{Child: Child{Name: name}, addr: name, process: &os.Process{Pid: pids[name]},
			stopping: make(chan struct{})})
	}
	s.watchdog = newWatchdog(children, slog.New(slog.NewTextHandler(&s.log, nil)))
	s.watchdog.ask = func(ctx context.Context, addr string) probeResult {
		s.mu.Lock()
		v := s.results[addr]
		s.mu.Unlock()
		if v == noAnswer {
			<-ctx.Done()
		}
		return v
	}
	s.watchdog.anyThreadActive = func(pid int) (bool, error) {
		if s.anyThreadActive == nil {
			return false, nil
		}
		return s.anyThreadActive(pid)
	}
	s.watchdog.kill = func(c *child, p *os.Process) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.kills = append(s.kills, kill{c.Name, p.Pid, time.Since(s.began)})
		c.process = &os.Process{Pid: p.Pid + 2}
		s.results[c.Name] = answered
		return nil
	}
	return s
}

// say sets the probe result of the children.
func (s *bench) say(v probeResult, names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		s.results[name] = v
	}
}

// activeEvery makes each child active once in each period.
func activeEvery(period time.Duration) func(pid int) (bool, error) {
	last := map[int]time.Time{}
	return func(pid int) (bool, error) {
		if time.Since(last[pid]) < period {
			return false, nil
		}
		last[pid] = time.Now()
		return true, nil
	}
}

// lateEvery delays the watchdog once in each period.
func lateEvery(period, by time.Duration) func(pid int) (bool, error) {
	active := activeEvery(period)
	return func(int) (bool, error) {
		if now, _ := active(0); now {
			time.Sleep(by)
		}
		return false, nil
	}
}

func TestWatchdog(t *testing.T) {
	both := []string{"server-1", "server-2"}
	const startup = 5 * time.Second // all answer
	for name, c := range map[string]struct {
		silent          []string // after startup
		anyThreadActive func(pid int) (bool, error)
		prepare         func(*bench)
		then            func(*bench) // 5 s after startup
		want            []time.Duration
	}{
		"all answer":          {},
		"one is frozen":       {silent: both[:1], want: []time.Duration{10 * time.Second}},
		"two are frozen":      {silent: both, want: []time.Duration{10 * time.Second, 40 * time.Second}},
		"slow, always active": {silent: both, anyThreadActive: func(int) (bool, error) { return true, nil }},
		"slow, rarely active": {silent: both, anyThreadActive: activeEvery(9 * time.Second)},
		"the fleet is late":   {silent: both, anyThreadActive: lateEvery(9*time.Second, 1500*time.Millisecond)},
		"the fleet is slightly late": {silent: both[:1], anyThreadActive: lateEvery(9*time.Second, 900*time.Millisecond),
			want: []time.Duration{10 * time.Second}},
		"threads unknown": {silent: both[:1],
			anyThreadActive: func(int) (bool, error) { return false, errors.New("no /proc") },
			want:            []time.Duration{30 * time.Second}},
		"still starting": {silent: both, prepare: func(s *bench) { s.say(noAnswer, both...) }},
		"answers again":  {silent: both, then: func(s *bench) { s.say(answered, both...) }},
		"refuses":        {silent: both, then: func(s *bench) { s.say(refused, both...) }},
		"is being stopped": {silent: both, then: func(s *bench) {
			close(s.children[0].stopping)
			close(s.children[1].stopping)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newBench()
				s.say(answered, both...)
				if s.anyThreadActive = c.anyThreadActive; c.prepare != nil {
					c.prepare(s)
				}
				ctx, cancel := context.WithCancel(t.Context())
				go s.run(ctx)
				time.Sleep(startup)
				s.say(noAnswer, c.silent...)
				time.Sleep(5 * time.Second)
				if c.then != nil {
					c.then(s)
				}
				time.Sleep(5 * time.Minute)
				cancel()
				synctest.Wait()
				s.check(t, startup, c.want)
			})
		})
	}
}

// check compares the kills with the expected times, which may be one probe and one tick late, and with the log.
func (s *bench) check(t *testing.T, began time.Duration, want []time.Duration) {
	t.Helper()
	if len(s.kills) != len(want) {
		t.Fatalf("kills %v, want them at %v; log:\n%s", s.kills, want, s.log.String())
	}
	for i, k := range s.kills {
		if early := want[i] - (k.after - began); early > 0 || early < -2500*time.Millisecond {
			t.Errorf("%s was killed after %s, want %s", k.name, k.after-began, want[i])
		}
		if k.pid != pids[k.name] {
			t.Errorf("the replacement %d of %s was killed", k.pid, k.name)
		}
		if i > 0 && k.after-s.kills[i-1].after < 30*time.Second {
			t.Errorf("two kills in 30 s: %v", s.kills)
		}
	}
	lines := slices.Collect(strings.Lines(s.log.String()))
	if len(lines) != len(want) {
		t.Errorf("%d lines for %d kills: %q", len(lines), len(want), lines)
	}
	for _, l := range lines {
		for _, part := range []string{"level=WARN", "name=server-", "pid=100", "silent_for=", "started again"} {
			if !strings.Contains(l, part) {
				t.Errorf("no %q in %q", part, l)
			}
		}
	}
}

// TestThreadState runs on all systems, although only Linux has these files.
func TestThreadState(t *testing.T) {
	for stat, want := range map[string]byte{
		"12 (a) R 1 2": 'R', "12 (a) D (b)) S 1 2": 'S', "12 (x) ": 0, "": 0, "12 (x": 0,
	} {
		if got, err := threadState([]byte(stat)); got != want || (err != nil) != (want == 0) {
			t.Errorf("%q: %q, %v", stat, got, err)
		}
	}
}

// TestAskHealth: any status is an answer, a closed listener refuses, and a listener that never accepts does not answer.
func TestAskHealth(t *testing.T) {
	failing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer failing.Close()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	hung, err := net.Listen("tcp", "127.0.0.1:0") // accepts nothing, as a frozen process does
	if err != nil {
		t.Fatal(err)
	}
	defer hung.Close()
	for addr, c := range map[string]struct {
		within time.Duration
		want   probeResult
	}{
		failing.Listener.Addr().String(): {time.Minute, answered},
		closed.Listener.Addr().String():  {time.Minute, refused},
		hung.Addr().String():             {200 * time.Millisecond, noAnswer},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), c.within)
		if got := askHealth(ctx, addr); got != c.want {
			t.Errorf("%s: result %d, want %d", addr, got, c.want)
		}
		cancel()
	}
}
