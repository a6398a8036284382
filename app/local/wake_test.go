package local_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"imagery/app/imagery"
	"imagery/app/imagery/imagerytest"
	"imagery/app/local"
)

// With the poll out of the way only a ring can end these waits in time.
func TestReceiversAreWoken(t *testing.T) {
	dir := newDir(t)
	s := open(t, dir)
	local.SetPoll(s, time.Hour)
	other := imagerytest.Spawn(t, servePorts+"="+dir)

	received := make(chan []imagery.Message)
	wait := func(q imagery.Queue) {
		list, err := q.Receive(t.Context(), 1, 15*time.Second)
		if err != nil {
			t.Error(err)
		}
		received <- list
	}
	sleep := func() { // long enough that most rounds ring a sleeper; were it not asleep, it would look by itself
		time.Sleep(50 * time.Millisecond)
	}
	for name, act := range map[string]func(m imagery.Message){
		"a send of another process":      func(imagery.Message) { must(t, other.Queue.Send(t.Context(), []byte("new"), "")) },
		"a send of this process":         func(imagery.Message) { must(t, s.Queue().Send(t.Context(), []byte("new"), "")) },
		"a hand-back of another process": func(m imagery.Message) { extend(t, other.Queue, 0, m) },
	} {
		for range 5 {
			must(t, s.Queue().Send(t.Context(), []byte("held"), ""))
			held := <-start(func() { wait(s.Queue()) }, received)
			go wait(s.Queue())
			sleep()
			act(held[0])
			got := <-received
			if len(got) != 1 {
				t.Fatalf("%s woke nobody", name)
			}
			must(t, s.Queue().Delete(t.Context(), append(held, got...)...))
		}
	}
}

// start runs f and returns what it will deliver to.
func start[T any](f func(), c chan T) chan T {
	go f()
	return c
}

func extend(t *testing.T, q imagery.Queue, d time.Duration, m imagery.Message) {
	t.Helper()
	if lost, err := q.Extend(t.Context(), d, m); err != nil || len(lost) > 0 {
		t.Errorf("extend: %d lost, %v", len(lost), err)
	}
}

// The end of somebody's visibility timeout is known, no poll is needed for it.
func TestTimeoutsAreAwaited(t *testing.T) {
	s := open(t, newDir(t))
	local.SetPoll(s, time.Hour)
	must(t, s.Queue().Send(t.Context(), []byte("m"), ""))
	list, err := s.Queue().Receive(t.Context(), 1, 0)
	must(t, err)
	extend(t, s.Queue(), 300*time.Millisecond, list[0])
	if list, err = s.Queue().Receive(t.Context(), 1, 15*time.Second); err != nil || len(list) != 1 {
		t.Errorf("after the timeout: %v, %v", list, err)
	}
}

func TestLongPathsPollLoudly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	must(t, local.Prepare(dir))
	var log bytes.Buffer
	s, err := local.Open(local.Options{Dir: dir, Visibility: time.Minute, MaxReceives: 5, Log: slog.New(slog.NewTextHandler(&log, nil))})
	must(t, err)
	defer s.Close()
	for range 3 {
		var wg sync.WaitGroup
		wg.Go(func() {
			if list, err := s.Queue().Receive(t.Context(), 1, 15*time.Second); err != nil || len(list) != 1 {
				t.Errorf("received %v, %v", list, err)
			}
		})
		time.Sleep(20 * time.Millisecond)
		must(t, s.Queue().Send(t.Context(), []byte("m"), ""))
		wg.Wait()
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), dir) {
		t.Errorf("%d warnings, want one that names the path:\n%s", n, log.String())
	}
}

func sockets(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "wake", "*"))
	must(t, err)
	return names
}

func TestCloseLeavesNoSocket(t *testing.T) {
	dir := newDir(t)
	s, err := local.Open(local.Options{Dir: dir, Visibility: time.Minute, MaxReceives: 5})
	must(t, err)
	_, err = s.Queue().Receive(t.Context(), 1, 0)
	must(t, err)
	if len(sockets(t, dir)) != 1 {
		t.Errorf("sockets of a receiver: %v", sockets(t, dir))
	}
	must(t, s.Close())
	if left := sockets(t, dir); len(left) > 0 {
		t.Errorf("after Close there are %v", left)
	}
	if _, err := os.Stat(filepath.Join(dir, "wake")); err != nil {
		t.Error(err)
	}
}
