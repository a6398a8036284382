// Package local keeps images, objects and messages in one folder of one machine: the twin of the AWS
// backend for a laptop. Any number of processes use the folder at the same time, and each of them may be
// killed at any instruction.
//
// The folder holds imagery.db (SQLite: table images, one JSON document per item, and table messages, the
// queue with its dead letters), objects/ (one file per object, under its key, and nothing else), tmp/ (files
// being written) and wake/ (sockets of processes that wait for messages).
//
// The package translates and decides nothing. Errors that are not one of imagery's own come as the driver or
// the operating system made them, a locked database and a full disk included: they are transient, and the
// caller, who knows what was being done, names the operation.
package local

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"imagery/app/imagery"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// callTimeout bounds each call of a port, so that a locked database is an error before the edge has to
	// answer (10 s).
	callTimeout = 5 * time.Second
	// busyTimeout is how long SQLite itself waits for a lock. The deadline of the call ends the wait
	// earlier; only opening has none.
	busyTimeout = 10 * time.Second
	// readers is how many goroutines of one process read at once. Writers queue for a single connection:
	// SQLite has one writer anyway, and its lock is not fair to many connections.
	readers = 4
)

// Options says how a process uses the data folder.
type Options struct {
	Dir         string        // made by Prepare
	Visibility  time.Duration // how long a received message stays invisible
	MaxReceives int           // deliveries of a message before it becomes a dead letter
	Log         *slog.Logger  // nil means slog.Default
	Chaos       Chaos         // of the queue, for tests
}

// Store is one process's handle on a data folder. Its methods are safe for concurrent use.
type Store struct {
	opts   Options
	writer *sql.DB // one connection
	reader *sql.DB
	bell   *bell
	poll   time.Duration // how long Receive trusts silence
}

// Prepare makes the data folder, its sub-folders and the schema, and leaves a prepared folder as it is. Call
// it before Open; several processes may do so at once. Errors name the folder.
func Prepare(dir string) error {
	for _, d := range []string{dir, objectsDir(dir), tmpDir(dir), wakeDir(dir)} {
		if err := os.MkdirAll(d, 0o700); err != nil { // photos are private
			return fmt.Errorf("data folder %s: %w", dir, err)
		}
	}
	for deadline := time.Now().Add(busyTimeout); ; time.Sleep(20 * time.Millisecond) {
		err := makeSchema(dir)
		// SQLite switches to WAL under a lock that knows no busy timeout, so of several processes that make
		// one database together all but the first may be sent away.
		if busy(err) && time.Now().Before(deadline) {
			continue
		}
		if err != nil {
			return fmt.Errorf("data folder %s: make %s: %w", dir, filepath.Base(databasePath(dir)), err)
		}
		return syncDir(dir)
	}
}

// Open opens a folder that Prepare made. A process opens it once and closes it at its end.
func Open(o Options) (*Store, error) {
	if o.Visibility <= 0 || o.MaxReceives <= 0 {
		return nil, fmt.Errorf("data folder %s: visibility %s and max receives %d must be positive", o.Dir, o.Visibility, o.MaxReceives)
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	writer, err := openDatabase(o.Dir, "rw", 1)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", databasePath(o.Dir), err)
	}
	reader, err := openDatabase(o.Dir, "rw", readers, "query_only(1)")
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", databasePath(o.Dir), errors.Join(err, writer.Close()))
	}
	return &Store{opts: o, writer: writer, reader: reader, bell: newBell(wakeDir(o.Dir), o.Log), poll: time.Second}, nil
}

// Close gives the connections back; the last process to do so folds the write-ahead log into the database. Calls that are under way fail; nothing that was answered is lost.
func (s *Store) Close() error {
	return errors.Join(s.bell.close(), s.reader.Close(), s.writer.Close())
}

// Catalog returns the table of images.
func (s *Store) Catalog() imagery.Catalog { return catalog{s} }

// Blobs returns the store of objects.
func (s *Store) Blobs() imagery.Blobs { return blobs{dir: s.opts.Dir} }

// Queue returns the queue of hints.
func (s *Store) Queue() imagery.Queue {
	if s.opts.Chaos != (Chaos{}) {
		return newChaosQueue(s)
	}
	return queue{s: s, order: oldestFirst}
}

// DeadLetters returns the queue of hints that were received too often. Receiving from it has no limit.
func (s *Store) DeadLetters() imagery.Queue { return queue{s: s, dead: true, order: oldestFirst} }

// write runs f in one transaction that holds the write lock from its start (_txlock=immediate): a lock that
// is upgraded later can fail where no waiting helps.
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
	return tx.Commit()
}

// exec runs one writing statement and returns how many rows it changed. When the answer of a commit is lost
// to the deadline, the error leaves open whether it took effect: the port's callers read again.
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

// row reads one row into dest; sql.ErrNoRows if there is none. Readers do not wait for writers (WAL), so a
// locked database is still read.
func (s *Store) row(ctx context.Context, dest []any, query string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return s.reader.QueryRowContext(ctx, query, args...).Scan(dest...)
}

// openDatabase opens a pool and, unless it may create the file (mode rwc), proves that its schema is ours.
// synchronous=FULL makes a commit survive the loss of power, fullfsync also on a Mac. The path is escaped into
// a URL, since a folder's name may hold a question mark or a percent sign.
func openDatabase(dir, mode string, conns int, pragmas ...string) (*sql.DB, error) {
	path, err := filepath.Abs(databasePath(dir))
	if err != nil {
		return nil, err
	}
	if path = filepath.ToSlash(path); !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/x is written file:///C:/x
	}
	q := url.Values{"mode": {mode}, "_txlock": {"immediate"}, "_pragma": append([]string{
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), "synchronous(FULL)", "fullfsync(1)"}, pragmas...)}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns) // opening costs more than a query: four pragmas and the schema
	if mode == "rwc" {
		return db, nil
	}
	var version int
	if err = db.QueryRow("PRAGMA user_version").Scan(&version); err == nil && version != schemaVersion {
		err = fmt.Errorf("schema %d, this release reads %d", version, schemaVersion)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// busy reports whether err is SQLite's "somebody else holds the lock".
func busy(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_BUSY
}

// The names in the data folder. The checker of the invariants, and operators, know them too.

func databasePath(dir string) string { return filepath.Join(dir, "imagery.db") }
func objectsDir(dir string) string   { return filepath.Join(dir, "objects") }
func tmpDir(dir string) string       { return filepath.Join(dir, "tmp") }
func wakeDir(dir string) string      { return filepath.Join(dir, "wake") }
