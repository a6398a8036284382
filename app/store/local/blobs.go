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

// blobs implements imagery.Blobs on files. Content types are not stored: the server derives
// them from the key.
type blobs struct{ root *os.Root }

// keys are the names that an object may have: those of the contract, those of the book's app, which has
// upload/<id>-<ms>, and those of self-tests. No part begins with a dot, and there are no capitals, which some
// file systems do not tell from small letters.
var keys = regexp.MustCompile(`^(upload|processed|selftest)(/` + keyPart + `){1,3}$`)

const keyPart = `[0-9a-z][0-9a-z_.-]{0,127}`

// objectPath returns the file of a key within the folder, false if no object can have that key.
func objectPath(key string) (string, bool) {
	return filepath.Join(objectsName, filepath.FromSlash(key)), keys.MatchString(key)
}

// Put implements imagery.Blobs: write, sync, rename, sync the folder. A crash before the rename leaves the old
// object and a temporary file for Sweep; after Put has returned, not even the loss of power takes the new one.
func (b blobs) Put(ctx context.Context, key, _ string, body io.ReadSeeker, size int64) error {
	path, ok := objectPath(key)
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
		b.root.Remove(staged) // gone already if it was published
	}
	return err
}

// stage writes the body to a durable temporary file. Its name begins with our pid, for Sweep.
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

// publish gives the staged file its name, durably.
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
	// Sweep may remove the folder in between, as old and empty: MkdirAll reports that it exists if it goes after the
	// attempt to make it, and Rename that it does not. Sweep spares the new folder of the second try.
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
		err = move()
	}
	if err != nil {
		return err
	}
	// Every folder on the way, also those that were there: their maker may not have come to its own sync.
	for ; folder != "."; folder = filepath.Dir(folder) {
		if err := syncDir(b.root, folder); err != nil {
			return err
		}
	}
	return nil
}

// Get implements imagery.Blobs. An open file stays what it was while Put renames another one over its name, so
// a reader needs no lock.
func (b blobs) Get(_ context.Context, key string, limit int64) ([]byte, error) {
	f, size, err := b.open(key)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > limit {
		return nil, fmt.Errorf("object %s has %d bytes, over the limit of %d", key, size, limit)
	}
	body := make([]byte, size) // files do not change: Put replaces them
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
		return nil, 0, absent(err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = imagery.ErrNotFound // a folder is part of a key
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
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

// Link implements imagery.Blobs. A file has no URL, so it returns the file.
func (b blobs) Link(_ context.Context, key, _ string) (imagery.Link, error) {
	f, _, err := b.open(key)
	if err != nil {
		return imagery.Link{}, err
	}
	return imagery.Link{Body: f}, nil
}

// Ping implements imagery.Blobs. It does not write: a full disk shows at the uploads it refuses, and a reader
// can still be served.
func (b blobs) Ping(context.Context) error {
	return errors.Join(b.intact(objectsName), b.intact(tmpName))
}

// intact returns an error unless one of our folders is there, and is no link that was put in its place.
func (b blobs) intact(name string) error {
	info, err := b.root.Lstat(name)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a folder any more", name)
	}
	return err
}

// syncDir makes the names in a folder durable. Windows opens no folders, and keeps its names in a journal.
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
