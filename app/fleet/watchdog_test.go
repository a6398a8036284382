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

// stage is a watchdog over two children that are made up, in a bubble whose time passes only where it is waited for.
type stage struct {
	*watchdog
	log   bytes.Buffer
	began time.Time

	mu    sync.Mutex
	says  map[string]verdict          // by address; answers if not set
	moves func(pid int) (bool, error) // nil: none does
	kills []kill
}

type kill struct {
	name  string
	pid   int
	after time.Duration
}

// pids of the made up children; a replacement has the next but one.
var pids = map[string]int{"server-1": 1001, "server-2": 1002}

func newStage() *stage {
	s := &stage{began: time.Now(), says: map[string]verdict{}}
	var children []*child
	for _, name := range []string{"server-1", "server-2"} {
		children = append(children, &child{Child: Child{Name: name}, addr: name, process: &os.Process{Pid: pids[name]},
			stopping: make(chan struct{})})
	}
	s.watchdog = newWatchdog(children, slog.New(slog.NewTextHandler(&s.log, nil)))
	s.watchdog.ask = func(ctx context.Context, addr string) verdict {
		s.mu.Lock()
		v := s.says[addr]
		s.mu.Unlock()
		if v == silent {
			<-ctx.Done()
		}
		return v
	}
	s.watchdog.moves = func(pid int) (bool, error) {
		if s.moves == nil {
			return false, nil
		}
		return s.moves(pid)
	}
	s.watchdog.kill = func(c *child, p *os.Process) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.kills = append(s.kills, kill{c.Name, p.Pid, time.Since(s.began)})
		c.process = &os.Process{Pid: p.Pid + 2}
		s.says[c.Name] = answers
		return nil
	}
	return s
}

// say changes what the children answer.
func (s *stage) say(v verdict, names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		s.says[name] = v
	}
}

// everMoves makes each child do something once in each period.
func everMoves(period time.Duration) func(pid int) (bool, error) {
	last := map[int]time.Time{}
	return func(pid int) (bool, error) {
		if time.Since(last[pid]) < period {
			return false, nil
		}
		last[pid] = time.Now()
		return true, nil
	}
}

// everLate keeps the watchdog from its next beat once in each period.
func everLate(period, by time.Duration) func(pid int) (bool, error) {
	ever := everMoves(period)
	return func(int) (bool, error) {
		if now, _ := ever(0); now {
			time.Sleep(by)
		}
		return false, nil
	}
}

func TestWatchdog(t *testing.T) {
	both := []string{"server-1", "server-2"}
	const quiet = 5 * time.Second // of the beginning, in which all answer
	for name, c := range map[string]struct {
		mute    []string // after quiet
		moves   func(pid int) (bool, error)
		prepare func(*stage)
		then    func(*stage) // 5 s after quiet
		want    []time.Duration
	}{
		"all answer":          {},
		"one is frozen":       {mute: both[:1], want: []time.Duration{10 * time.Second}},
		"two are frozen":      {mute: both, want: []time.Duration{10 * time.Second, 40 * time.Second}},
		"slow, always moving": {mute: both, moves: func(int) (bool, error) { return true, nil }},
		"slow, seldom moving": {mute: both, moves: everMoves(9 * time.Second)},
		"the fleet is late":   {mute: both, moves: everLate(9*time.Second, 1500*time.Millisecond)},
		"the fleet is a bit so": {mute: both[:1], moves: everLate(9*time.Second, 900*time.Millisecond),
			want: []time.Duration{10 * time.Second}},
		"threads unknown": {mute: both[:1], moves: func(int) (bool, error) { return false, errors.New("no /proc") },
			want: []time.Duration{30 * time.Second}},
		"still starting":   {mute: both, prepare: func(s *stage) { s.say(silent, both...) }},
		"answers again":    {mute: both, then: func(s *stage) { s.say(answers, both...) }},
		"refuses":          {mute: both, then: func(s *stage) { s.say(refused, both...) }},
		"is being stopped": {mute: both, then: func(s *stage) { close(s.watched[0].stopping); close(s.watched[1].stopping) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage()
				s.say(answers, both...)
				if s.moves = c.moves; c.prepare != nil {
					c.prepare(s)
				}
				ctx, cancel := context.WithCancel(t.Context())
				go s.run(ctx)
				time.Sleep(quiet)
				s.say(silent, c.mute...)
				time.Sleep(5 * time.Second)
				if c.then != nil {
					c.then(s)
				}
				time.Sleep(5 * time.Minute)
				cancel()
				synctest.Wait()
				s.check(t, quiet, c.want)
			})
		})
	}
}

// check holds the kills against the times at which they are due, of which each may be a probe and a beat late, and
// against the log.
func (s *stage) check(t *testing.T, began time.Duration, want []time.Duration) {
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

// Only Linux has the files that are read, but everything reads them in the same way.
func TestStateOfThread(t *testing.T) {
	for stat, want := range map[string]byte{
		"12 (a) R 1 2": 'R', "12 (a) D (b)) S 1 2": 'S', "12 (x) ": 0, "": 0, "12 (x": 0,
	} {
		if got, err := stateIn([]byte(stat)); got != want || (err != nil) != (want == 0) {
			t.Errorf("%q: %q, %v", stat, got, err)
		}
	}
}

// Whatever a child says, it says something; a listener that is closed was closed on purpose.
func TestAskHealth(t *testing.T) {
	ill := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer ill.Close()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	deaf, err := net.Listen("tcp", "127.0.0.1:0") // accepts nothing, as a frozen process does
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	for addr, c := range map[string]struct {
		within time.Duration
		want   verdict
	}{
		ill.Listener.Addr().String():    {time.Minute, answers},
		closed.Listener.Addr().String(): {time.Minute, refused},
		deaf.Addr().String():            {200 * time.Millisecond, silent},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), c.within)
		if got := askHealth(ctx, addr); got != c.want {
			t.Errorf("%s: verdict %d, want %d", addr, got, c.want)
		}
		cancel()
	}
}
