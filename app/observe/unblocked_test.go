package observe_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"imagery/app/observe"
)

// Output that is not read keeps no writer waiting; what fits comes in order once it is read, and the rest is counted.
func TestUnblocked(t *testing.T) {
	r, w := io.Pipe()
	u := observe.NewUnblocked(w)
	const lines = 3000
	line := strings.Repeat("x", 1000)
	for i := range lines { // three times what may wait
		fmt.Fprintf(u, "%d %s\n", i, line)
	}
	u.Flush(time.Millisecond) // nothing is read yet, and it does not wait for ever
	var got bytes.Buffer
	var reading sync.WaitGroup
	reading.Go(func() { io.Copy(&got, r) })
	u.Flush(20 * time.Second)
	fmt.Fprintln(u, "the last one")
	u.Flush(20 * time.Second)
	w.Close()
	reading.Wait()
	out := strings.Split(strings.TrimSpace(got.String()), "\n")
	kept := 0
	for kept < len(out) && strings.HasPrefix(out[kept], fmt.Sprint(kept, " ")) {
		kept++
	}
	note := fmt.Sprintf("(%d lines were dropped: the output was not read, or full)", lines-kept)
	if kept < 900 || len(out) != kept+2 || out[kept] != note || out[kept+1] != "the last one" {
		t.Errorf("%d lines were kept, then came %q", kept, out[kept:])
	}
}

// limited fails like a file that has reached its limit, until it is shortened.
type limited struct {
	mu    sync.Mutex
	full  bool
	tries int
	got   bytes.Buffer
}

func (l *limited) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tries++; l.full {
		return 0, syscall.EFBIG
	}
	return l.got.Write(p)
}

func (l *limited) set(full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.full = full
}

// Lines that a full log does not take are dropped and counted; what comes after it was rotated is written.
func TestUnblockedOutlivesAFullLog(t *testing.T) {
	l := &limited{}
	u := observe.NewUnblocked(l)
	say := func(text string) {
		fmt.Fprintln(u, text)
		u.Flush(20 * time.Second)
	}
	say("before")
	l.set(true)
	for range 100 {
		say("lost")
	}
	l.set(false)
	say("after")
	say("the last one")
	want := "before\nafter\n(100 lines were dropped: the output was not read, or full)\nthe last one\n"
	if got := l.got.String(); got != want || l.tries != 104 {
		t.Errorf("%d writes, want 104: %q", l.tries, got)
	}
}
