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
	// maxWriteTime is longer than any process takes to write one file. So an older temporary file is left over, even if
	// its pid is in use again, and no process is about to put a file into an older folder.
	maxWriteTime = time.Hour
	// sweepBatch limits the rows of a transaction, so that other processes get the write lock in between.
	sweepBatch = 500
)

// SweepReport counts what Sweep removed.
type SweepReport struct {
	TempFiles int // temporary files and sockets of dead processes
	Images    int // expired images without an upload
	Objects   int // originals over the maximum age
}

// Sweep removes temporary files of dead processes, expired images without an upload, and originals older than rawMaxAge
// except those of images that are not yet processed. It may run in several processes at the same time; files that it
// could not remove are left to the next run. It keeps files with names that the service does not create, and links and
// folders under such names.
func (s *Store) Sweep(ctx context.Context, now time.Time, rawMaxAge time.Duration) (r SweepReport, err error) {
	var errs [3]error
	r.TempFiles, errs[0] = s.sweepTempFiles(now)
	r.Images, errs[1] = s.sweepImages(ctx, now)
	r.Objects, errs[2] = s.sweepOriginals(ctx, now, now.Add(-rawMaxAge))
	return r, errors.Join(errs[:]...)
}

// sweepTempFiles removes temporary files and sockets of dead processes. An object that was set aside is restored: a
// client may have stored it again, which the sweep that set it aside did not check before it died. If that fails, the
// file is left to the next run, and sweepTempFiles continues with the others.
func (s *Store) sweepTempFiles(now time.Time) (n int, err error) {
	files, err := s.leftovers(tmpName, tmpForm, fs.FileMode.IsRegular, now, maxWriteTime)
	if err != nil {
		return 0, err
	}
	sockets, err := s.leftovers(wakeName, socketForm, isSocket, now, 0)
	for _, name := range append(files, sockets...) {
		if key := keyOfAside(filepath.Base(name)); key != "" && !s.restore(name, key) {
			continue
		}
		if s.root.Remove(name) == nil {
			n++
		}
	}
	return n, err
}

// leftovers lists the files of that type whose names have the form and begin with the pid of a dead process, and those
// older than maxAge if that is not 0 (the age of a socket means nothing, since writing does not change it).
func (s *Store) leftovers(dir string, form *regexp.Regexp, is func(fs.FileMode) bool, now time.Time,
	maxAge time.Duration) (list []string, err error) {
	entries, err := fs.ReadDir(s.root.FS(), dir)
	for _, e := range entries {
		m := form.FindStringSubmatch(e.Name())
		if m == nil || !is(e.Type()) {
			continue
		}
		if pid, err := strconv.Atoi(m[1]); err == nil && alive(pid) {
			info, err := e.Info()
			if err != nil || maxAge == 0 || now.Sub(info.ModTime()) < maxAge {
				continue
			}
		}
		list = append(list, filepath.Join(dir, e.Name()))
	}
	return list, err
}

// restore links an object that was set aside to its key again, unless there is another one by now. It reports whether
// the file that was set aside may be removed.
func (s *Store) restore(aside, key string) bool {
	path, _ := objectPath(key)
	if err := s.root.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return false
	}
	err := s.root.Link(aside, path)
	return err == nil || errors.Is(err, fs.ErrExist)
}

func isSocket(mode fs.FileMode) bool { return mode.Type() == fs.ModeSocket }

// alive reports whether there is a process with that pid; in case of doubt it returns true. On Windows, which has no
// signals, FindProcess alone decides.
func alive(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	defer p.Release()
	return !errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

// sweepImages removes expired images, which reads treat as absent, like DynamoDB's TTL. Only created images expire, so
// the condition on the state is redundant; it protects photos.
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

// sweepOriginals removes the originals that were stored before the given time, and the empty folders of images. It
// reads one folder at a time, so it needs memory for the names in upload/ only.
func (s *Store) sweepOriginals(ctx context.Context, now, before time.Time) (n int, err error) {
	objects, err := fs.Sub(s.root.FS(), objectsName)
	if err != nil {
		return 0, err
	}
	return n, fs.WalkDir(objects, "upload", func(key string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // nothing was uploaded yet, or another sweep has removed it
		}
		if err = errors.Join(err, ctx.Err()); err != nil || key == "upload" {
			return err
		}
		if d.IsDir() && !imageForm.MatchString(key) {
			return fs.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return nil // removed meanwhile
		}
		if d.IsDir() {
			path, _ := objectPath(key)
			if now.Sub(info.ModTime()) > maxWriteTime && s.root.Remove(path) == nil { // fails unless it is empty
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

// remove removes an object that was stored before the given time, unless its image needs it: the SQL condition, in
// which ?2 is the key, is true for the image with the object's id. The transaction prevents changes to the image.
// However, a client may be storing the same bytes again, before it updates the image. So the file is set aside first,
// and moved back if it turns out to be a new one.
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
			return nil // another sweep has removed it
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

// imageOf returns the image id in an object's key: the 36 characters after upload/ or processed/, fewer if it is short.
func imageOf(key string) string {
	_, rest, _ := strings.Cut(key, "/")
	return rest[:min(len(rest), 36)]
}
