package local_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"imagery/app/imagery"
	"imagery/app/store/local"
	"imagery/app/testing/short"
)

func TestPrepareKeepsExistingData(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "deep", "a b#c?d%20&e=é")
	must(t, local.Prepare(dir))
	img := imagery.Image{ID: imagery.NewID(), State: imagery.Created, Created: time.Now()}
	must(t, open(t, dir).Catalog().Create(t.Context(), img, time.Now()))
	must(t, local.Prepare(dir))
	if _, err := open(t, dir).Catalog().Get(t.Context(), img.ID); err != nil {
		t.Errorf("after preparing again: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "imagery.db")); err != nil {
		t.Errorf("the database has another name: %v", err)
	}
}

func TestPrepareErrorsNameTheFolder(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	damaged := newDir(t)
	must(t, os.WriteFile(filepath.Join(damaged, "imagery.db"), bytes.Repeat([]byte("no database "), 1000), 0o600))
	newer := newDir(t)
	_, err := database(t, newer).Exec("PRAGMA user_version = 99")
	must(t, err)
	for what, dir := range map[string]string{
		"a file": file, "a folder below a file": filepath.Join(file, "data"),
		"a damaged database": damaged, "a newer schema": newer,
	} {
		if err := local.Prepare(dir); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("prepare of %s: %v, want an error that names %s", what, err, dir)
		}
		if s, err := local.Open(local.Options{Dir: dir, Visibility: time.Second, MaxReceives: 1}); err == nil ||
			!strings.Contains(err.Error(), dir) {
			t.Errorf("open of %s: %v, %v, want an error that names %s", what, s, err, dir)
		}
	}
	empty := t.TempDir()
	if _, err := local.Open(local.Options{Dir: empty, Visibility: time.Second, MaxReceives: 1}); err == nil {
		t.Error("a folder that was not prepared was opened")
	}
	if files, _ := os.ReadDir(empty); len(files) > 0 {
		t.Errorf("opening it created %v", files)
	}
	if _, err := local.Open(local.Options{Dir: newDir(t)}); err == nil {
		t.Error("a queue without limits was opened")
	}
}

// Several processes may prepare the same folder at the same time.
func TestManyProcessesPrepareOneFolder(t *testing.T) {
	t.Parallel()
	short.Skip(t, "processes that prepare one folder at the same time")
	self, err := os.Executable()
	must(t, err)
	for range 5 {
		dir := filepath.Join(t.TempDir(), "data")
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				cmd := exec.Command(self)
				cmd.Env = append(os.Environ(), prepareOnly+"="+dir)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%v: %s", err, out)
				}
			})
		}
		wg.Wait()
	}
}

// While another process holds the write lock, reads succeed, and writes fail in time with a transient error.
func TestLockedDatabaseIsTransient(t *testing.T) {
	short.Skip(t, "a locked database")
	t.Parallel()
	dir := newDir(t)
	s := open(t, dir)
	img := imagery.Image{ID: imagery.NewID(), State: imagery.Created, Created: time.Now(), Updated: time.Now()}
	must(t, s.Catalog().Create(t.Context(), img, time.Now()))
	must(t, s.Queue().Send(t.Context(), []byte("m"), ""))
	idle := open(t, dir)
	lock, err := database(t, dir).Begin()
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := idle.Catalog().Ping(ctx); err == nil {
		t.Error("ping succeeds although the table is not writable and the process has not written recently")
	}

	to := img
	to.State, to.Version = imagery.Uploaded, 1
	for _, limit := range []time.Duration{200 * time.Millisecond, time.Hour} {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		var wg sync.WaitGroup
		for op, call := range map[string]func() error{
			"move": func() error { return s.Catalog().Move(ctx, img, to) },
			"send": func() error { return s.Queue().Send(ctx, []byte("m"), "") },
			"receive": func() error { // the end of its context is not an error
				list, err := s.Queue().Receive(ctx, 1, 0)
				if len(list) > 0 {
					t.Errorf("receive while locked: %v", list)
				}
				return errors.Join(err, ctx.Err())
			},
		} {
			wg.Go(func() {
				start := time.Now()
				err := call()
				if err == nil || errors.Is(err, imagery.ErrConflict) || errors.Is(err, imagery.ErrNotFound) ||
					errors.Is(err, imagery.ErrExists) {
					t.Errorf("%s while locked: %v, want a transient error", op, err)
				}
				if took := time.Since(start); took > min(limit, 5*time.Second)+3*time.Second {
					t.Errorf("%s while locked took %s, its context allows %s", op, took, limit)
				}
			})
		}
		wg.Wait()
	}
	if _, err := s.Catalog().Get(t.Context(), img.ID); err != nil {
		t.Errorf("get while locked: %v", err)
	}
	must(t, lock.Rollback())
	must(t, s.Catalog().Move(t.Context(), img, to))
}

