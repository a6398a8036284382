// Package local implements the storage ports in one folder of one machine, as package aws does on AWS. Any number of
// processes may use the folder at the same time, and each may be killed at any instruction.
//
// The folder contains imagery.db (SQLite: table images with one JSON document per item, and table messages with the
// queue and its dead letters) and the files listed in folder.go. Files of other programs in the folder are left alone.
// A folder in which they are in the way is rejected.
//
// The package contains no business rules. Errors of the driver and the operating system, such as a locked database or a
// full disk, are returned unwrapped: they are transient, and the caller adds the operation.
package local

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"imagery/app/imagery"
)

const (
	// callTimeout limits each call of a port, so that a locked database is an error before the server must answer
	// (10 s).
	callTimeout = 5 * time.Second
	// busyTimeout limits SQLite's own wait for a lock. It takes effect only while the database is opened; all other
	// calls have a shorter deadline.
	busyTimeout = 10 * time.Second
	// startTimeout limits the wait for locks at a start. It is longer than the fleet takes to kill a process that froze
	// with the write lock.
	startTimeout = 30 * time.Second
	// readers is the number of concurrent reading connections of a process. Writers share a single connection: SQLite
	// allows one writer at a time, and its lock is not fair to many connections.
	readers = 4
)

// Options configures a Store.
type Options struct {
	Dir         string        // created by Prepare
	Visibility  time.Duration // visibility timeout of a received message
	MaxReceives int           // deliveries of a message before it becomes a dead letter
	Log         *slog.Logger  // nil means slog.Default
	Chaos       Chaos         // faults of the queue, for tests
}

// Store implements the storage ports on a data folder. It is safe for concurrent use.
type Store struct {
	opts     Options
	root     *os.Root               // keeps file operations within the folder, even if links are made in it
	files    map[string]os.FileInfo // the database files as they were opened, by name
	anchor   *sql.Conn              // never used; while it is open, SQLite does not remove its -wal and -shm files
	writer   *sql.DB                // one connection
	reader   *sql.DB
	notifier *notifier
	poll     time.Duration // longest sleep of Receive between two attempts
	wrote    atomic.Int64  // when the last commit succeeded, in Unix ms
}

