package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"

	"imagery/app/imagery"
)

// blobs implements imagery.Blobs on files. Content types are not kept: whoever serves an object knows its
// type from its key.
type blobs struct{ dir string }

// keys are the names that an object may have: those of the contract, those of the book's app, which has
// upload/<id>-<ms>, and those of self-tests. No part begins with a dot, and there are no capitals, which some
// file systems do not tell from small letters.
var keys = regexp.MustCompile(`^(upload|processed|selftest)(/[0-9a-z][0-9a-z_.-]{0,127}){1,3}$`)

// path returns the file of a key, false if no object can have that key.
func (b blobs) path(key string) (string, bool) {
	return filepath.Join(objectsDir(b.dir), filepath.FromSlash(key)), keys.MatchString(key)
}

// Put implements imagery.Blobs: write, sync, rename, sync the folder. A crash before the rename leaves the old
// object and a temporary file for Sweep; after Put has returned, not even the loss of power takes the new one.
func (b blobs) Put(ctx context.Context, key, _ string, body io.ReadSeeker, size int64) error {
	path, ok := b.path(key)
	if !ok {
		return fmt.Errorf("object key %q is not allowed", key)
	}
	staged, err := b.stage(body, size)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = b.publish(staged, path)
	}
	if err != nil && staged != "" {
		os.Remove(staged) // gone already if it was published
	}
	return err
}

// stage writes the body to a durable temporary file. Its name begins with our pid, for Sweep.
func (b blobs) stage(body io.ReadSeeker, size int64) (name string, err error) {
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(tmpDir(b.dir), strconv.Itoa(os.Getpid())+"-*")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	n, err := io.Copy(f, body)
	if err != nil {
		return f.Name(), err
	}
	if n != size {
		return f.Name(), fmt.Errorf("the body has %d bytes, not %d", n, size)
	}
	return f.Name(), f.Sync()
}

// publish gives the staged file its name, durably.
func (b blobs) publish(staged, path string) error {
	folder := filepath.Dir(path)
	move := func() error {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
		return os.Rename(staged, path)
	}
	err := move()
	if errors.Is(err, fs.ErrNotExist) { // Sweep removed the folder in between, as old and empty; a new one it spares
		err = move()
	}
	if err != nil {
		return err
	}
	// Every folder on the way, also those that were there: their maker may not have come to its own sync.
	for ; len(folder) >= len(objectsDir(b.dir)); folder = filepath.Dir(folder) {
		if err := syncDir(folder); err != nil {
			return err
		}
	}
	return nil
}

// Get implements imagery.Blobs. An open file stays what it was while Put renames another one over its name, so
// a reader needs no lock.
func (b blobs) Get(_ context.Context, key string, limit int64) ([]byte, error) {
	path, ok := b.path(key)
	if !ok {
		return nil, imagery.ErrNotFound
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, absent(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, imagery.ErrNotFound // a folder is part of a key
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("object %s has %d bytes, over the limit of %d", key, info.Size(), limit)
	}
	body := make([]byte, info.Size()) // files do not change: Put replaces them
	if _, err := io.ReadFull(f, body); err != nil {
		return nil, err
	}
	return body, nil
}

// absent translates the errors of opening an object.
func absent(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return imagery.ErrNotFound
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", imagery.ErrDenied, err)
	}
	return err
}

// Link implements imagery.Blobs: there are no links to files.
func (b blobs) Link(context.Context, string, string) (string, error) { return "", nil }

// Ping implements imagery.Blobs. It does not write: a full disk shows at the uploads it refuses, and a reader
// can still be served.
func (b blobs) Ping(context.Context) error {
	_, err := os.Stat(objectsDir(b.dir))
	return err
}

// syncDir makes the names in a folder durable. Windows opens no folders, and keeps its names in a journal.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
