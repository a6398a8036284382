package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program is a running binary, usually a fleet.
type program struct {
	url  string
	data string
	cmd  *exec.Cmd
	log  string // path of what it wrote to stderr, and to stdout after its first line
	done chan error
}

// stopLimit is the time after which a program that does not stop is taken to hang.
const stopLimit = 2 * time.Minute

// start runs the binary until the test ends. The first line of its output has the address.
func start(t testing.TB, data string, env []string, args ...string) *program {
	t.Helper()
	return startBy(t, nil, data, env, args...)
}

// startBy runs the binary with a command, to which its path and arguments are added.
func startBy(t testing.TB, by []string, data string, env []string, args ...string) *program {
	t.Helper()
	p := &program{data: data, log: filepath.Join(t.TempDir(), "log"), done: make(chan error, 1)}
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{"-listen", "127.0.0.1:0", "-data", data}, withQueueChaos(t, args)...)
	command := append(append(by, exe), args...)
	p.cmd = exec.Command(command[0], command[1:]...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = log
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(stopLimit):
			p.cmd.Process.Kill()
			t.Errorf("the program did not stop within %s", stopLimit)
		}
		log.Close()
		if t.Failed() {
			logTail(t, p.log)
		}
	})
	out := bufio.NewReader(stdout)
	line, err := out.ReadString('\n')
	if err != nil {
		p.done <- p.cmd.Wait()
		text, _ := os.ReadFile(p.log)
		t.Fatalf("the program ended before it listened: %s", text)
	}
	go func() {
		io.Copy(log, out)
		p.done <- p.cmd.Wait()
	}()
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		t.Fatalf("first line %q", line)
	}
	p.url = url
	return p
}

// logTail writes the end of a log file to the test log.
func logTail(t testing.TB, path string) {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Log(err)
		return
	}
	t.Logf("end of the log:\n%s", data[max(0, len(data)-4000):])
}

// child is a process of a fleet, as /proc shows it.
type child struct {
	pid  int
	role string // server or worker
}

// children lists the running child processes of the fleet.
func (p *program) children(t testing.TB) []child {
	t.Helper()
	var list []child
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it ended meanwhile
		}
		// The format is "pid (comm) state ppid …". comm may contain anything, so the fields are counted from its last
		// parenthesis.
		_, rest, _ := bytes.Cut(data, []byte(") "))
		f := strings.Fields(string(rest))
		if len(f) < 2 || f[0] == "Z" || f[1] != strconv.Itoa(p.cmd.Process.Pid) {
			continue
		}
		dir := filepath.Dir(path)
		env, err := os.ReadFile(filepath.Join(dir, "environ"))
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			t.Fatal(err)
		}
		for v := range bytes.SplitSeq(env, []byte{0}) {
			if role, ok := bytes.CutPrefix(v, []byte("IMAGERY_ROLE=")); ok {
				list = append(list, child{pid, string(role)})
			}
		}
	}
	return list
}

// busy reports whether the process is working: a server with an open connection from the load balancer, or a worker
// that uses the processor.
func (c child) busy(t testing.TB) bool {
	t.Helper()
	if c.role == "server" {
		return c.openRequests() > 0
	}
	before := c.ticks()
	for range 5 {
		time.Sleep(10 * time.Millisecond)
		if c.ticks() > before {
			return true
		}
	}
	return false
}

// ticks returns the processor time of the process in clock ticks.
func (c child) ticks() int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.pid))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(data, []byte(") "))
	f := strings.Fields(string(rest))
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return user + system
}

// openRequests counts the established connections to the process's listener.
func (c child) openRequests() int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", c.pid))
	if err != nil {
		return 0
	}
	inodes := map[string]bool{}
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", c.pid))
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, "socket:[") {
			inodes[strings.Trim(to, "socket:[]")] = true
		}
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 9 && f[3] == "01" && inodes[f[9]] { // 01 is ESTABLISHED
			n++
		}
	}
	return n
}
