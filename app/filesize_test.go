//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// A write beyond the limit of the log (LimitFSIZE in the unit) fails, and the process goes on: Go's runtime makes
// nothing of the signal, whose default ends a program.
func TestOutlivesFileSize(t *testing.T) {
	if path := os.Getenv("IMAGERY_TEST_FILESIZE"); path != "" {
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(make([]byte, 1<<20)); !errors.Is(err, syscall.EFBIG) {
			t.Errorf("wrote past the limit: %v", err)
		}
		return
	}
	c := exec.Command("sh", "-c", `ulimit -f 8 && exec "$0" -test.run '^TestOutlivesFileSize$'`, os.Args[0])
	c.Env = append(os.Environ(), "IMAGERY_TEST_FILESIZE="+filepath.Join(t.TempDir(), "log"))
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
