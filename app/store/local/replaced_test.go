package local_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imagery/app/imagery"
	"imagery/app/store/local"
)

// While a process has the table open, its file is removed or replaced: all calls fail, and no process creates a new
// table beside the objects.
func TestRemovedTableIsDetected(t *testing.T) {
	t.Parallel()
	for _, removed := range [][]string{
		{"imagery.db", "imagery.db-wal", "imagery.db-shm"}, {"imagery.db-wal"}, {"imagery.db-shm"}, nil,
	} {
		replaced := removed == nil
		dir := newDir(t)
		s := open(t, dir)
		img := imagery.Image{ID: imagery.NewID(), State: imagery.Created, Created: time.Now(), Updated: time.Now()}
		must(t, s.Catalog().Create(t.Context(), img, time.Now()))
		must(t, s.Blobs().Put(t.Context(), imagery.RawKey(img.ID, anyHash), "", strings.NewReader("x"), 1))
		must(t, s.Catalog().Ping(t.Context()))
		for _, name := range removed {
			must(t, os.Remove(filepath.Join(dir, name)))
		}
		if replaced {
			must(t, os.Remove(filepath.Join(dir, "imagery.db")))
			b, err := os.ReadFile(filepath.Join(newDir(t), "imagery.db"))
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, "imagery.db"), b, 0o600))
		}
		for what, call := range map[string]func() error{
			"ping":    func() error { return s.Catalog().Ping(t.Context()) },
			"get":     func() error { _, err := s.Catalog().Get(t.Context(), img.ID); return err },
			"create":  func() error { img.ID = imagery.NewID(); return s.Catalog().Create(t.Context(), img, time.Now()) },
			"send":    func() error { return s.Queue().Send(t.Context(), []byte("m"), "") },
			"receive": func() error { _, err := s.Queue().Receive(t.Context(), 1, 0); return err },
			"depth":   func() error { _, _, _, err := s.Depth(t.Context()); return err },
			"pending": func() error {
				_, _, err := s.Catalog().Pending(t.Context(), "0", time.Time{}, time.Now(), "", 1)
				return err
			},
			"scan": func() error { return s.Scan(t.Context(), func(imagery.Image) error { return nil }) },
		} {
			if err := call(); err == nil || !strings.Contains(err.Error(), "removed or replaced") {
				t.Errorf("%s (removed: %v): %v, want an error that says the file was removed", what, removed, err)
			}
		}
		if len(removed) < 3 {
			continue
		}
		for range 2 {
			if err := local.Prepare(dir); err == nil || !strings.Contains(err.Error(), "put the table back") {
				t.Errorf("a table was created beside objects: %v", err)
			}
		}
		must(t, os.WriteFile(filepath.Join(dir, "imagery.db"), nil, 0o600)) // an empty file is no table either
		if err := local.Prepare(dir); err == nil {
			t.Error("tables were created beside objects")
		}
	}
}

// A process may die after it has set an object aside. The object is restored, because it may have been stored again
// just before.
func TestSweepRestoresObjectSetAside(t *testing.T) {
	t.Parallel()
	gone := exec.Command(os.Args[0], "-test.run=^$")
	must(t, gone.Run())
	for _, name := range []string{"%d~upload~%s~%s", "%d-upload-%s-%s"} {
		dir := newDir(t)
		s := open(t, dir)
		id := imagery.NewID()
		write(t, filepath.Join(dir, "tmp", fmt.Sprintf(name, gone.Process.Pid, id, anyHash)))
		_, err := s.Sweep(t.Context(), time.Now(), time.Hour)
		must(t, err)
		if body, err := s.Blobs().Get(t.Context(), imagery.RawKey(id, anyHash), 100); string(body) != "not yours" {
			t.Errorf("%s: %q, %v", name, body, err)
		}
		if left := files(t, filepath.Join(dir, "tmp")); len(left) > 0 {
			t.Errorf("left in tmp: %v", left)
		}
	}
}

// If a folder is removed or replaced by a link while a process runs, storing objects fails and the store is not ready.
func TestFolderReplacedByLink(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"objects", "tmp"} {
		dir := newDir(t)
		s := open(t, dir)
		must(t, s.Blobs().Ping(t.Context()))
		path := filepath.Join(dir, name)
		must(t, os.Rename(path, path+"-aside"))
		if err := s.Blobs().Ping(t.Context()); err == nil {
			t.Errorf("ready without %s", name)
		}
		must(t, os.Mkdir(filepath.Join(dir, "mine"), 0o700))
		must(t, os.Symlink("mine", path))
		key := imagery.RawKey(imagery.NewID(), anyHash)
		if err := s.Blobs().Put(t.Context(), key, "", strings.NewReader("x"), 1); err == nil {
			t.Errorf("an object was stored although %s is a link", name)
		}
		if err := s.Blobs().Ping(t.Context()); err == nil {
			t.Errorf("ready although %s is a link", name)
		}
		if left := files(t, filepath.Join(dir, "mine")); len(left) > 0 {
			t.Errorf("written through the link %s: %v", name, left)
		}
	}
}
