package local

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// writing is longer than any process writes one file: an older temporary file is left over even if a living
	// process has the number of the one that died, and no process is about to put a file into an older folder.
	writing = time.Hour
	// sweepBatch bounds a transaction, so that other processes get the write lock in between.
	sweepBatch = 500
)

// SweepReport says what Sweep removed.
type SweepReport struct {
	TempFiles int // half-written files and sockets of dead processes
	Images    int // created, never uploaded, expired
	Objects   int // originals past their age
}

// Sweep removes what is no longer needed: temporary files of dead processes, expired images without a photo, and
// originals older than rawMaxAge unless an uploaded image waits to be processed from them. It may run in several
// processes at once, at any time; what it could not remove it leaves to the next one. Files whose names are not of
// our own forms stay, and so do links and folders under such names: they were not made here.
func (s *Store) Sweep(ctx context.Context, now time.Time, rawMaxAge time.Duration) (r SweepReport, err error) {
	var errs [3]error
	r.TempFiles, errs[0] = s.sweepTempFiles(now)
	r.Images, errs[1] = s.sweepImages(ctx, now)
	r.Objects, errs[2] = s.sweepOriginals(ctx, now, now.Add(-rawMaxAge))
	return r, errors.Join(errs[:]...)
}

// sweepTempFiles removes half-written files and sockets of dead processes. An object that was set aside goes back to
// its place: a client may have put it again just before, and the sweep that set it aside did not come to look. A file
// for which that fails is left to the next sweep: one bad file must not keep the others.
func (s *Store) sweepTempFiles(now time.Time) (n int, err error) {
	files, err := s.leftovers(tmpName, fs.FileMode.IsRegular, now, writing, stagedForm, asideForm, oldAsideForm)
	if err != nil {
		return 0, err
	}
	sockets, err := s.leftovers(wakeName, isSocket, now, 0, socketForm)
	for _, name := range append(files, sockets...) {
		if key := keyOfAside(filepath.Base(name)); key != "" && !s.putBack(name, key) {
			continue
		}
		if s.root.Remove(name) == nil {
			n++
		}
	}
	return n, err
}

// leftovers lists the files of that type whose names have one of the forms and begin with the pid of a process that is
// no more, and those older than maxAge if that is not 0 (a socket is not written to, so its age says nothing).
func (s *Store) leftovers(dir string, is func(fs.FileMode) bool, now time.Time, maxAge time.Duration,
	forms ...*regexp.Regexp) (list []string, err error) {
	entries, err := fs.ReadDir(s.root.FS(), dir)
	for _, e := range entries {
		for _, form := range forms {
			m := form.FindStringSubmatch(e.Name())
			if m == nil || !is(e.Type()) {
				continue
			}
			if pid, err := strconv.Atoi(m[1]); err == nil && alive(pid) {
				info, err := e.Info()
				if err != nil || maxAge == 0 || now.Sub(info.ModTime()) < maxAge {
					break
				}
			}
			list = append(list, filepath.Join(dir, e.Name()))
			break
		}
	}
	return list, err
}

// putBack gives an object that was set aside its name again, unless another one has it by now. It reports whether the
// one that was set aside may go.
func (s *Store) putBack(aside, key string) bool {
	path, _ := objectPath(key)
	if err := s.root.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return false
	}
	err := s.root.Link(aside, path)
	return err == nil || errors.Is(err, fs.ErrExist)
}

func isSocket(mode fs.FileMode) bool { return mode.Type() == fs.ModeSocket }

// alive reports whether a process has that number; in doubt it has. On Windows only finding it tells, since
// there are no signals.
func alive(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	defer p.Release()
	return !errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

// sweepImages removes expired images, as DynamoDB's TTL does. Every read takes an expired image
// for absent. The condition on the state is redundant, only created images expire, but a photo depends on it.
func (s *Store) sweepImages(ctx context.Context, now time.Time) (total int, err error) {
	for {
		n, err := s.exec(ctx, `
			DELETE FROM images WHERE rowid IN
				(SELECT rowid FROM images WHERE expires <= ? AND state = 'created' LIMIT ?)`, now.Unix(), sweepBatch)
		total += int(n)
		if err != nil || n < sweepBatch {
			return total, err
		}
	}
}

// sweepOriginals removes the originals that were put before the given time, and the empty folders of images. It reads
// one folder at a time, so its memory grows with the number of images in upload/, by their names only.
func (s *Store) sweepOriginals(ctx context.Context, now, before time.Time) (n int, err error) {
	objects, err := fs.Sub(s.root.FS(), objectsName)
	if err != nil {
		return 0, err
	}
	return n, fs.WalkDir(objects, "upload", func(key string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // nothing was uploaded yet, or another sweep was faster
		}
		if err = errors.Join(err, ctx.Err()); err != nil || key == "upload" {
			return err
		}
		if d.IsDir() && !imageForm.MatchString(key) {
			return fs.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return nil // gone
		}
		if d.IsDir() {
			path, _ := objectPath(key)
			if now.Sub(info.ModTime()) > writing && s.root.Remove(path) == nil { // refused while it has a file
				return fs.SkipDir
			}
			return nil
		}
		if !info.Mode().IsRegular() || !originalForm.MatchString(key) || !info.ModTime().Before(before) {
			return nil
		}
		removed, err := s.remove(ctx, key, before, "state = 'uploaded' AND rawS3Key = ?2")
		if removed {
			n++
		}
		return err
	})
}

// remove removes an object that was put before the given time, unless an image needs it: condition says in SQL what
// that is, for the image of the object's id and the key ?2. The transaction keeps the image from changing meanwhile.
// A client may also be putting the same bytes again just now, before it moves the image: so the file is set aside
// first, and put back if it turns out to be a new one.
func (s *Store) remove(ctx context.Context, key string, before time.Time, condition string) (removed bool, err error) {
	path, ok := objectPath(key)
	if !ok {
		return false, fmt.Errorf("object key %q is not allowed", key)
	}
	aside := filepath.Join(tmpName, strconv.Itoa(os.Getpid())+"~"+strings.ReplaceAll(key, "/", "~"))
	err = s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var needed bool
		const query = "SELECT count(*) > 0 FROM images WHERE id = ?1 AND "
		err := tx.QueryRowContext(ctx, query+condition, imageOf(key), key).Scan(&needed)
		if err != nil || needed {
			return err
		}
		if err := s.root.Rename(path, aside); errors.Is(err, fs.ErrNotExist) {
			return nil // another sweep was faster
		} else if err != nil {
			return err
		}
		info, err := s.root.Lstat(aside)
		if err != nil || !info.Mode().IsRegular() || !info.ModTime().Before(before) {
			return errors.Join(err, s.root.Rename(aside, path)) // equal keys have equal bytes: nothing is overwritten
		}
		removed = true
		return s.root.Remove(aside)
	})
	return removed, err
}

// imageOf returns the id in an object's key, "" if it has none: what follows upload/ or processed/, 36 characters.
func imageOf(key string) string {
	_, rest, _ := strings.Cut(key, "/")
	return rest[:min(len(rest), 36)]
}
