package local_test

import (
	"database/sql"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"imagery/app/store/local"
	"imagery/app/testing/short"
)

// lockOf takes the write lock of a data folder's database, as another process does, and returns the function that
// releases it.
func lockOf(t *testing.T, dir string) (release func() error) {
	t.Helper()
	source := url.URL{Scheme: "file", Path: filepath.Join(dir, "imagery.db"), RawQuery: "_txlock=immediate"}
	db, err := sql.Open("sqlite", source.String())
	must(t, err)
	t.Cleanup(func() { db.Close() })
	tx, err := db.BeginTx(t.Context(), nil)
	must(t, err)
	return tx.Rollback
}

// A process joins others although one holds the write lock all the time, frozen or in a long row of writes.
func TestJoiningNeedsNoWriteLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, local.Prepare(dir))
	release := lockOf(t, dir)
	must(t, local.Prepare(dir))
	open(t, dir)
	must(t, release())
}

// A process that has to migrate the folder waits for a lock that is held for longer than SQLite waits.
func TestMigrationWaitsForTheWriteLock(t *testing.T) {
	short.Skip(t, "a lock that is held for 15 s")
	t.Parallel()
	dir := unpack(t)
	release := lockOf(t, dir)
	released := make(chan error, 1)
	time.AfterFunc(15*time.Second, func() { released <- release() })
	must(t, local.Prepare(dir))
	must(t, <-released)
	open(t, dir)
}
