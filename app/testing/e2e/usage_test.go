package e2e

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBadSettings checks that each bad setting ends the program with the right exit code and one line that names the
// flag and the variable.
func TestBadSettings(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	data := t.TempDir()
	for _, c := range []struct {
		args []string
		env  string
		code int
		want []string
	}{
		{[]string{"-role", "king"}, "", 2, []string{"king", "-role, IMAGERY_ROLE"}},
		{nil, "IMAGERY_ROLE=king", 2, []string{"king", "-role, IMAGERY_ROLE"}},
		{[]string{"-table", "images"}, "", 2, []string{"-table is set", "-bucket, IMAGERY_BUCKET",
			"-queue-url, IMAGERY_QUEUE_URL"}},
		{[]string{"-nonsense"}, "", 2, []string{"nonsense"}},
		{[]string{"-visibility", "soon"}, "", 2, []string{"-visibility, IMAGERY_VISIBILITY"}},
		{[]string{"-failpoint", "nowhere"}, "", 2, []string{"nowhere", "-failpoint, IMAGERY_FAILPOINT"}},
		{[]string{"nonsense"}, "", 2, []string{"nonsense"}},
		{[]string{"-data", file}, "", 1, []string{file, "-data, IMAGERY_DATA"}},
		{[]string{"-data", file, "-role", "server"}, "", 1, []string{file, "-data, IMAGERY_DATA"}},
		{[]string{"-listen", l.Addr().String()}, "", 1, []string{l.Addr().String(), "-listen, IMAGERY_LISTEN"}},
		{[]string{"-listen", l.Addr().String(), "-role", "worker"}, "", 1,
			[]string{l.Addr().String(), "-listen, IMAGERY_LISTEN"}},
		{[]string{"-memory", "63MiB"}, "", 2, []string{"-memory, IMAGERY_MEMORY", "64 MiB"}},
		{nil, "IMAGERY_MEMORY=63MiB", 2, []string{"-memory, IMAGERY_MEMORY"}},
		{[]string{"-photo-memory", "some"}, "", 2, []string{"-photo-memory, IMAGERY_PHOTO_MEMORY"}},
	} {
		args := c.args
		if !strings.Contains(strings.Join(args, " "), "-data") {
			args = append(args, "-data", data)
		}
		cmd := exec.Command(exe, args...)
		if c.env != "" {
			cmd.Env = append(os.Environ(), c.env)
		}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		err := cmd.Run()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != c.code {
			t.Errorf("%v %s: %v, want exit code %d", c.args, c.env, err, c.code)
		}
		if lines := strings.Count(stderr.String(), "\n"); lines != 1 {
			t.Errorf("%v %s: %d lines: %s", c.args, c.env, lines, stderr.String())
		}
		for _, want := range c.want {
			if !strings.Contains(stderr.String(), want) {
				t.Errorf("%v %s: %q does not say %q", c.args, c.env, stderr.String(), want)
			}
		}
	}
}

// TestListenAddresses checks that a bare port means this machine only, and that listening on all interfaces gives a
// warning.
func TestListenAddresses(t *testing.T) {
	t.Parallel()
	for listen, all := range map[string]bool{"0": false, ":0": true} {
		p := start(t, t.TempDir(), nil, "-listen", listen)
		c := newClient(t, p.url)
		c.ready(t.Context(), p)
		if !all && !strings.HasPrefix(p.url, "http://127.0.0.1:") {
			t.Errorf("-listen %s listens on %s", listen, p.url)
		}
		if warned := strings.Contains(logOf(t, p), "all interfaces"); warned != all {
			t.Errorf("-listen %s: warned %t", listen, warned)
		}
	}
}

func TestHelp(t *testing.T) {
	out, err := exec.Command(exe, "-h").Output()
	if err != nil || !strings.Contains(string(out), "IMAGERY_ROLE") {
		t.Errorf("-h: %v\n%s", err, out)
	}
}
