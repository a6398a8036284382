package local_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imagery/app/imagery"
	"imagery/app/store/local"
)

// snapshot lists every file below dir with its mode and content; links with their target.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		must(t, err)
		var content []byte
		switch {
		case info.Mode().IsRegular():
			content, err = os.ReadFile(path)
		case info.Mode()&fs.ModeSymlink != 0:
			var to string
			to, err = os.Readlink(path)
			content = []byte(to)
		}
		must(t, err)
		fmt.Fprintf(&b, "%s %s %.8s\n", info.Mode(), path, hash(content))
		return nil
	}))
	return b.String()
}

func write(t *testing.T, path string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte("not yours"), 0o644))
}

// Another program's file at a path that the service would write or sweep is an error that names it, and nothing is
// changed. In a folder of ours this is so for anything that replaces our own files and folders.
func TestForeignFilesAreRejected(t *testing.T) {
	t.Parallel()
	elsewhere := t.TempDir()
	outside := filepath.Join(elsewhere, "a")
	write(t, outside)
	link := func(to string) func(*testing.T, string) {
		return func(t *testing.T, path string) { must(t, os.Symlink(to, path)) }
	}
	folder := func(t *testing.T, path string) { write(t, filepath.Join(path, "file")) }
	empty := func(t *testing.T, path string) { must(t, os.Mkdir(path, 0o755)) }
	hardLink := func(t *testing.T, path string) {
		db := filepath.Join(newDir(t), "imagery.db")
		must(t, os.Link(db, path))
	}
	database := func(t *testing.T, path string) {
		db := filepath.Join(newDir(t), "imagery.db")
		other := openSQL(t, db)
		_, err := other.Exec("PRAGMA application_id = 7; DROP TABLE leases")
		must(t, err)
		must(t, other.Close())
		b, err := os.ReadFile(db)
		must(t, err)
		must(t, os.WriteFile(path, b, 0o644))
	}
	for _, c := range []struct {
		path   string
		put    func(*testing.T, string)
		always bool // rejected in a folder of ours, too
	}{
		{"tmp/file", write, false}, {"tmp/old/file", write, false}, {"wake/file", write, false},
		{"objects/upload/file", write, false}, {"objects/deep/er/file", write, false},
		{"tmp", write, true}, {"wake", write, true}, {"objects", write, true},
		{"tmp", link(elsewhere), true}, {"wake", link(elsewhere), true}, {"objects", link(elsewhere), true},
		{"tmp", link("nowhere"), true}, {"tmp", empty, false}, {"objects", empty, false}, {"wake", empty, false},
		{"imagery.db", write, true}, {"imagery.db", database, true}, {"imagery.db", hardLink, true},
		{"imagery.db", folder, true}, {"imagery.db", empty, true},
		{"imagery.db", link(outside), true}, {"imagery.db", link("nowhere"), true},
		{"imagery.db-wal", folder, true}, {"imagery.db-wal", link("nowhere"), true},
		{"imagery.db-shm", link("nowhere"), true}, {"imagery.db-wal", write, false}, {"imagery.db-journal", write, false},
		{"fleet.url", write, false}, {"fleet.url", folder, true}, {"fleet.url", link(outside), true},
		{"imagery-data.txt", write, true}, {"imagery-data.txt", folder, true}, {"imagery-data.txt", link(outside), true},
	} {
		for _, ours := range []bool{false, true} {
			if ours && !c.always {
				continue
			}
			dir := t.TempDir()
			name := filepath.Join(dir, c.path)
			if ours {
				must(t, local.Prepare(dir))
				must(t, os.RemoveAll(name))
			}
			c.put(t, name)
			write(t, filepath.Join(dir, "unrelated"))
			before, apart := snapshot(t, dir), snapshot(t, elsewhere)
			for what, call := range map[string]func() error{
				"check":   func() error { return local.Check(dir) },
				"prepare": func() error { return local.Prepare(dir) },
				"open": func() error {
					_, err := local.Open(local.Options{Dir: dir, Visibility: time.Second, MaxReceives: 1})
					return err
				},
			} {
				if what == "check" && ours && c.path == "imagery.db" { // it does not open the database of a folder of ours
					continue
				}
				err := call()
				if err == nil || !strings.Contains(err.Error(), name) {
					t.Errorf("%s with %s (ours: %t): %v, want an error that names it", what, c.path, ours, err)
				}
				if !ours && !strings.Contains(fmt.Sprint(err), "choose an empty folder") {
					t.Errorf("%s with %s: %v, want advice", what, c.path, err)
				}
			}
			if after := snapshot(t, dir); after != before {
				t.Errorf("%s (ours: %t) was rejected, but the folder changed from\n%sto\n%s", c.path, ours, before, after)
			}
			if after := snapshot(t, elsewhere); after != apart {
				t.Errorf("%s: the folder outside changed to\n%s", c.path, after)
			}
		}
	}
}

