package local

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// openDatabase opens a connection pool and, unless it may create the file (mode rwc), checks that the schema is ours.
// synchronous=FULL makes a commit survive a power loss, fullfsync also on macOS. The path is escaped as a URL, since a
// folder name may contain a question mark or a percent sign.
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
	if err := checkSchema(context.Background(), db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// untilNotBusy repeats f for up to startTimeout while other processes hold a lock of the database. SQLite itself waits
// for less: not while it switches to WAL, so that all but the first of several processes that create the database may
// fail, and not longer than busyTimeout for a process that writes without pause, recovers the log of a killed one, or
// is frozen.
func untilNotBusy(f func() error) error {
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(20 * time.Millisecond) {
		if err := f(); !busy(err) || time.Now().After(deadline) {
			return err
		}
	}
}

// busy reports whether err is SQLite's error that another connection holds the lock, or won a race for it too often.
func busy(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && (e.Code()&0xff == sqlite3.SQLITE_BUSY || e.Code() == sqlite3.SQLITE_PROTOCOL)
}
