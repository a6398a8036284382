package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"imagery/app/testing/bench/frame"
)

// sample is the cost of filtering one photo once.
type sample struct {
	Elapsed   time.Duration // measured by the process, without its input and output
	Outside   time.Duration // measured by the benchmark, with the pipes
	CPU       time.Duration // of all threads since the previous photo, with the pipes; 0 if unknown
	Mallocs   uint64        // Go only, like Allocated
	Allocated uint64
}

// engine is a program that filters photos.
type engine interface {
	// filter filters one photo and returns its cost and the result.
	filter(p photo) (sample, []byte, error)
	// versions returns the names and versions of the program and its libraries.
	versions() string
	pid() int
	close()
}

// framed is a process that implements the protocol of package frame.
type framed struct {
	operation string
	cmd       *exec.Cmd
	in        *bufio.Writer
	pipe      io.Closer
	out       *bufio.Reader
	stderr    *bytes.Buffer
	hello     frame.Hello
	cpu       int64 // microseconds since the start of the process
}

// startFramed starts a process on the given cores and waits for its first line.
func startFramed(ctx context.Context, operation string, cores []int, args ...string) (*framed, error) {
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", coreList(cores)}, args...)...)
	e := &framed{operation: operation, cmd: cmd, stderr: &bytes.Buffer{}}
	cmd.Stderr = e.stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %v: %w", args, err)
	}
	e.pipe, e.in, e.out = in, bufio.NewWriterSize(in, 64<<10), bufio.NewReaderSize(out, 64<<10)
	if err := frame.ReadHead(e.out, &e.hello); err != nil {
		e.close()
		return nil, fmt.Errorf("start %v: %w\n%s", args, err, e.stderr)
	}
	return e, nil
}

func coreList(cores []int) string {
	var l []string
	for _, c := range cores {
		l = append(l, strconv.Itoa(c))
	}
	return strings.Join(l, ",")
}

func (e *framed) versions() string { return e.hello.Versions }
func (e *framed) pid() int         { return e.cmd.Process.Pid }

// close closes the input of the process, which ends it.
func (e *framed) close() {
	e.pipe.Close()
	if err := e.cmd.Wait(); err != nil {
		e.cmd.Process.Kill() // it may have ended with an error by itself
	}
}

func (e *framed) filter(p photo) (sample, []byte, error) {
	s, body, err := e.ask(e.operation, p.result(), p.raw)
	if err != nil {
		return s, nil, fmt.Errorf("%s of %s: %w", e.operation, p.name, err)
	}
	return s, body, nil
}

func (e *framed) ask(operation, format string, raw []byte) (sample, []byte, error) {
	began := time.Now()
	err := frame.Write(e.in, frame.Request{Operation: operation, Format: format, Size: len(raw)}, raw)
	var reply frame.Reply
	if err == nil {
		err = frame.ReadHead(e.out, &reply)
	}
	if err != nil {
		return sample{}, nil, fmt.Errorf("%w\n%s", err, e.stderr)
	}
	body, err := frame.ReadBody(e.out, reply.Size)
	if err == nil && reply.Error != "" {
		err = errors.New(reply.Error)
	}
	s := sample{Elapsed: time.Duration(reply.Nanos), Outside: time.Since(began), Mallocs: reply.Mallocs,
		Allocated: reply.Allocated, CPU: time.Duration(reply.CPUMicros-e.cpu) * time.Microsecond}
	e.cpu = reply.CPUMicros
	return s, body, err
}

// peak returns the peak resident memory of a process in bytes, as the kernel counts it.
func peak(pid int) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("no VmHWM of process %d", pid)
}
