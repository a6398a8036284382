package e2e

import (
	"bufio"
	"context"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestOutputThatIsNotRead checks that a fleet works and stops although its output is not read, as with a paused
// terminal.
func TestOutputThatIsNotRead(t *testing.T) {
	t.Parallel()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	cmd := exec.Command(exe, "-listen", "127.0.0.1:0", "-data", t.TempDir())
	cmd.Stderr = writer
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	writer.Close()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	p := &program{url: strings.TrimSpace(strings.TrimPrefix(line, "listening on ")), cmd: cmd}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	c := newClient(t, p.url)
	c.ready(ctx, p)
	for i := range 1000 { // each is a line of 300 bytes, a pipe holds 64 KiB
		if status := c.status(ctx, http.MethodGet, "/image/none"); status != http.StatusBadRequest {
			t.Fatalf("request %d: %d", i, status)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended: // its status tells nothing here: a child may have been cut at its last lines
	case <-time.After(stopLimit):
		t.Error("the fleet does not end while its output is not read")
	}
}
