package browser

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"imagery/app/client"
	"imagery/app/imagery"
	"imagery/app/testing/fakeaws"
)

// fleet is the program in role local, with a data folder of its own.
type fleet struct {
	url, port string
	bucket    string // address of the bucket, if results come from one
	pid       int
}

// shared is the fleet of all tests that change no process.
var shared struct {
	sync.Mutex
	*fleet
	stop func()
}

func sharedFleet(t *testing.T) *fleet {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.fleet == nil {
		shared.fleet, shared.stop = runFleet(t, nil)
	}
	return shared.fleet
}

// ownFleet starts a fleet for a test that kills or stops processes, or needs other settings.
func ownFleet(t *testing.T, args ...string) *fleet {
	t.Helper()
	f, stop := runFleet(t, nil, args...)
	t.Cleanup(stop)
	return f
}

// cloudFleet starts a fleet on emulated AWS, where results come from the bucket's origin, which is not the page's.
func cloudFleet(t *testing.T) *fleet {
	t.Helper()
	aws, stack := fakeaws.Start(t, imagery.Limits{Visibility: 10 * time.Second, MaxReceives: 5})
	f, stop := runFleet(t, aws.Env("fleet"), stack.Flags()...)
	t.Cleanup(stop)
	f.bucket = aws.Endpoint + "/" + stack.Bucket
	return f
}

func runFleet(t *testing.T, env []string, args ...string) (*fleet, func()) {
	t.Helper()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.MkdirTemp("", "browser-data")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, append([]string{"-role", "local", "-listen", "127.0.0.1:0", "-data", data}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := func() {
		cmd.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
		late.Stop()
		os.RemoveAll(data)
	}
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		stop()
		t.Fatalf("the first line of the program is %q (%v); it also said: %s", line, err, said.String())
	}
	go io.Copy(io.Discard, lines)
	// The fleet listens before its first server is ready.
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	c := client.New(url)
	c.Retry = 20 * time.Millisecond
	if _, err := c.Expect(ctx, http.MethodGet, "/readyz", nil, nil, http.StatusOK); err != nil {
		stop()
		t.Fatalf("the fleet is not ready: %v; it also said: %s", err, said.String())
	}
	return &fleet{url: url, port: url[strings.LastIndex(url, ":")+1:], pid: cmd.Process.Pid}, stop
}

// foreignURL returns the fleet's address with a host name that is not localhost, over plain HTTP.
func (f *fleet) foreignURL() string { return "http://" + foreignHost + ":" + f.port }

// children lists the fleet's processes of a role, from the process table.
func (f *fleet) children(t *testing.T, role string) []int {
	t.Helper()
	var pids []int
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		dir := filepath.Dir(path)
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		// The name in parentheses may contain anything; state and parent follow its last parenthesis.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if parent, _ := strconv.Atoi(fields[1]); parent != f.pid || fields[0] == "Z" {
			continue
		}
		args, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		env, _ := os.ReadFile(filepath.Join(dir, "environ"))
		words := "\x00" + string(args) + "\x00" + string(env)
		if strings.Contains(words, "\x00-role\x00"+role+"\x00") || strings.Contains(words, "-role="+role+"\x00") ||
			strings.Contains(words, "\x00IMAGERY_ROLE="+role+"\x00") {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			pids = append(pids, pid)
		}
	}
	return pids
}

// signal sends a signal to every process of a role and fails if there is none.
func (f *fleet) signal(t *testing.T, role string, sig syscall.Signal) {
	t.Helper()
	pids := f.children(t, role)
	if len(pids) == 0 {
		t.Fatalf("the fleet %d runs no %s", f.pid, role)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatalf("signal %s %d: %v", role, pid, err)
		}
	}
}

// pauseWorkers stops the workers until release is called, also those that the fleet starts meanwhile to replace them.
func (f *fleet) pauseWorkers(t *testing.T) (release func()) {
	t.Helper()
	f.signal(t, "worker", syscall.SIGSTOP)
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-over:
				return
			case <-time.After(10 * time.Millisecond):
			}
			for _, pid := range f.children(t, "worker") {
				_ = syscall.Kill(pid, syscall.SIGSTOP) // an error means that it has ended
			}
		}
	}()
	release = sync.OnceFunc(func() {
		close(over)
		<-ended
		for _, pid := range f.children(t, "worker") {
			_ = syscall.Kill(pid, syscall.SIGCONT) // an error means that it has ended
		}
	})
	t.Cleanup(release)
	return release
}
