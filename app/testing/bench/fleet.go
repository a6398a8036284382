package main

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"imagery/app/client"
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

// store is the backend of a fleet.
type store struct {
	flags   []string
	env     []string
	catalog imagery.Catalog // reads when an image was processed
	close   func()
}

// openStore creates an empty store.
func openStore(ctx context.Context, backend, dir string) (s store, err error) {
	if backend == onLocal {
		dir, err := os.MkdirTemp(dir, "data")
		if err != nil {
			return s, err
		}
		if err := local.Prepare(dir); err != nil {
			return s, err
		}
		l, err := local.Open(local.Options{Dir: dir, Visibility: time.Minute, MaxReceives: 5,
			Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return s, err
		}
		return store{[]string{"-data", dir}, nil, l.Catalog(), func() { l.Close() }}, nil
	}
	c := fakeaws.New()
	stack, err := c.NewStack(ctx, "imagery", imagery.Limits{Visibility: time.Minute, MaxReceives: 5})
	if err != nil {
		c.Close()
		return s, fmt.Errorf("start the emulators: %w", err)
	}
	b, err := awsstore.Open(ctx, awsstore.Options{Table: stack.Table, Bucket: stack.Bucket, QueueURL: stack.QueueURL,
		S3PathStyle: true, AWS: c.Config("bench")})
	if err != nil {
		c.Close()
		return s, fmt.Errorf("start the emulators: %w", err)
	}
	return store{stack.Flags(), c.Env("fleet"), b.Catalog(), c.Close}, nil
}

// fleet is a running service.
type fleet struct {
	client client.Client // sends each request once
	took   time.Duration // from its start to readiness
	cmd    *exec.Cmd
}

// startFleet starts the binary and waits until it is ready. The end of ctx stops it.
func startFleet(ctx context.Context, exe string, s store) (*fleet, error) {
	cmd := exec.CommandContext(ctx, exe, append([]string{"-listen", "127.0.0.1:0"}, s.flags...)...)
	cmd.Env = append(os.Environ(), s.env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 40 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		return nil, fmt.Errorf("start the service: first line %q: %w", line, err)
	}
	f := &fleet{client: *client.New(url), cmd: cmd}
	// Fewer connections than the balancer keeps open: beyond its limit it closes the oldest ones, which defends it
	// against attackers and is not measured here. Further requests wait in the client, as in a browser.
	const connections = 512
	f.client.HTTP = &http.Client{Transport: &http.Transport{MaxConnsPerHost: connections,
		MaxIdleConnsPerHost: connections}}
	patient := f.client
	patient.Retry = 2 * time.Millisecond
	_, err = patient.Expect(ctx, http.MethodGet, "/readyz", nil, nil, http.StatusOK)
	f.took = time.Since(began)
	return f, err
}

// pids returns the process ids of the children of one role.
func (f *fleet) pids(role string) (list []int) {
	// Each thread lists the processes that it has started.
	paths, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", f.cmd.Process.Pid))
	for _, path := range paths {
		children, _ := os.ReadFile(path) // a thread may have ended
		for _, child := range strings.Fields(string(children)) {
			env, _ := os.ReadFile("/proc/" + child + "/environ")
			pid, err := strconv.Atoi(child)
			if err == nil && strings.Contains(string(env), "IMAGERY_ROLE="+role+"\x00") {
				list = append(list, pid)
			}
		}
	}
	return list
}

// largestPeak returns the largest peak memory of the processes of one role, in bytes.
func (f *fleet) largestPeak(role string) (most int64, err error) {
	for _, pid := range f.pids(role) {
		p, err := peak(pid)
		if err != nil {
			return 0, err
		}
		most = max(most, p)
	}
	return most, nil
}

// resetPeaks makes the kernel measure the peak memory of servers and workers anew.
func (f *fleet) resetPeaks() error {
	for _, pid := range append(f.pids("server"), f.pids("worker")...) {
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
			return fmt.Errorf("reset the peak memory: %w", err)
		}
	}
	return nil
}
