package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"imagery/app/testing/bench/frame"
)

// memoryFolder creates a folder for programs that only take file names, in memory if the system has /dev/shm.
func memoryFolder() (string, error) {
	if s, err := os.Stat("/dev/shm"); err == nil && s.IsDir() {
		return os.MkdirTemp("/dev/shm", "imagery-bench")
	}
	return os.MkdirTemp("", "imagery-bench")
}

// files is a folder with the input and output of a program that only takes file names.
type files struct{ dir string }

func (f files) in(p photo) string  { return filepath.Join(f.dir, "in."+p.extension()) }
func (f files) out(p photo) string { return filepath.Join(f.dir, "out."+p.result()) }
func (f files) close()             { os.RemoveAll(f.dir) }

// arguments returns the arguments of GraphicsMagick or ImageMagick for one photo. At this quality both write 4:4:4 by
// default.
func (f files) arguments(p photo, matrixFlag string) []string {
	args := []string{f.in(p), "-auto-orient", matrixFlag, flat(frame.Matrix)}
	if p.result() == "jpeg" {
		return append(args, "-sampling-factor", "2x2,1x1,1x1", "-quality", "90", f.out(p))
	}
	return append(args, "-quality", "15", f.out(p)) // zlib level 1, the filter is chosen for each row
}

func flat(m [3][3]float64) string {
	var l []string
	for _, row := range m {
		for _, v := range row {
			l = append(l, fmt.Sprintf("%.5f", v))
		}
	}
	return strings.Join(l, " ")
}

// batch is one GraphicsMagick process for all photos. It only takes files, so they are in memory; it prints PASS after
// each command.
type batch struct {
	files
	cmd      *exec.Cmd
	commands io.WriteCloser
	replies  *bufio.Reader
	name     string
}

func startBatch(ctx context.Context, cores []int) (*batch, error) {
	version, err := exec.CommandContext(ctx, "gm", "version").Output()
	if err != nil {
		return nil, fmt.Errorf("run gm: %w", err)
	}
	dir, err := memoryFolder()
	if err != nil {
		return nil, err
	}
	b := &batch{files: files{dir}, name: firstWords(version, 2)}
	b.cmd = exec.CommandContext(ctx, "taskset", "-c", coreList(cores),
		"gm", "batch", "-prompt", "off", "-feedback", "on", "-")
	b.cmd.Env = append(os.Environ(), fmt.Sprintf("OMP_NUM_THREADS=%d", len(cores)))
	b.cmd.Stderr = os.Stderr
	out, err := b.cmd.StdoutPipe()
	if err == nil {
		b.commands, err = b.cmd.StdinPipe()
	}
	if err == nil {
		err = b.cmd.Start()
	}
	if err != nil {
		b.files.close()
		return nil, fmt.Errorf("start gm: %w", err)
	}
	b.replies = bufio.NewReader(out)
	return b, nil
}

func firstWords(text []byte, n int) string {
	words := strings.Fields(string(text))
	return strings.Join(words[:min(n, len(words))], " ")
}

func (b *batch) versions() string { return b.name }
func (b *batch) pid() int         { return b.cmd.Process.Pid }

func (b *batch) close() {
	b.commands.Close()
	b.cmd.Wait() // error messages are on standard error
	b.files.close()
}

func (b *batch) filter(p photo) (sample, []byte, error) {
	if err := os.WriteFile(b.in(p), p.raw, 0o600); err != nil {
		return sample{}, nil, err
	}
	var line bytes.Buffer
	line.WriteString("convert")
	for _, a := range b.arguments(p, "-recolor") {
		fmt.Fprintf(&line, " %q", a)
	}
	line.WriteByte('\n')
	began := time.Now()
	if _, err := b.commands.Write(line.Bytes()); err != nil {
		return sample{}, nil, fmt.Errorf("gm: %w", err)
	}
	verdict, err := b.replies.ReadString('\n')
	took := time.Since(began)
	if err == nil && strings.TrimSpace(verdict) != "PASS" {
		err = fmt.Errorf("%s answered %q", line.Bytes(), verdict)
	}
	if err != nil {
		return sample{}, nil, fmt.Errorf("gm: %w", err)
	}
	body, err := os.ReadFile(b.out(p))
	return sample{Elapsed: took, Outside: took}, body, err
}

// processPerPhoto is ImageMagick, which needs a process for each photo. The cost of starting it is measured separately,
// with a photo of one pixel.
type processPerPhoto struct {
	files
	ctx   context.Context
	exe   string
	cores []int
	name  string
}

// magickNames are the names of the program of ImageMagick: version 7, Debian's version 6, version 6.
var magickNames = []string{"magick", "convert-im6.q16", "convert"}

func findMagick() (string, error) {
	for _, name := range magickNames {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%v: %w", magickNames, exec.ErrNotFound)
}

func newProcessPerPhoto(ctx context.Context, cores []int) (*processPerPhoto, error) {
	exe, err := findMagick()
	if err != nil {
		return nil, err
	}
	version, err := exec.CommandContext(ctx, exe, "-version").Output()
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", exe, err)
	}
	name := strings.TrimPrefix(firstWords(version, 3), "Version: ")
	dir, err := memoryFolder()
	return &processPerPhoto{files{dir}, ctx, exe, cores, name}, err
}

func (m *processPerPhoto) versions() string { return m.name }
func (m *processPerPhoto) pid() int         { return 0 }

func (m *processPerPhoto) filter(p photo) (sample, []byte, error) {
	if err := os.WriteFile(m.in(p), p.raw, 0o600); err != nil {
		return sample{}, nil, err
	}
	args := append([]string{"-c", coreList(m.cores), m.exe}, m.arguments(p, "-color-matrix")...)
	cmd := exec.CommandContext(m.ctx, "taskset", args...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("OMP_NUM_THREADS=%d", len(m.cores)))
	began := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(began)
	if err != nil {
		return sample{}, nil, fmt.Errorf("%s: %w\n%s", m.exe, err, out)
	}
	body, err := os.ReadFile(m.out(p))
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return sample{Elapsed: took, Outside: took, CPU: used}, body, err
}