func TestKeys(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	b := open(t, dir).Blobs()
	id, hash := imagery.NewID(), strings.Repeat("0f", 32)
	put := func(key string) error { return b.Put(t.Context(), key, "", strings.NewReader("x"), 1) }
	for _, key := range []string{
		imagery.RawKey(id, hash), imagery.ProcessedKey(id, hash, "jpg"), imagery.ProcessedKey(id, hash, "png"),
		"upload/" + id + "-1447430400000", "selftest/i-0123/456",
	} {
		if err := put(key); err != nil {
			t.Errorf("put %q: %v", key, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "objects", key)); err != nil {
			t.Errorf("object %q: %v", key, err)
		}
	}
	before := tree(t, dir)
	for _, key := range []string{
		"", ".", "..", "/", "upload", "upload/", "upload//x", "/upload/x",
		"upload/../x", "upload/../../x", "upload/./x", "upload/.x", "upload/x/", "upload/x/..",
		"../imagery.db", "imagery.db", "elsewhere/x", `upload\x`, `upload/..\..\x`, "upload/x\x00y", "upload/X",
		"upload/x\n", "upload/c:x", "upload/" + strings.Repeat("x", 200), "upload/é", "upload/" + id + "/a/b/c",
	} {
		if err := put(key); err == nil {
			t.Errorf("put %q: no error", key)
		}
		if _, err := b.Get(t.Context(), key, 100); !errors.Is(err, imagery.ErrNotFound) {
			t.Errorf("get %q: %v, want ErrNotFound", key, err)
		}
	}
	if _, err := b.Get(t.Context(), "upload/"+id, 100); !errors.Is(err, imagery.ErrNotFound) {
		t.Errorf("get of a folder: %v, want ErrNotFound", err)
	}
	if after := tree(t, dir); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("rejected keys changed the folder from\n%v to\n%v", before, after)
	}
}

// brokenBody returns an error after its second read.
type brokenBody struct {
	io.ReadSeeker
	reads int
}

func (b *brokenBody) Read(p []byte) (int, error) {
	if b.reads++; b.reads > 2 {
		return 0, errors.New("the body broke")
	}
	return b.ReadSeeker.Read(p[:min(len(p), 3)])
}

func TestFailedPutLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	b := open(t, dir).Blobs()
	key := imagery.RawKey(imagery.NewID(), "hash")
	must(t, b.Put(t.Context(), key, "", strings.NewReader("the old one"), 11))
	before := tree(t, dir)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for what, err := range map[string]error{
		"a body too short": b.Put(t.Context(), key, "", strings.NewReader("short"), 6),
		"a body too long":  b.Put(t.Context(), key, "", strings.NewReader("longer"), 3),
		"a broken body":    b.Put(t.Context(), key, "", &brokenBody{ReadSeeker: strings.NewReader("0123456789")}, 10),
		"an ended context": b.Put(ended, key, "", strings.NewReader("late"), 4),
	} {
		if err == nil {
			t.Errorf("%s was stored", what)
		}
	}
	if got, err := b.Get(t.Context(), key, 100); err != nil || string(got) != "the old one" {
		t.Errorf("the old object is %q, %v", got, err)
	}
	if after := tree(t, dir); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("failed puts changed the folder from\n%v to\n%v", before, after)
	}
}

func TestDepth(t *testing.T) {
	t.Parallel()
	s := open(t, newDir(t))
	want := func(visible, inFlight, dead int) {
		t.Helper()
		v, f, d, err := s.Depth(t.Context())
		if err != nil || v != visible || f != inFlight || d != dead {
			t.Errorf("depth is %d visible, %d in flight, %d dead, %v; want %d, %d, %d", v, f, d, err, visible, inFlight, dead)
		}
	}
	want(0, 0, 0)
	for range 3 {
		must(t, s.Queue().Send(t.Context(), []byte("m"), ""))
	}
	must(t, s.DeadLetters().Send(t.Context(), []byte("d"), ""))
	want(3, 0, 1)
	list, err := s.Queue().Receive(t.Context(), 2, 0)
	must(t, err)
	want(1, 2, 1)
	must(t, s.Queue().Delete(t.Context(), list[0]))
	_, err = s.Queue().Extend(t.Context(), 0, list[1])
	must(t, err)
	want(2, 0, 1)
}

// tree lists the files of the data folder except for the database files.
func tree(t *testing.T, dir string) (files []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !strings.HasPrefix(d.Name(), "imagery.db") {
			files = append(files, path)
		}
		return err
	}))
	return files
}