// A folder that has other files beside ours is used, and these are kept.
func TestForeignFilesAreKept(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	old := time.Now().Add(-100 * 24 * time.Hour)
	write(t, filepath.Join(dir, "notes.txt"))
	must(t, local.Prepare(dir))
	s := open(t, dir)
	must(t, s.Queue().Send(t.Context(), []byte("m"), ""))

	gone := exec.Command(os.Args[0], "-test.run=^$")
	must(t, gone.Run())
	pid := gone.Process.Pid
	staged, socket := fmt.Sprintf("%d-%020d", pid, 1), fmt.Sprintf("%d-1.sock", pid)
	write(t, filepath.Join(outside, staged))
	id := imagery.NewID()
	for _, name := range []string{
		"tmp/a.txt", "tmp/" + staged + ".bak", "wake/a.sock", "wake/" + socket, // a regular file under a socket's name
		"objects/upload/holiday/photo.jpg", "objects/upload/photo.jpg", "objects/upload/" + id + "/photo.jpg",
		"objects/upload/" + strings.ToUpper(imagery.NewID()) + "/" + anyHash,
	} {
		write(t, filepath.Join(dir, name))
	}
	must(t, os.MkdirAll(filepath.Join(dir, "tmp", "empty"), 0o755))
	must(t, os.MkdirAll(filepath.Join(dir, "tmp", fmt.Sprintf("%d-%020d", pid, 2)), 0o755)) // a folder under a file's name
	must(t, os.MkdirAll(filepath.Join(dir, "objects/upload/empty"), 0o755))
	must(t, os.Symlink(filepath.Join(outside, staged), filepath.Join(dir, "tmp", fmt.Sprintf("%d-%020d", pid, 3))))
	must(t, os.Symlink(outside, filepath.Join(dir, "objects/upload", imagery.NewID())))
	must(t, os.MkdirAll(filepath.Join(outside, "0"), 0o755))
	must(t, os.Symlink(filepath.Join(outside, staged), filepath.Join(dir, "objects/upload", id, anyHash)))
	address := &net.UnixAddr{Name: filepath.Join(dir, "wake", "other.sock"), Net: "unixgram"}
	other, err := net.ListenUnixgram("unixgram", address)
	if err == nil { // a socket that no process listens on, but not one of ours
		must(t, other.Close())
	}
	for _, root := range []string{dir, outside} {
		must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !strings.HasPrefix(d.Name(), "imagery") && d.Type()&fs.ModeSymlink == 0 {
				err = os.Chtimes(path, old, old)
			}
			return err
		}))
	}
	list := func() string { return fmt.Sprint(tree(t, dir), snapshot(t, outside)) }
	before := list()
	r, err := s.Sweep(t.Context(), time.Now(), time.Hour)
	if err != nil || r != (local.SweepReport{}) {
		t.Errorf("sweep: %+v, %v; want nothing removed", r, err)
	}
	must(t, s.Queue().Send(t.Context(), []byte("m"), "")) // notifies
	if after := list(); after != before {
		t.Errorf("other files changed from\n%s\nto\n%s", before, after)
	}
}

// The layout is readable by its owner only, also if it existed before.
func TestModes(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	must(t, os.Chmod(filepath.Join(dir, "imagery.db"), 0o644))
	must(t, os.Chmod(filepath.Join(dir, "objects"), 0o755))
	must(t, local.Prepare(dir))
	s := open(t, dir)
	must(t, s.Queue().Send(t.Context(), []byte("m"), ""))
	must(t, s.Blobs().Put(t.Context(), imagery.RawKey(imagery.NewID(), anyHash), "", strings.NewReader("x"), 1))
	withdraw, err := s.Announce("http://127.0.0.1:1")
	must(t, err)
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		must(t, err)
		info, err := d.Info()
		must(t, err)
		if info.Mode().Perm()&0o077 != 0 && path != dir {
			t.Errorf("%s is %s", path, info.Mode())
		}
		return nil
	}))
	must(t, withdraw())
	if _, err := os.Stat(filepath.Join(dir, local.FleetFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after withdrawing: %v", err)
	}
}
