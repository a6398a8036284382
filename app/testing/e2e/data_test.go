package e2e

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imagery/app/imagery"
)

// contents lists the files of a folder with their sizes and modes.
func contents(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			fmt.Fprintln(&b, path, info.Mode(), info.Size())
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestForeignFolderIsRefused starts every role and command on a folder with unknown files at paths that the service
// uses. Each must name the file and change nothing.
func TestForeignFolderIsRefused(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	for _, name := range []string{"tmp/letter.txt", "wake/letter.txt", "objects/upload/letter.txt",
		"imagery.db", "fleet.url", "tmp -> outside"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, name)
			if link, _, ok := strings.Cut(path, " -> "); ok {
				path = link
				if err := os.Symlink(outside, path); err != nil {
					t.Fatal(err)
				}
			} else {
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte("http://127.0.0.1:1"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			before := contents(t, dir)
			calls := append(commandLines(imagery.NewID()), "doctor", "-role local", "-role server", "-role worker")
			for _, call := range calls {
				args := append(strings.Fields(call), "-data", dir)
				if strings.HasPrefix(call, "-role") {
					args = append(args, "-listen", "127.0.0.1:0")
				}
				out, err := exec.CommandContext(t.Context(), exe, args...).CombinedOutput()
				// doctor wraps long lines
				if said := strings.Join(strings.Fields(string(out)), ""); err == nil || !strings.Contains(said, path) {
					t.Errorf("%s with %s: %v, want a refusal that names it:\n%s", call, name, err, out)
				}
			}
			if after := contents(t, dir); after != before {
				t.Errorf("%s: the folder changed from\n%sto\n%s", name, before, after)
			}
		})
	}
}

// TestTableRemovedUnderRunningFleet moves the table away from a running fleet. Uploads and readiness must fail, no
// process may make a new table, and with the table back nothing is missing.
func TestTableRemovedUnderRunningFleet(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	data := t.TempDir()
	p := start(t, data, nil)
	c := newClient(t, p.url)
	c.ready(ctx, p)
	photo := photos(t, 1)[0]
	id := c.create(ctx)
	if err := c.upload(ctx, id, photo); err != nil {
		t.Fatal(err)
	}
	if v, err := c.final(ctx, id); err != nil || v.State != "processed" {
		t.Fatalf("%+v, %v", v, err)
	}
	aside := t.TempDir()
	for _, name := range []string{"imagery.db-wal", "imagery.db-shm", "imagery.db"} {
		if err := os.Rename(filepath.Join(data, name), filepath.Join(aside, name)); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(2 * time.Minute)
	for c.status(ctx, http.MethodGet, "/readyz") != http.StatusServiceUnavailable {
		if time.Now().After(deadline) {
			t.Fatal("readiness does not notice")
		}
		time.Sleep(50 * time.Millisecond)
	}
	for range 10 {
		if status := c.status(ctx, http.MethodPost, "/image"); status != http.StatusServiceUnavailable {
			t.Errorf("an image was made in a removed file: %d", status)
		}
		if status := c.status(ctx, http.MethodGet, "/image/"+id); status != http.StatusServiceUnavailable {
			t.Errorf("an image was read from a removed file: %d", status)
		}
	}
	for _, c := range p.children(t) { // started again, they find objects without a table
		kill(t, c.pid)
	}
	for deadline := time.Now().Add(2 * time.Minute); !strings.Contains(logOf(t, p), "put the table back"); {
		if time.Now().After(deadline) {
			t.Fatal("no child says that the table is missing")
		}
		time.Sleep(50 * time.Millisecond)
	}
	if _, err := os.Lstat(filepath.Join(data, "imagery.db")); err == nil {
		t.Error("a table was made where objects are")
	}
	for _, name := range []string{"imagery.db", "imagery.db-wal", "imagery.db-shm"} {
		if err := os.Rename(filepath.Join(aside, name), filepath.Join(data, name)); err != nil {
			t.Fatal(err)
		}
	}
	c.ready(ctx, p)
	if v, err := c.final(ctx, id); err != nil || v.State != "processed" {
		t.Errorf("with the table back: %+v, %v", v, err)
	}
}

func kill(t *testing.T, pid int) {
	t.Helper()
	process, err := os.FindProcess(pid)
	if err == nil {
		err = process.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func logOf(t *testing.T, p *program) string {
	t.Helper()
	text, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
