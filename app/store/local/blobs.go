package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"

	"imagery/app/imagery"
)

// blobs implements imagery.Blobs on files. It does not store content types, which the server derives from the key.
type blobs struct{ root *os.Root }

// keys matches the keys that an object may have: those of this service, those of the original application
// (upload/<id>-<ms>) and those of the selftest. No part begins with a dot. There are no capitals, because some file
// systems ignore case.
var keys = regexp.MustCompile(`^(upload|processed|selftest)(/` + keyPart + `){1,3}$`)

const keyPart = `[0-9a-z][0-9a-z_.-]{0,127}`

// objectPath returns the path of an object within the folder; ok is false if no object can have that key.
func objectPath(key string) (path string, ok bool) {
	return filepath.Join(objectsName, filepath.FromSlash(key)), keys.MatchString(key)
}

// Put implements imagery.Blobs: it writes and syncs a temporary file, renames it and syncs the folder. A crash before
// the rename leaves the old object and a temporary file for Sweep. After Put has returned, the object survives a power
// loss.
func (b blobs) Put(ctx context.Context, key, _ string, body io.ReadSeeker, size int64) error {
	path, ok := objectPath(key)
	if !ok {
		return fmt.Errorf("object key %q is not allowed", key)
	}
	return b.replace(ctx, path, body, size)
}

// replace writes a file atomically and durably.
func (b blobs) replace(ctx context.Context, path string, body io.ReadSeeker, size int64) error {
	staged, err := b.stage(body, size)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = b.publish(staged, path)
	}
	if err != nil && staged != "" {
		b.root.Remove(staged) // has no effect if it was published
	}
	return err
}

// stage writes the body to a durable temporary file. Its name begins with the pid, for Sweep.
func (b blobs) stage(body io.ReadSeeker, size int64) (name string, err error) {
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	if err := b.intact(tmpName); err != nil {
		return "", err
	}
	staged := filepath.Join(tmpName, fmt.Sprintf("%d-%020d", os.Getpid(), rand.Uint64()))
	f, err := b.root.OpenFile(staged, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	n, err := io.Copy(f, body)
	if err != nil {
		return staged, err
	}
	if n != size {
		return staged, fmt.Errorf("the body has %d bytes, not %d", n, size)
	}
	return staged, f.Sync()
}

// publish renames the staged file to path, durably.
func (b blobs) publish(staged, path string) error {
	if err := b.intact(objectsName); err != nil {
		return err
	}
	folder := filepath.Dir(path)
	move := func() error {
		if err := b.root.MkdirAll(folder, 0o700); err != nil {
			return err
		}
		return b.root.Rename(staged, path)
	}
	err := move()
	// Sweep may remove an old empty folder in between. Then MkdirAll returns ErrExist, or Rename returns ErrNotExist. The
	// second try creates a new folder, which Sweep keeps.
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
		err = move()
	}
	if err != nil {
		return err
	}
	// Sync every parent, also those that existed: the process that created them may not have synced them yet.
	for ; folder != "."; folder = filepath.Dir(folder) {
		if err := syncDir(b.root, folder); err != nil {
			return err
		}
	}
	return nil
}

// Get implements imagery.Blobs. Readers need no lock, because an open file does not change when Put replaces it.
func (b blobs) Get(_ context.Context, key string, limit int64) ([]byte, error) {
	f, size, err := b.open(key)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > limit {
		return nil, fmt.Errorf("object %s has %d bytes, over the limit of %d", key, size, limit)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(f, body); err != nil {
		return nil, err
	}
	return body, nil
}

// open opens the file of an object.
func (b blobs) open(key string) (f *os.File, size int64, err error) {
	path, ok := objectPath(key)
	if !ok {
		return nil, 0, imagery.ErrNotFound
	}
	if f, err = b.root.Open(path); err != nil {
		return nil, 0, mapObject(err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = imagery.ErrNotFound // a folder is only a part of a key
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// mapObject maps the errors of a missing and an unreadable object to ErrNotFound and ErrDenied.
func mapObject(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return imagery.ErrNotFound
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", imagery.ErrDenied, err)
	}
	return err
}

// Link implements imagery.Blobs. A file has no URL, so it returns the file.
func (b blobs) Link(_ context.Context, key, _ string) (imagery.Link, error) {
	f, _, err := b.open(key)
	if err != nil {
		return imagery.Link{}, err
	}
	return imagery.Link{Body: f}, nil
}

// Ping implements imagery.Blobs. It does not write: on a full disk uploads fail, but reads still work.
func (b blobs) Ping(context.Context) error {
	return errors.Join(b.intact(objectsName), b.intact(tmpName))
}

// intact returns an error if a folder of the layout is missing or was replaced by something else, such as a link.
func (b blobs) intact(name string) error {
	info, err := b.root.Lstat(name)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a folder any more", name)
	}
	return err
}

// syncDir makes the names in a folder durable. It does nothing on Windows, which cannot open folders and keeps names in
// a journal.
func syncDir(root *os.Root, path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := root.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
