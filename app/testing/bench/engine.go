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

// sample is what one photo cost once.
type sample struct {
	Elapsed   time.Duration // from bytes in memory to bytes in memory, as the process saw it
	Outside   time.Duration // the same with the way through the pipes
	CPU       time.Duration // of all threads since the last photo, the pipes included; 0 if unknown
	Mallocs   uint64        // Go only, as the next
	Allocated uint64
}

// engine is somebody who filters photos.
type engine interface {
	// develop filters one photo, and says what it cost.
	develop(p photo) (sample, []byte, error)
	// versions names the program and its libraries.
	versions() string
	pid() int
	close()
}

// framed is a long-lived process that speaks the protocol of package frame.
type framed struct {
	look   string
	cmd    *exec.Cmd
	in     *bufio.Writer
	pipe   io.Closer
	out    *bufio.Reader
	stderr *bytes.Buffer
	hello  frame.Hello
	cpu    int64 // microseconds so far
}

// startFramed starts a process on these cores only, as a scheduler sees them, and waits for its greeting.
func startFramed(ctx context.Context, look string, cores []int, args ...string) (*framed, error) {
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", coreList(cores)}, args...)...)
	e := &framed{look: look, cmd: cmd, stderr: &bytes.Buffer{}}
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

// close ends the process: the end of its input is its end.
func (e *framed) close() {
	e.pipe.Close()
	if err := e.cmd.Wait(); err != nil {
		e.cmd.Process.Kill() // gone already, if it ended badly by itself
	}
}

func (e *framed) develop(p photo) (sample, []byte, error) {
	s, body, err := e.ask(e.look, p.result(), p.raw)
	if err != nil {
		return s, nil, fmt.Errorf("%s of %s: %w", e.look, p.name, err)
	}
	return s, body, nil
}

func (e *framed) ask(look, format string, raw []byte) (sample, []byte, error) {
	began := time.Now()
	err := frame.Write(e.in, frame.Request{Look: look, Format: format, Size: len(raw)}, raw)
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

// peak is the most memory that a process ever held, in bytes, as the kernel counts it.
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
