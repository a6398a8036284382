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

// fleet is the program in its local role: balancer, servers and workers, on a data folder of its own.
type fleet struct {
	url, port string
	bucket    string // address of the bucket, if results come from one
	pid       int
}

// shared is for tests that break nothing.
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

// ownFleet is for tests that kill or stop processes, or need other settings.
func ownFleet(t *testing.T, args ...string) *fleet {
	t.Helper()
	f, stop := runFleet(t, nil, args...)
	t.Cleanup(stop)
	return f
}

// cloudFleet keeps its photos on an emulated AWS, as the deployed product does: results come from the bucket's
// origin, which is not the page's.
func cloudFleet(t *testing.T) *fleet {
	t.Helper()
	aws, stack := fakeaws.Start(t, imagery.Limits{Visibility: 10 * time.Second, MaxReceives: 5})
	f, stop := runFleet(t, aws.Env("fleet"),
		"-table", stack.Table, "-bucket", stack.Bucket, "-queue-url", stack.QueueURL, "-s3-path-style")
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
	// It listens before its first server can answer.
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

// foreign is the fleet's address as a browser elsewhere sees it: plain HTTP, and no localhost.
func (f *fleet) foreign() string { return "http://" + foreignHost + ":" + f.port }

// children lists the fleet's processes of a role, from the process table: the fleet is not asked.
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
		// The name in parentheses may hold anything; state and parent follow its last one.
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

// hold keeps the workers from working until the result is called. It stops them, and also those that are started
// meanwhile, before they get to work: the fleet replaces a worker that is frozen for long.
func (f *fleet) hold(t *testing.T) (release func()) {
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
