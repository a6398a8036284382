package local_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
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
				if foreign := (*local.ForeignError)(nil); !ours && !errors.As(err, &foreign) {
					t.Errorf("%s with %s: %v, want a ForeignError", what, c.path, err)
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

// unpack extracts a data folder that an earlier release made, see testdata/README.md.
func unpack(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Open("testdata/folder-release-1.tar.gz")
	must(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	must(t, err)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return filepath.Join(dir, "data")
		}
		must(t, err)
		name := filepath.Join(dir, h.Name)
		if h.FileInfo().IsDir() {
			must(t, os.MkdirAll(name, 0o755))
			continue
		}
		out, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, h.FileInfo().Mode())
		must(t, err)
		_, err = io.Copy(out, r)
		must(t, errors.Join(err, out.Close()))
		must(t, os.Chtimes(name, h.ModTime, h.ModTime))
	}
}

// A folder of the release that wrote no marker is migrated: its images are served, and its originals are kept as long
// as they are needed.
func TestFolderOfPreviousReleaseIsMigrated(t *testing.T) {
	dir := unpack(t)
	must(t, local.Check(dir))
	before := snapshot(t, dir)
	if _, err := os.Stat(filepath.Join(dir, "imagery-data.txt")); err == nil {
		t.Fatal("the fixture has a marker")
	}
	must(t, local.Prepare(dir))
	if snapshot(t, dir) == before {
		t.Error("nothing was migrated")
	}
	var id int
	must(t, database(t, dir).QueryRow("PRAGMA application_id").Scan(&id))
	if id == 0 {
		t.Error("the database is not marked as ours")
	}
	s := open(t, dir)
	n := map[imagery.State]int{}
	must(t, s.Scan(t.Context(), func(img imagery.Image) error {
		n[img.State]++
		for _, key := range []string{img.RawKey, img.ProcessedKey} {
			if key == "" {
				continue
			}
			if body, err := s.Blobs().Get(t.Context(), key, 1<<20); err != nil || len(body) == 0 {
				t.Errorf("%s: %d bytes, %v", key, len(body), err)
			}
		}
		return nil
	}))
	if n[imagery.Processed] != 1 || n[imagery.Uploaded] != 1 || n[imagery.Created] != 1 {
		t.Errorf("images: %v", n)
	}
	later := time.Now().Add(10 * 365 * 24 * time.Hour)
	r, err := s.Sweep(t.Context(), later, time.Hour)
	if err != nil || r.Objects != 1 || r.Images != 1 {
		t.Errorf("sweep: %+v, %v; want the processed image's original and the expired image removed", r, err)
	}
	must(t, s.Scan(t.Context(), func(img imagery.Image) error {
		if img.State == imagery.Uploaded {
			return s.Find(t.Context(), img.RawKey)
		}
		return s.Find(t.Context(), img.ProcessedKey)
	}))
}

// A truncated marker does not count: it is left by a process that died before it created anything else.
func TestTruncatedMarkerDoesNotCount(t *testing.T) {
	for _, marker := range []string{"", "This is a data fol"} {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "imagery-data.txt"), []byte(marker), 0o600))
		write(t, filepath.Join(dir, "tmp", "2024-202401011230"))
		if err := local.Prepare(dir); err == nil {
			t.Errorf("%q: the folder was accepted as ours", marker)
		}
		must(t, os.RemoveAll(filepath.Join(dir, "tmp")))
		must(t, local.Prepare(dir))
		must(t, local.Prepare(dir))
		must(t, open(t, dir).Catalog().Ping(t.Context()))
	}
}

// A migration that was interrupted at any point is completed by the next one.
func TestInterruptedMigrationIsCompleted(t *testing.T) {
	for _, marker := range []string{"", "This is a data fol"} {
		dir := unpack(t)
		must(t, os.WriteFile(filepath.Join(dir, "imagery-data.txt"), []byte(marker), 0o600))
		must(t, local.Prepare(dir))
		open(t, dir)
	}
}

// While a process has the table open, its file is removed or replaced: all calls fail, and no process creates a new
// table beside the objects.
func TestRemovedTableIsDetected(t *testing.T) {
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