// Prepare creates the data folder, its subfolders and the schema, migrates a folder of the previous release, and leaves
// a prepared folder unchanged. It returns an error, without any change, if another program's files are in the
// way. Call it before Open; several processes may do so at once. Errors name the folder.
func Prepare(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil { // photos are private
		return fmt.Errorf("data folder %s: %w", dir, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return folderError(dir, err)
	}
	defer root.Close()
	if err := inspect(root); err != nil {
		return err
	}
	if err := createLayout(root); err != nil {
		return folderError(dir, err)
	}
	if err := untilNotBusy(func() error { return makeSchema(dir, root) }); err != nil {
		return fmt.Errorf("make the table in %s: %w", databasePath(dir), err)
	}
	if err := errors.Join(restrictMode(root), syncDir(root, ".")); err != nil {
		return folderError(dir, err)
	}
	return nil
}

// Open opens a folder that Prepare has created. The caller must close the Store.
func Open(o Options) (*Store, error) {
	if o.Visibility <= 0 || o.MaxReceives <= 0 {
		return nil, fmt.Errorf("data folder %s: visibility %s and max receives %d must be positive",
			o.Dir, o.Visibility, o.MaxReceives)
	}
	o.Log = cmp.Or(o.Log, slog.Default())
	root, err := os.OpenRoot(o.Dir)
	if err != nil {
		return nil, folderError(o.Dir, err)
	}
	s := &Store{opts: o, root: root, poll: time.Second}
	if err := s.open(); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return s, nil
}

// open checks the folder and opens the database.
func (s *Store) open() error {
	dir := s.opts.Dir
	if err := inspect(s.root); err != nil {
		return err
	}
	before, err := os.Stat(databasePath(dir))
	if err != nil {
		return fmt.Errorf("data folder %s: %w", dir, err)
	}
	if err := untilNotBusy(func() error { return s.openDatabases(before) }); err != nil {
		return fmt.Errorf("open %s: %w", databasePath(dir), err)
	}
	s.notifier = newNotifier(dir, s.root, s.opts.Log)
	return nil
}

// openDatabases opens both connection pools. database describes the file before.
func (s *Store) openDatabases(database os.FileInfo) (err error) {
	if s.writer, err = openDatabase(s.opts.Dir, "rw", 1); err != nil {
		return err
	}
	if s.reader, err = openDatabase(s.opts.Dir, "rw", 1+readers, "query_only(1)"); err != nil {
		return errors.Join(err, s.writer.Close())
	}
	if err := s.recordFiles(database); err != nil {
		return errors.Join(err, s.reader.Close(), s.writer.Close())
	}
	return nil
}

// recordFiles records which database files are open, for intact. database must have been read before opening; SQLite
// creates the other files at the first read and keeps them while a connection is open.
func (s *Store) recordFiles(database os.FileInfo) (err error) {
	if s.anchor, err = s.reader.Conn(context.Background()); err != nil {
		return err
	}
	if err := checkSchema(context.Background(), s.anchor); err != nil {
		return err
	}
	s.files = map[string]os.FileInfo{databaseName: database}
	for _, suffix := range []string{"-wal", "-shm"} {
		if s.files[databaseName+suffix], err = os.Stat(databasePath(s.opts.Dir) + suffix); err != nil {
			return err
		}
	}
	return s.intact()
}

// errTableGone is returned when the database file is no longer the one that this process opened. Writes to a removed
// file are lost when the last process closes it, so no call may succeed on it.
var errTableGone = errors.New("a file of the table was removed or replaced while the service runs; stop it, put " +
	databaseName + " back with its -wal, start it again")

// intact returns an error unless the paths of the database and its log lead to the files that this process has open.
func (s *Store) intact() error {
	for name, opened := range s.files {
		now, err := os.Stat(filepath.Join(s.opts.Dir, name))
		if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(now, opened) {
			return errTableGone
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Close closes the database; the last process to do so writes the write-ahead log into it. Calls in progress fail; no
// acknowledged write is lost.
func (s *Store) Close() error {
	return errors.Join(s.notifier.close(), s.anchor.Close(), s.reader.Close(), s.writer.Close(), s.root.Close())
}

// Catalog returns the table of images.
func (s *Store) Catalog() imagery.Catalog { return catalog{s} }

// Blobs returns the store of objects.
func (s *Store) Blobs() imagery.Blobs { return blobs{s.root} }

// Queue returns the queue of hints.
func (s *Store) Queue() imagery.Queue {
	if s.opts.Chaos != (Chaos{}) {
		return newChaosQueue(s)
	}
	return queue{s: s, order: oldestFirst}
}

// DeadLetters returns the dead-letter queue. It does not limit deliveries.
func (s *Store) DeadLetters() imagery.Queue { return queue{s: s, dead: true, order: oldestFirst} }

// write runs f in one transaction that takes the write lock at its start (_txlock=immediate), because upgrading a read
// lock later can fail in cases where waiting does not help.
func (s *Store) write(ctx context.Context, f func(ctx context.Context, tx *sql.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // without effect after Commit
	if err := f(ctx, tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	s.wrote.Store(time.Now().UnixMilli())
	return s.intact() // after the commit, to be sure that the change was written to the file at this path
}

// exec runs one writing statement and returns the number of rows that it changed. If the deadline ends a commit, the
// write may have taken effect despite the error; the callers of the ports read again.
func (s *Store) exec(ctx context.Context, query string, args ...any) (n int64, err error) {
	err = s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, query, args...)
		if err != nil {
			return err
		}
		n, err = r.RowsAffected()
		return err
	})
	return n, err
}

// row reads one row into dest; it returns sql.ErrNoRows if there is none. In WAL mode readers do not wait for writers,
// so it works while the database is locked.
func (s *Store) row(ctx context.Context, dest []any, query string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := s.intact(); err != nil {
		return err
	}
	return s.reader.QueryRowContext(ctx, query, args...).Scan(dest...)
}

// rows calls scan for each row of the result; otherwise it is like row.
func (s *Store) rows(ctx context.Context, scan func(*sql.Rows) error, query string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := s.intact(); err != nil {
		return err
	}
	rows, err := s.reader.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
