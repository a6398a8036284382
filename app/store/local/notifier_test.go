package local_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"imagery/app/imagery"
	"imagery/app/store/local"
	"imagery/app/testing/conformance"
	"imagery/app/testing/short"
)

// await receives one message with a very long poll interval, so that only a notification or the end of a known
// visibility timeout can deliver it in time.
func await(t *testing.T, s *local.Store, act func()) imagery.Message {
	t.Helper()
	const wait = 20 * time.Second
	local.SetPoll(s, time.Hour)
	time.AfterFunc(50*time.Millisecond, act) // once the receiver sleeps
	start := time.Now()
	list, err := s.Queue().Receive(t.Context(), 1, wait)
	must(t, err)
	if took := time.Since(start); len(list) != 1 || took > wait/2 {
		t.Fatalf("received %v after %s, wait time %s", list, took, wait)
	}
	return list[0]
}

func TestReceiversAreNotified(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	s := open(t, dir)
	other := conformance.Spawn(t, servePorts+"="+dir)
	for range 5 {
		m := await(t, s, func() { try(t, other.Queue.Send(t.Context(), []byte("from another process"), "")) })
		m = await(t, s, func() { // released by another process
			_, err := other.Queue.Extend(t.Context(), 0, m)
			try(t, err)
		})
		must(t, s.Queue().Delete(t.Context(), m))
		m = await(t, s, func() { try(t, s.Queue().Send(t.Context(), []byte("from this process"), "")) })
		must(t, s.Queue().Delete(t.Context(), m))
	}
}

// A receiver sleeps until the next visibility timeout ends, without polling.
func TestReceiveAwaitsVisibilityTimeout(t *testing.T) {
	t.Parallel()
	s := open(t, newDir(t))
	must(t, s.Queue().Send(t.Context(), []byte("m"), ""))
	list, err := s.Queue().Receive(t.Context(), 1, 0)
	must(t, err)
	_, err = s.Queue().Extend(t.Context(), 300*time.Millisecond, list...)
	must(t, err)
	await(t, s, func() {})
}

func TestReceiveEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := open(t, newDir(t))
	local.SetPoll(s, time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	list, err := s.Queue().Receive(ctx, 1, 20*time.Second)
	if took := time.Since(start); len(list) > 0 || err != nil || took > 10*time.Second {
		t.Errorf("received %v, %v after %s", list, err, took)
	}
}

// A receipt ends with its visibility timeout, even if the message was not received since.
func TestLateDeleteIsIgnored(t *testing.T) {
	t.Parallel()
	q := open(t, newDir(t)).Queue()
	must(t, q.Send(t.Context(), []byte("m"), ""))
	list, err := q.Receive(t.Context(), 1, 0)
	must(t, err)
	_, err = q.Extend(t.Context(), 10*time.Millisecond, list...)
	must(t, err)
	time.Sleep(20 * time.Millisecond)
	must(t, q.Delete(t.Context(), list...))
	if again, err := q.Receive(t.Context(), 1, 0); err != nil || len(again) != 1 {
		t.Errorf("after a late delete: %v, %v", again, err)
	}
}

// try is like must, for other goroutines than the test's.
func try(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func TestLongPathsPollAndWarn(t *testing.T) {
	t.Parallel()
	short.Skip(t, "folders with long paths")
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	must(t, local.Prepare(dir))
	var log bytes.Buffer
	s, err := local.Open(local.Options{Dir: dir, Visibility: time.Minute, MaxReceives: 5,
		Log: slog.New(slog.NewTextHandler(&log, nil))})
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

func sockets(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	return files(t, filepath.Join(dir, "wake"))
}

func TestCloseLeavesNoSocket(t *testing.T) {
	t.Parallel()
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
