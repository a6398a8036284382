package local

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// writing is longer than anybody writes one file: an older temporary file is left over even if a living
	// process has the number of the one that died, and nobody is about to put a file into an older folder.
	writing = time.Hour
	// sweepBatch bounds a transaction, so that others get the write lock in between.
	sweepBatch = 500
)

// SweepReport says what Sweep removed.
type SweepReport struct {
	TempFiles int // half-written files and sockets of dead processes
	Images    int // created, never uploaded, expired
	Objects   int // originals past their age
}

// Sweep removes what nobody needs: temporary files of dead processes, expired images without a photo, and
// originals older than rawMaxAge unless an uploaded image waits to be processed from them. It may run in
// several processes at once, at any time; what it could not remove it leaves to the next one.
func (s *Store) Sweep(ctx context.Context, now time.Time, rawMaxAge time.Duration) (r SweepReport, err error) {
	var errs [4]error
	r.TempFiles, errs[0] = sweepLeftovers(tmpDir(s.opts.Dir), now, writing)
	var sockets int
	sockets, errs[1] = sweepLeftovers(wakeDir(s.opts.Dir), now, 0)
	r.TempFiles += sockets
	r.Images, errs[2] = s.sweepImages(ctx, now)
	r.Objects, errs[3] = s.sweepOriginals(ctx, now, now.Add(-rawMaxAge))
	return r, errors.Join(errs[:]...)
}

// sweepLeftovers removes the files whose names begin with the pid of a process that is no more, and those
// older than maxAge if that is not 0 (a socket is not written to, so its age says nothing). A file that cannot
// be removed is the next sweep's: one bad file must not keep the others.
func sweepLeftovers(dir string, now time.Time, maxAge time.Duration) (n int, err error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, f := range files {
		prefix, _, _ := strings.Cut(f.Name(), "-")
		pid, err := strconv.Atoi(prefix)
		if err == nil && alive(pid) {
			info, err := f.Info()
			if err != nil || maxAge == 0 || now.Sub(info.ModTime()) < maxAge {
				continue
			}
		}
		if os.Remove(filepath.Join(dir, f.Name())) == nil {
			n++
		}
	}
	return n, nil
}

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

// sweepImages removes expired images, as DynamoDB's TTL does. Nobody misses them: every read takes an expired
// image for absent. The state is asked for although only created images expire: a photo hangs on it.
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

// sweepOriginals removes the files under upload/ that were put before the given time, and empty folders. It
// walks in the order of names without reading ahead, so its memory does not grow with the number of images.
func (s *Store) sweepOriginals(ctx context.Context, now, before time.Time) (n int, err error) {
	root := objectsDir(s.opts.Dir)
	uploads := filepath.Join(root, "upload")
	return n, filepath.WalkDir(uploads, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // nothing was uploaded yet, or another sweep was faster
		}
		if err = errors.Join(err, ctx.Err()); err != nil || path == uploads {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return nil // gone
		}
		if d.IsDir() {
			if now.Sub(info.ModTime()) > writing && os.Remove(path) == nil { // refused while it has a file
				return fs.SkipDir
			}
			return nil
		}
		if !info.ModTime().Before(before) {
			return nil
		}
		removed, err := s.removeOriginal(ctx, path, before)
		if removed {
			n++
		}
		return err
	})
}

// removeOriginal removes one old file, unless it is needed after all. The transaction keeps the image from
// becoming uploaded meanwhile. A client may also be putting the same bytes again just now, before it moves
// the image: so the file is set aside first, and put back if it turns out to be a new one.
func (s *Store) removeOriginal(ctx context.Context, path string, before time.Time) (removed bool, err error) {
	key, err := filepath.Rel(objectsDir(s.opts.Dir), path)
	if err != nil {
		return false, err
	}
	key = filepath.ToSlash(key)
	aside := filepath.Join(tmpDir(s.opts.Dir), strconv.Itoa(os.Getpid())+"-"+strings.ReplaceAll(key, "/", "-"))
	err = s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var needed bool
		err := tx.QueryRowContext(ctx, `SELECT count(*) FROM images WHERE id = ? AND state = 'uploaded' AND rawS3Key = ?`,
			imageOf(key), key).Scan(&needed)
		if err != nil || needed {
			return err
		}
		if err := os.Rename(path, aside); errors.Is(err, fs.ErrNotExist) {
			return nil // another sweep was faster
		} else if err != nil {
			return err
		}
		info, err := os.Stat(aside)
		if err != nil || !info.ModTime().Before(before) { // equal keys have equal bytes: putting back harms nobody
			return errors.Join(err, os.Rename(aside, path))
		}
		removed = true
		return os.Remove(aside)
	})
	return removed, err
}

// imageOf returns the id in the key of an original: what follows upload/, 36 characters.
func imageOf(key string) string {
	id := strings.TrimPrefix(key, "upload/")
	return id[:min(len(id), 36)]
}
