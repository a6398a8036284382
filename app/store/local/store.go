// Package local implements the storage ports in one folder of one machine, as package aws does on AWS. Any number of
// processes may use the folder at the same time, and each may be killed at any instruction.
//
// The folder holds imagery.db (SQLite: table images, one JSON document per item, and table messages, the
// queue with its dead letters) and what folder.go names. Files of others in it are left alone, and a folder in
// which they are in the way is refused.
//
// The package contains no business rules. Errors of the driver and the operating system, such as a locked database or a
// full disk, are returned unwrapped: they are transient, and the caller adds the operation.
package local

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"imagery/app/imagery"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// callTimeout limits each call of a port, so that a locked database is an error before the server must answer
	// (10 s).
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
	opts     Options
	root     *os.Root               // no operation on files leaves the folder, whatever links are made in it
	files    map[string]os.FileInfo // of the database, as they were opened
	anchor   *sql.Conn              // is never used: while it is open SQLite does not remove its files itself
	writer   *sql.DB                // one connection
	reader   *sql.DB
	notifier *notifier
	poll     time.Duration // longest sleep of Receive between two attempts
	wrote    atomic.Int64  // when the last commit succeeded, in Unix ms
}

// Prepare makes the data folder, its sub-folders and the schema, adopts a folder of the release before, and leaves a
// prepared folder as it is. It returns a *ForeignError, and has changed nothing, if something of others is in the way.
// Call it before Open; several processes may do so at once. Errors name the folder.
func Prepare(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil { // photos are private
		return fmt.Errorf("data folder %s: %w", dir, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("data folder %s: %w", dir, cause(err))
	}
	defer root.Close()
	if _, err := inspect(dir, root); err != nil {
		return err
	}
	if err := lay(root); err != nil {
		return fmt.Errorf("data folder %s: %w", dir, cause(err))
	}
	for deadline := time.Now().Add(busyTimeout); ; time.Sleep(20 * time.Millisecond) {
		err := makeSchema(dir, root)
		// SQLite switches to WAL under a lock that knows no busy timeout, so of several processes that make
		// one database together all but the first may be sent away.
		if busy(err) && time.Now().Before(deadline) {
			continue
		}
		if err != nil {
			return fmt.Errorf("make the table in %s: %w", databasePath(dir), err)
		}
		if err := errors.Join(hide(root), syncDir(root, ".")); err != nil {
			return fmt.Errorf("data folder %s: %w", dir, cause(err))
		}
		return nil
	}
}

// Open opens a folder that Prepare made. A process opens it once and closes it at its end.
func Open(o Options) (*Store, error) {
	if o.Visibility <= 0 || o.MaxReceives <= 0 {
		return nil, fmt.Errorf("data folder %s: visibility %s and max receives %d must be positive",
			o.Dir, o.Visibility, o.MaxReceives)
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	root, err := os.OpenRoot(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("data folder %s: %w", o.Dir, cause(err))
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
	if _, err := inspect(dir, s.root); err != nil {
		return err
	}
	before, err := os.Stat(databasePath(dir))
	if err != nil {
		return fmt.Errorf("data folder %s: %w", dir, err)
	}
	if s.writer, err = openDatabase(dir, "rw", 1); err != nil {
		return fmt.Errorf("open %s: %w", databasePath(dir), err)
	}
	if s.reader, err = openDatabase(dir, "rw", 1+readers, "query_only(1)"); err == nil {
		err = s.remember(before)
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", databasePath(dir), errors.Join(err, s.writer.Close()))
	}
	s.notifier = newNotifier(dir, s.root, s.opts.Log)
	return nil
}

// remember notes the files that are open. The database is looked at before and after it was opened; the others are made
// by SQLite at the first read, and stay as long as a connection is open.
func (s *Store) remember(database os.FileInfo) (err error) {
	if s.anchor, err = s.reader.Conn(context.Background()); err != nil {
		return err
	}
	if err := own(anchored{s.anchor}); err != nil {
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

// anchored makes a querier of a connection.
type anchored struct{ *sql.Conn }

func (c anchored) QueryRow(query string, args ...any) *sql.Row {
	return c.QueryRowContext(context.Background(), query, args...)
}

// errTableGone is returned when the database file is no longer the one that this process opened. What is written to
// a removed file is lost when the last process closes it, so nothing may be answered from it.
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

// Close gives the connections back; the last process to do so folds the write-ahead log into the database. Calls that
// are under way fail; nothing that was answered is lost.
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
	if err := tx.Commit(); err != nil {
		return err
	}
	s.wrote.Store(time.Now().UnixMilli())
	return s.intact() // after the commit: a success means that the path had the table when it held this change
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
	if err := s.intact(); err != nil {
		return err
	}
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
	if err := own(db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// busy reports whether err is SQLite's error that another connection holds the lock.
func busy(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_BUSY
}
