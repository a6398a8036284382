package local_test

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// herd is a set of processes to be killed, with the ids of the uploads that they accepted.
type herd struct {
	t        *testing.T
	dir      string
	members  []*member
	mu       sync.Mutex
	accepted map[string]bool
}

type member struct {
	cmd  *exec.Cmd
	mode string
	in   io.Closer
	done chan struct{} // closed when all of its output was read
}

func (h *herd) start(mode string) {
	cmd, in := child(h.t, mode, h.dir, visibility+"=1s", maxReceives+"=1000")
	m := &member{cmd: cmd, mode: mode, in: in, done: make(chan struct{})}
	h.members = append(h.members, m)
	go func() {
		defer close(m.done)
		for lines := bufio.NewScanner(cmd.Stdout.(*pipe)); lines.Scan(); {
			if id, ok := strings.CutPrefix(lines.Text(), "accepted "); ok && len(id) == 36 {
				h.mu.Lock()
				h.accepted[id] = true
				h.mu.Unlock()
			}
		}
	}()
}

// awaitUploads waits until n uploads were accepted.
func (h *herd) awaitUploads(n int) {
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(time.Millisecond) {
		h.mu.Lock()
		got := len(h.accepted)
		h.mu.Unlock()
		if got >= n {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("%d uploads were accepted, want %d", got, n)
		}
	}
}

// kill kills the members and starts others.
func (h *herd) kill(victims []*member) {
	for _, m := range victims {
		if err := m.cmd.Process.Kill(); err != nil {
			h.t.Fatalf("%s ended by itself: %v", m.mode, err)
		}
	}
	h.members = slices.DeleteFunc(slices.Clone(h.members), func(m *member) bool { return slices.Contains(victims, m) })
	for _, m := range victims {
		m.cmd.Wait()
		m.cmd.Stdout.(*pipe).Close()
		<-m.done
		h.start(m.mode)
	}
}

// stop stops the members of that mode cleanly.
func (h *herd) stop(mode string) {
	var rest []*member
	for _, m := range h.members {
		if m.mode != mode {
			rest = append(rest, m)
			continue
		}
		m.in.Close()
		if err := m.cmd.Wait(); err != nil {
			h.t.Errorf("%s: %v", m.mode, err)
		}
		m.cmd.Stdout.(*pipe).Close()
		<-m.done
	}
	h.members = rest
}

// pipe connects a process's output with its reader.
type pipe struct {
	*io.PipeReader
	w *io.PipeWriter
}

func (p *pipe) Write(b []byte) (int, error) { return p.w.Write(b) }

// Close ends the output.
func (p *pipe) Close() error { return p.w.Close() }

// child starts the test binary in the given mode.
func child(t *testing.T, mode, dir string, env ...string) (*exec.Cmd, io.Closer) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), env...), mode+"="+dir)
	cmd.Stderr = os.Stderr
	r, w := io.Pipe()
	cmd.Stdout = &pipe{r, w}
	in, err := cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill() })
	return cmd, in
}

// untilInputEnds returns a context that ends with the standard input, which the test closes.
func untilInputEnds() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return ctx
}
