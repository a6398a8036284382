package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"imagery/app/testing/bench/protocol"
)

// sample is the cost of filtering one photo once.
type sample struct {
	Elapsed   time.Duration
	CPU       time.Duration // of all threads since the previous photo, with its files; 0 if unknown
	Mallocs   uint64        // Go only, like Allocated
	Allocated uint64
}

// engine is a process that filters photos. It reads a line for each photo, and writes a line when the result is in its
// file.
type engine struct {
	versions  string // names and versions of the program and its libraries
	operation string // of a program that implements the protocol
	request   func(p photo, in, out string) (line string)
	reply     func(line []byte, took time.Duration) (sample, error)

	dir   string
	photo string // name of the photo in the folder
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
}

// start starts a process on the given cores, with its files in a new folder in dir.
func start(ctx context.Context, dir string, cores []int, args ...string) (*engine, error) {
	list := strings.Trim(strings.ReplaceAll(fmt.Sprint(cores), " ", ","), "[]")
	e := &engine{cmd: exec.CommandContext(ctx, "taskset", append([]string{"-c", list}, args...)...)}
	e.cmd.Env = append(os.Environ(), fmt.Sprintf("OMP_NUM_THREADS=%d", len(cores)))
	e.cmd.Stderr = os.Stderr
	out, err := e.cmd.StdoutPipe()
	if err == nil {
		e.out = bufio.NewReader(out)
		e.in, err = e.cmd.StdinPipe()
	}
	if err == nil {
		err = e.cmd.Start()
	}
	if err == nil {
		e.dir, err = os.MkdirTemp(dir, "imagery-bench")
	}
	if err != nil {
		return nil, fmt.Errorf("start %v: %w", args, err)
	}
	return e, nil
}

// startProtocol starts a process that implements the protocol, and uses one of its operations.
func startProtocol(ctx context.Context, operation string, cores []int, args ...string) (*engine, error) {
	e, err := start(ctx, "", cores, args...)
	if err != nil {
		return nil, err
	}
	var hello protocol.Hello
	line, err := e.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &hello)
	}
	if err != nil {
		e.close()
		return nil, fmt.Errorf("start %v: %w", args, err)
	}
	e.versions, e.operation = hello.Versions, operation
	e.request = func(p photo, in, out string) string {
		// A struct of strings has no errors.
		line, _ := json.Marshal(protocol.Request{Operation: e.operation, Format: p.kind.result, In: in, Out: out})
		return string(line)
	}
	var cpu int64 // microseconds since the start of the process
	e.reply = func(line []byte, _ time.Duration) (s sample, err error) {
		var r protocol.Reply
		if err := json.Unmarshal(line, &r); err != nil {
			return s, err
		}
		if r.Error != "" {
			return s, errors.New(r.Error)
		}
		s = sample{time.Duration(r.Nanos), time.Duration(r.CPUMicros-cpu) * time.Microsecond, r.Mallocs, r.Allocated}
		cpu = r.CPUMicros
		return s, nil
	}
	return e, nil
}

// filter filters one photo and returns its cost and the result.
func (e *engine) filter(p photo) (s sample, result []byte, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("filter %s with %s: %w", p.name, e.versions, err)
		}
	}()
	in, out := filepath.Join(e.dir, "in."+p.kind.extension), filepath.Join(e.dir, "out."+p.kind.result)
	if e.photo != p.name {
		if err := os.WriteFile(in, p.raw, 0o600); err != nil {
			return s, nil, err
		}
		e.photo = p.name
	}
	began := time.Now()
	if _, err := io.WriteString(e.in, e.request(p, in, out)+"\n"); err != nil {
		return s, nil, err
	}
	line, err := e.out.ReadBytes('\n')
	if err == nil {
		s, err = e.reply(line, time.Since(began))
	}
	if err == nil {
		result, err = os.ReadFile(out)
	}
	return s, result, err
}

// close closes the input of the process, which ends it.
func (e *engine) close() {
	e.in.Close()
	_ = e.cmd.Wait() // error messages are on standard error
	os.RemoveAll(e.dir)
}

// peak returns the peak resident memory of a process in bytes, as the kernel counts it.
func peak(pid int) (int64, error) {
	kib, err := strconv.ParseInt(strings.TrimSuffix(field(fmt.Sprintf("/proc/%d/status", pid), "VmHWM"), " kB"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read the peak memory of process %d: %w", pid, err)
	}
	return kib << 10, nil
}
