package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"imagery/app/imagery"
	awsstore "imagery/app/store/aws"
	"imagery/app/store/local"
	"imagery/app/testing/fakeaws"
	"imagery/app/testing/process"
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
		return store{[]string{"-data", dir}, nil, l.Catalog(), func() { l.Close(); os.RemoveAll(dir) }}, nil
	}
	c := fakeaws.New()
	stack, err := c.NewStack(ctx, "imagery", imagery.Limits{Visibility: time.Minute, MaxReceives: 5})
	if err == nil {
		var b *awsstore.Store
		b, err = awsstore.Open(ctx, awsstore.Options{Table: stack.Table, Bucket: stack.Bucket, QueueURL: stack.QueueURL,
			S3PathStyle: true, AWS: c.Config("bench")})
		if err == nil {
			flags := []string{"-table", stack.Table, "-bucket", stack.Bucket, "-queue-url", stack.QueueURL,
				"-s3-path-style"}
			return store{flags, c.Env("fleet"), b.Catalog(), c.Close}, nil
		}
	}
	c.Close()
	return s, fmt.Errorf("start the emulators: %w", err)
}

// startFleet starts the binary and waits until it is ready. took is the time from the start to readiness.
func startFleet(ctx context.Context, exe string, s store, flags ...string) (
	p *process.Process, took time.Duration, err error) {
	args := append([]string{"-listen", "127.0.0.1:0"}, append(flags, s.flags...)...)
	began := time.Now()
	// A service under load logs much, and the lines that are read come first.
	p, err = process.Command{Exe: exe, Args: args, Env: s.env, MaxLog: 1 << 20}.Start(ctx)
	if err != nil {
		return nil, 0, err
	}
	if err := awaitReady(ctx, p); err != nil {
		p.Kill()
		return nil, 0, fmt.Errorf("wait until the service is ready: %w", err)
	}
	return p, time.Since(began), nil
}

func awaitReady(ctx context.Context, p *process.Process) error {
	for ctx.Err() == nil {
		res, err := http.Get(p.URL + "/readyz")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-p.Done():
			return fmt.Errorf("the process ended: %w", p.Err)
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// childPIDs returns the process ids of the children of one role.
func childPIDs(ctx context.Context, fleet *process.Process, role string) (pids []int, err error) {
	for i := range localProcesses {
		pid, err := fleet.ChildPID(ctx, fmt.Sprintf("%s-%d", role, i+1))
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// largestPeak returns the largest peak memory of the processes, in bytes.
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

// resetPeaks makes the kernel measure the peak memory of the processes anew.
func resetPeaks(pids []int) error {
	for _, pid := range pids {
		if err := os.WriteFile(filepath.Join("/proc", strconv.Itoa(pid), "clear_refs"), []byte("5"), 0); err != nil {
			return fmt.Errorf("reset the peak memory: %w", err)
		}
	}
	return nil
}
