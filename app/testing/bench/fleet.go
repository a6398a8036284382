package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"imagery/app/imagery"
	awsstore "imagery/app/store/aws"
	"imagery/app/store/local"
	"imagery/app/testing/fakeaws"
)

// The backends of a service.
const (
	onLocal = "local"
	onAWS   = "AWS emulators"
)

// store is where a fleet keeps its images.
type store struct {
	flags   []string
	env     []string
	catalog imagery.Catalog // to read what the service has written, when
	close   func()
}

// openStore makes an empty one.
func openStore(ctx context.Context, backend, dir string) (s store, err error) {
	if backend == onLocal {
		dir, err := os.MkdirTemp(dir, "data")
		if err != nil {
			return s, err
		}
		if err := local.Prepare(dir); err != nil {
			return s, err
		}
		l, err := local.Open(local.Options{Dir: dir, Visibility: time.Minute, MaxReceives: 5, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return s, err
		}
		return store{[]string{"-data", dir}, nil, l.Catalog(), func() { l.Close(); os.RemoveAll(dir) }}, nil
	}
	c := fakeaws.New()
	stack, err := c.NewStack(ctx, "imagery", imagery.Limits{Visibility: time.Minute, MaxReceives: 5})
	if err == nil {
		var b *awsstore.Store
		b, err = awsstore.Open(ctx, awsstore.Options{Table: stack.Table, Bucket: stack.Bucket, QueueURL: stack.QueueURL, S3PathStyle: true, AWS: c.Config("bench")})
		if err == nil {
			flags := []string{"-table", stack.Table, "-bucket", stack.Bucket, "-queue-url", stack.QueueURL, "-s3-path-style"}
			return store{flags, c.Env("fleet"), b.Catalog(), c.Close}, nil
		}
	}
	c.Close()
	return s, fmt.Errorf("start the emulators: %w", err)
}

// fleet is a running service.
type fleet struct {
	cmd  *exec.Cmd
	url  string
	said *words
	done chan struct{} // closed when it is gone
}

// startFleet runs the binary and waits until it is ready; that took so long.
func startFleet(ctx context.Context, exe string, s store, flags ...string) (*fleet, time.Duration, error) {
	args := append([]string{"-listen", "127.0.0.1:0"}, append(flags, s.flags...)...)
	f := &fleet{cmd: exec.CommandContext(ctx, exe, args...), said: &words{changed: make(chan struct{})}, done: make(chan struct{})}
	f.cmd.Env = append(os.Environ(), s.env...)
	f.cmd.Stdout, f.cmd.Stderr = f.said, f.said
	began := time.Now()
	if err := f.cmd.Start(); err != nil {
		return nil, 0, fmt.Errorf("start the service: %w", err)
	}
	go func() { f.cmd.Wait(); close(f.done) }() // how it ended shows in its words
	address, err := f.await(ctx, `(?m)^listening on (http://\S+)$`)
	if err == nil {
		f.url = address
		err = f.ready(ctx)
	}
	if err != nil {
		f.stop()
		return nil, 0, fmt.Errorf("start the service: %w\n%s", err, f.said.tail())
	}
	return f, time.Since(began), nil
}

// ready asks until the service is.
func (f *fleet) ready(ctx context.Context) error {
	for ctx.Err() == nil {
		res, err := http.Get(f.url + "/readyz")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-f.done:
			return fmt.Errorf("it ended")
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// await waits for a line of that form, and returns its group.
func (f *fleet) await(ctx context.Context, form string) (string, error) {
	re := regexp.MustCompile(form)
	for {
		found, changed := f.said.find(re)
		if found != "" {
			return found, nil
		}
		select {
		case <-changed:
		case <-f.done:
			return "", fmt.Errorf("the process ended without a line %q", form)
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// stop ends the service as an operator does, and waits until it is gone.
func (f *fleet) stop() {
	f.cmd.Process.Signal(syscall.SIGTERM) // an error means that it is gone
	select {
	case <-f.done:
	case <-time.After(30 * time.Second):
		f.cmd.Process.Kill()
		<-f.done
	}
}

// children are the pids of one role; a single server is its own.
func (f *fleet) children(ctx context.Context, role string, n int) (pids []int, err error) {
	for i := range n {
		found, err := f.await(ctx, `"child started".*"name":"`+role+"-"+strconv.Itoa(i+1)+`","pid":(\d+)`)
		if err != nil {
			return nil, err
		}
		pid, err := strconv.Atoi(found)
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// largestPeak is the peak of whichever process has the largest.
func largestPeak(pids []int) (most int64, err error) {
	for _, pid := range pids {
		p, err := peak(pid)
		if err != nil {
			return 0, err
		}
		most = max(most, p)
	}
	return most, nil
}

// forgetPeaks makes the kernel count from here.
func forgetPeaks(pids []int) error {
	for _, pid := range pids {
		if err := os.WriteFile(filepath.Join("/proc", strconv.Itoa(pid), "clear_refs"), []byte("5"), 0); err != nil {
			return fmt.Errorf("begin a new peak: %w", err)
		}
	}
	return nil
}

// words are what a process says.
type words struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed and replaced with every write
}

func (w *words) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	// A service under load says much, and all that is asked for comes first.
	if w.text.Len() < 1<<20 {
		w.text.Write(b)
		close(w.changed)
		w.changed = make(chan struct{})
	}
	return len(b), nil
}

// find returns the group of the first match, or a channel that tells when to look again.
func (w *words) find(re *regexp.Regexp) (group string, changed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m := re.FindSubmatch(w.text.Bytes()); m != nil {
		return string(m[1]), nil
	}
	return "", w.changed
}

func (w *words) tail() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	lines := strings.SplitAfter(w.text.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "")
}
